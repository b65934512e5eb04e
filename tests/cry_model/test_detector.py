"""Test the detector's windows, how steps become cries, and the classifier behind a detector."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import cry_model
from cry_model import CryClassifier, CryDetector, DetectionScores, Recording, Span
from cry_model import detector as module
from cry_model.detection import windows
from cry_model.sound.arrays import HUM_HZ, without_hum
from tests.stand_ins import detector_config
from train.fit.presets import DETECTOR_FRONT_END

RATE = 16_000


@pytest.fixture(scope="module")
def detector():
    """Return a detector with random weights: these tests do not depend on its accuracy."""
    torch.manual_seed(0)
    config = detector_config()
    model = config.build()
    model.classifier.weight.data.mul_(50)  # so that its scores differ
    model.classifier.bias.data[0] += 9  # and are high as well as low
    return CryDetector(model, config)


def sound(seconds, rate=RATE, seed=0):
    wave = torch.randn(round(seconds * rate), generator=torch.Generator().manual_seed(seed))
    return Recording(0.1 * wave, rate)


@pytest.mark.parametrize(
    ("rate", "seconds"), [(8000, 0.5), (16_000, 1.5), (44_100, 2.1), (48_000, 7.3)]
)
def test_steps_cover_a_recording_of_any_length(detector, rate, seconds):
    track = detector.scan(sound(seconds, rate))
    assert track.step == pytest.approx(0.256)
    assert len(track.probabilities) == math.ceil(seconds / 0.256)
    assert all(0 < p < 1 for p in track.probabilities)  # noise everywhere
    assert (track.duration, track.threshold) == (pytest.approx(seconds), detector.threshold)


@pytest.fixture(scope="module", params=["two lengths", "one length"])
def either(request, detector):
    """Return the current detector, then one as in the last release, with 2 s windows only."""
    if request.param == "two lengths":
        return detector
    front_end = replace(DETECTOR_FRONT_END, piece_seconds=2.0, min_seconds=2.0, overlap=0.75)
    return CryDetector(detector.model, replace(detector.config, front_end=front_end))


def by_hand(detector, wave):
    """Compute the probability in each step of (samples,), hum removed, window by window."""
    config = detector.config.front_end
    step = round(config.piece_seconds * 8000 // 256 * (1 - config.overlap))
    steps = math.ceil(len(wave) / (step * 256))
    each = []
    lengths = {int(s * 8000 // 256) for s in (config.min_seconds, config.piece_seconds)}
    for length in sorted(lengths):
        covering = [[] for _ in range(steps)]
        for first in range(steps):
            start = first * step
            if start and (start - step + length) * 256 >= len(wave):
                break  # the previous window reached the end
            part = torch.nn.functional.pad(wave, (0, length * 256))
            part = part[start * 256 : (start + length) * 256]
            with torch.inference_mode():
                answer = detector.model(detector.front_end(part[None])).softmax(-1)[0, 0]
            for i in range(first, min(steps, first + round(length / step))):
                covering[i].append(math.log(answer / (1 - answer)))
        each.append([np.mean(odds) for odds in covering])
    return 1 / (1 + np.exp(-np.mean(each, axis=0)))


@pytest.mark.parametrize("decibels", [-40, 0, 12])
def test_a_step_averages_the_windows_over_it_at_any_level(either, decibels, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 7)  # more windows than one batch
    wave = sound(9.0, 8000).waveform
    wave[2 * 8000 : 5 * 8000] = torch.sin(torch.arange(3 * 8000) * 0.7)
    wave = torch.from_numpy(without_hum(wave.numpy(), 8000))
    found = either.scan(Recording(wave * 10 ** (decibels / 20), 8000)).probabilities
    # Spectrogram frames at a window's edges see beyond it, and the notch filters act twice.
    expected = by_hand(either, wave)
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert np.ptp(expected) > 0.4


def test_live_probability_is_that_of_the_last_step_of_a_scan(either):
    wave = sound(7.0).waveform
    long = windows(either.config.front_end)[-1] * 256
    track = either.scan(Recording(wave[-2 * long :], RATE))
    assert either.probability(wave, RATE) == pytest.approx(track.probabilities[-1], abs=0.05)


@pytest.mark.parametrize(("rate", "seconds"), [(8000, 2), (16_000, 7.3)])
def test_notch_filters_remove_only_the_hum(rate, seconds):
    def level(hertz):
        time = np.arange(round(seconds * rate)) / rate
        wave = without_hum(np.sin(2 * np.pi * hertz * time), rate)
        middle = wave[len(wave) // 4 : -len(wave) // 4]  # its abrupt ends are broadband
        return 20 * np.log10(np.sqrt(2) * middle.std())

    for hertz in (*HUM_HZ, 50.1, 59.9):
        assert level(hertz) < -15
    for hertz in (30, 55, 80, 110, 170, 220, 260, 300, 440, 1000, 3000):
        assert level(hertz) == pytest.approx(0, abs=0.5)


def test_silence_is_no_cry(either):
    wave = sound(12.0).waveform
    wave[: 6 * RATE] *= 1e-4
    track = either.scan(Recording(wave, RATE))
    silent = round(4 / track.step)
    assert track.probabilities[:silent] == (0.0,) * silent
    assert min(track.probabilities[-silent:]) > 0
    assert set(either.scan(Recording(torch.zeros(5 * RATE), RATE)).probabilities) == {0.0}
    assert either.probability(torch.zeros(2 * RATE), RATE) == 0


@pytest.mark.parametrize("changed", ["detector", "labels", "front_end"])
def test_other_checkpoints_are_refused_as_detectors(changed, tmp_path):
    own = detector_config()
    others = {"detector": None, "labels": ("yes", "no")}
    others["front_end"] = replace(own.front_end, level="recording")
    other = replace(own, **{changed: others[changed]})
    cry_model.save_checkpoint(tmp_path, other.build(), other)
    with pytest.raises(cry_model.CheckpointError, match="Not a detector"):
        CryDetector.from_pretrained(tmp_path)


def track(*parts, threshold=0.6, maybe=1.0, cut=0.0):
    """Build scores in steps of 0.25 s from (value, seconds); the last step may be cut short."""
    values = tuple(value for value, seconds in parts for _ in range(round(4 * seconds)))
    return DetectionScores(0.25, values, len(values) / 4 - cut, threshold, maybe)


STEPS = {  # scores, and the cries in them
    "below": (track((0.59, 3)), []),
    "at the threshold": (track((0.1, 2), (0.6, 1), (0.1, 2)), [(2, 3)]),
    "one step": (track((0, 1), (0.9, 0.25), (0, 1)), [(1, 1.25)]),
    "last step cut": (track((0.9, 3), cut=0.2), [(0, 2.8)]),
    "hysteresis": (track((0.46, 1), (0.9, 1), (0.46, 1), (0.44, 1)), [(0, 3)]),
    "short pause": (track((0.9, 1), (0.1, 1.25), (0.9, 1)), [(0, 3.25)]),
    "long pause": (track((0.9, 1), (0.1, 1.5), (0.9, 1)), [(0, 1), (2.5, 3.5)]),
    "first stretch below": (track((0.5, 1), (0.1, 2), (0.9, 1)), [(3, 4)]),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_become_cries(name):
    found, spans = STEPS[name]
    assert found.spans == tuple(Span(*span) for span in spans)
    assert found.is_cry == bool(spans)
    assert found.score == pytest.approx(max(found.probabilities))
    assert all(found.threshold <= found.peak(span) <= found.score for span in found.spans)


@pytest.mark.parametrize(
    ("score", "state"), [(0.1, "no"), (0.39, "no"), (0.4, "maybe"), (0.59, "maybe"), (0.6, "cry")]
)
def test_scores_between_the_thresholds_may_be_a_cry(score, state):
    assert track((0, 1), (score, 1), maybe=0.4).state == state
    never_measured = track((0, 1), (score, 1))
    assert never_measured.state == ("cry" if state == "cry" else "no")


class Told:
    """Fake a detector that finds a cry exactly in the given stretches."""

    def __init__(self, *cries):
        self.cries = cries

    def scan(self, recording):
        starts = np.arange(0, recording.duration, 0.5)
        heard = tuple(float(any(a <= t < b for a, b in self.cries)) for t in starts)
        return DetectionScores(0.5, heard, recording.duration, 0.5)


@pytest.fixture(scope="module")
def classifying(models):
    """Return a function: cries -> the page's first model behind a detector that finds them."""
    alone = models[0].classifier
    return lambda *cries: CryClassifier(alone.model, alone.config, detector=Told(*cries))


def test_only_detected_cries_are_classified(classifying):
    recording, other = sound(40.0), sound(40.0)
    other.waveform[: 8 * RATE] = 0.5
    other.waveform[16 * RATE : 23 * RATE] = sound(7.0, seed=9).waveform
    gated = classifying((10, 14), (25, 35))
    prediction = gated.predict(recording)
    assert prediction.is_cry
    assert gated.predict(other).probabilities == pytest.approx(prediction.probabilities, abs=1e-6)
    first, second = prediction.segments
    early = [piece for piece in prediction.pieces if piece.end < 20]
    late = [piece for piece in prediction.pieces if piece.start > 20]
    assert len(early) + len(late) == len(prediction.pieces)
    for segment, inside in ((first, early), (second, late)):
        for label, value in segment.probabilities.items():
            assert value == pytest.approx(np.mean([p.probabilities[label] for p in inside]))


def test_the_whole_recording_is_classified_if_no_cry_is_detected(classifying, models):
    recording = sound(20.0)
    prediction, alone = (c.predict(recording) for c in (classifying(), models[0].classifier))
    assert prediction.is_cry is False
    assert prediction.segments == ()
    assert prediction.probabilities == alone.probabilities
    assert alone.is_cry is None


def test_timeline_covers_pieces_of_different_length(classifying):
    prediction = classifying((3, 6), (12, 30)).predict(sound(40.0))
    assert len({round(p.end - p.start, 2) for p in prediction.pieces}) > 1
    times, gates = prediction.timeline(prediction.attention.temporal[0])
    assert len(times) == gates.shape[-1]
    assert float(gates.min()) > 0  # a gate is never 0, so no padding is included
    assert not ((times > 8) & (times < 11)).any()
