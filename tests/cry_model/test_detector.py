"""The detector: its looks, its track, and what a classifier makes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import cry_model
from cry_model import CheckpointConfig, CheckpointError, CryDetector, Recording, save_checkpoint
from cry_model.detector import HUM_HZ, score_windows, without_hum
from cry_model.frontend import FrontEndConfig
from tests.stand_ins import detector_config
from train.fit.presets import DETECTOR

RATE = 16_000


@pytest.fixture(scope="module")
def detector():
    """Fresh weights: what is tested is everything but its judgement."""
    torch.manual_seed(0)
    config = detector_config()
    return CryDetector(config.build(), config)


def sound(seconds, rate=RATE, seed=0):
    wave = torch.randn(round(seconds * rate), generator=torch.Generator().manual_seed(seed))
    return Recording(0.1 * wave, rate)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.5, 2.0, 2.1, 7.3])
def test_looks_cover_a_recording_of_any_length(detector, rate, seconds):
    track = detector.scan(sound(seconds, rate))
    steps = np.diff(track.starts)
    np.testing.assert_allclose(steps, 0.512)
    assert track.starts[0] == 0
    assert track.starts[-1] + track.seconds >= seconds - 0.02  # all of it
    assert len(track.starts) == 1 or track.starts[-2] + track.seconds < seconds + 0.02
    assert all(0 <= p <= 1 for p in track.probabilities)


def test_a_look_is_what_the_model_says_of_that_stretch_alone(detector):
    wave = sound(9.0, 8000).waveform
    _, probabilities = score_windows(detector.model, detector.front_end, wave, 0)
    first = 5 * 16 * 256
    with torch.inference_mode():
        alone = detector.front_end(wave[first : first + 62 * 256][None])
        expected = detector.model(alone).softmax(-1)[0, 0]
    # The frames at its edges hear what lies beyond them.
    assert float(probabilities[5]) == pytest.approx(float(expected), abs=0.02)


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("seconds", [2, 7.3])
def test_the_notches_take_the_hum_and_leave_the_rest(rate, seconds):
    def level(hertz):
        time = torch.arange(round(seconds * rate)) / rate
        wave = without_hum(torch.sin(2 * torch.pi * hertz * time), rate)
        middle = wave[len(wave) // 4 : -len(wave) // 4]  # at its ends a tone is no tone
        return 20 * np.log10(np.sqrt(2) * middle.std().item())

    for hertz in (*HUM_HZ, 50.1, 59.9):
        assert level(hertz) < -15
    for hertz in (30, 55, 80, 110, 170, 220, 260, 300, 440, 1000, 3000):
        assert level(hertz) == pytest.approx(0, abs=0.5)


def test_a_sound_without_hum_stays(detector):
    wave = sound(20.0, 8000).waveform
    found = without_hum(wave, 8000)
    assert found.shape == wave.shape
    assert 10 * torch.log10((found - wave).square().mean() / wave.square().mean()) < -15


def test_the_features_of_a_look_are_those_of_an_independent_computation(detector):
    wave = sound(2.0, 8000).waveform[: 62 * 256]
    c = detector.config.front_end
    window = np.hanning(c.window + 1)[:-1]
    padded = np.pad(wave.numpy().astype(np.float64), c.fft // 2, mode="reflect")
    frames = np.stack([padded[i * c.hop : i * c.hop + c.fft] for i in range(62)])
    power = np.abs(np.fft.rfft(frames * window)) ** 2 / (window**2).sum()
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    points = 700 * (10 ** (np.linspace(mel(c.low_hz), mel(c.high_hz), c.num_bands + 2) / 2595) - 1)
    hz = np.linspace(0, c.sample_rate / 2, c.fft // 2 + 1)
    low, mid, high = points[:-2, None], points[1:-1, None], points[2:, None]
    bank = np.clip(np.minimum((hz - low) / (mid - low), (high - hz) / (high - mid)), 0, None)
    bands = bank @ power.T
    loudness = bands.mean(0)
    level = loudness[loudness >= loudness.max() / 100].mean()
    expected = np.maximum(10 * np.log10(np.maximum(bands, 1e-30) / level), c.floor_db) - c.floor_db
    with torch.inference_mode():
        found = detector.front_end(wave[None])[0].numpy()
    np.testing.assert_allclose(found, expected / 20, atol=2e-3)


@pytest.mark.parametrize("decibels", [-40, -12, 12])
def test_the_level_does_not_matter(detector, decibels):
    recording = sound(6.0)
    louder = Recording(recording.waveform * 10 ** (decibels / 20), RATE)
    np.testing.assert_allclose(
        detector.scan(louder).probabilities, detector.scan(recording).probabilities, atol=1e-4
    )


def test_silence_is_no_cry(detector):
    wave = sound(10.0).waveform
    wave[: 5 * RATE] *= 1e-4
    track = detector.scan(Recording(wave, RATE))
    assert track.probabilities[:5] == (0.0,) * 5
    assert min(track.probabilities[-5:]) > 0
    assert detector.probability(torch.zeros(2 * RATE), RATE) == 0


def test_the_last_look_of_a_stream_is_a_look(detector):
    wave = sound(7.0).waveform
    found = detector.probability(wave, RATE)
    track = detector.scan(Recording(wave[-2 * RATE :], RATE))
    assert found == pytest.approx(max(track.probabilities), abs=1e-5)


def test_progress_grows_to_the_end(detector):
    seen = []
    detector.scan(sound(300.0, 8000), seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) > 1


def test_only_a_detector_is_taken_for_one(detector, tmp_path):
    config = detector_config()
    save_checkpoint(tmp_path / "detector", config.build(), config)
    assert CryDetector.from_pretrained(tmp_path / "detector").threshold == config.detector.threshold
    others = (
        replace(config, detector=None),
        replace(config, labels=("yes", "no")),
        replace(config, front_end=replace(config.front_end, level="recording")),
    )
    for number, other in enumerate(others):
        save_checkpoint(tmp_path / str(number), other.build(), other)
        with pytest.raises(CheckpointError, match="no detector"):
            CryDetector.from_pretrained(tmp_path / str(number))


@pytest.mark.parametrize("damage", [{"threshold": "high"}, {"area": None}, {"extra": 1}])
def test_a_damaged_record_is_refused(damage):
    text = detector_config().to_json()
    data = json.loads(text)
    data["detector"].update(damage)
    with pytest.raises(CheckpointError):
        CheckpointConfig.from_json(json.dumps(data))


def test_a_config_keeps_its_detector():
    config = detector_config()
    assert CheckpointConfig.from_json(config.to_json()) == config


class Deaf:
    """A detector that hears a cry in the stretches it is told of."""

    def __init__(self, *cries):
        self.cries = cries

    def scan(self, recording):
        starts = tuple(np.arange(0, max(0.5, recording.duration - 1.5), 0.5))
        heard = [float(any(a <= t + 1 < b for a, b in self.cries)) for t in starts]
        return cry_model.DetectionScores(starts, 2.0, tuple(heard), recording.duration, 0.5)


@pytest.fixture(scope="module")
def classifier(models):
    return models[0].classifier


def with_detector(classifier, *cries):
    return cry_model.CryClassifier(classifier.model, classifier.config, detector=Deaf(*cries))


def test_a_cry_is_classified_and_the_rest_is_not(classifier):
    recording = sound(40.0)
    prediction = with_detector(classifier, (10, 14), (25, 35)).predict(recording)
    assert prediction.is_cry
    assert len(prediction.segments) == 2
    for piece in prediction.pieces:
        assert any(
            s.start - 1.5 <= piece.start < piece.end <= s.end + 1.5 for s in prediction.segments
        )
    for segment in prediction.segments:
        inside = [
            p.probabilities
            for p in prediction.pieces
            if segment.start - 1.5 <= p.start and p.end <= segment.end + 1.5
        ]
        for label, value in segment.probabilities.items():
            assert value == pytest.approx(np.mean([p[label] for p in inside]), abs=1e-6)


def test_what_lies_outside_of_the_cries_does_not_matter(classifier):
    recording, other = sound(40.0), sound(40.0)
    other.waveform[: 8 * RATE] = 0.5
    other.waveform[18 * RATE :] = sound(22.0, seed=9).waveform
    gated = with_detector(classifier, (10, 14))
    first, second = gated.predict(recording), gated.predict(other)
    assert first.probabilities == pytest.approx(second.probabilities, abs=1e-6)


def test_where_no_cry_is_heard_the_answer_says_so_and_is_that_of_the_whole(classifier):
    recording = sound(20.0)
    prediction = with_detector(classifier).predict(recording)
    alone = cry_model.CryClassifier(classifier.model, classifier.config).predict(recording)
    assert prediction.is_cry is False
    assert prediction.segments == ()
    assert prediction.probabilities == alone.probabilities
    assert alone.is_cry is None


def test_pieces_of_different_length_keep_their_maps(classifier):
    prediction = with_detector(classifier, (3, 6), (12, 30)).predict(sound(40.0))
    lengths = {round(p.end - p.start, 2) for p in prediction.pieces}
    assert len(lengths) > 1
    times, tracks = prediction.timeline(prediction.attention.temporal[0])
    assert len(times) == tracks.shape[-1]
    assert float(tracks.min()) > 0  # a detector is never 0: nothing that only fills up is shown
    assert not ((times > 8) & (times < 11)).any()


def test_the_system_is_small_enough():
    config = detector_config()
    assert sum(p.numel() for p in config.build().parameters()) < 300_000
    assert isinstance(DETECTOR.front_end, FrontEndConfig)
