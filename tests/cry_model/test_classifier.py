"""Test prediction on a recording, calibrated or not, with bundled and untrained systems."""

import copy
import io
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from scipy.special import softmax

import cry_model
from cry_model import (
    CheckpointConfig,
    CryClassifier,
    DetectionScores,
    Estimate,
    FrontEnd,
    FrontEndConfig,
    Recording,
    Span,
)
from cry_model.calibration import apply_temperature
from cry_model.classifier import LONGEST, NoAnswerError, parts, pieces_of, widened
from cry_model.networks.registry import usual_config
from cry_model.prediction import Answer
from cry_model.sound import audio
from cry_model.sound.front_end_config import cut
from tests.stand_ins import CALIBRATION, EVALUATION

LABELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def shipped():
    """Return the bundled classifier for the reasons of Donate-a-Cry."""
    return CryClassifier.from_pretrained("donate-a-cry", detector=False)


@pytest.fixture(scope="module", params=cry_model.list_models())
def fresh(request):
    torch.manual_seed(0)
    config = CheckpointConfig(request.param, LABELS, usual_config(request.param))
    return CryClassifier(config.build(), config)


def sweep(seconds, rate=16000):
    t = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * (500 * t + 30 * np.sin(3 * t)))  # 410 to 590 Hz


def test_pieces_are_predicted_independently_and_averaged(fresh):
    wave = torch.from_numpy(sweep(23)).float()
    clip = fresh.front_end.prepare(Recording(wave, 16000))
    with torch.inference_mode():
        pieces = cut(clip, fresh.front_end.config).waveforms
        alone = [fresh.model(fresh.front_end(p[None])).softmax(-1)[0] for p in pieces]
    found = fresh.predict(wave, 16000)
    assert len(alone) >= 3
    for piece, expected in zip(found.pieces, alone, strict=True):
        assert list(piece.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    mean = np.mean(np.stack(alone), axis=0)
    assert found.probabilities == pytest.approx(dict(zip(LABELS, mean, strict=True)), abs=1e-5)
    assert found.pieces[0].start == pytest.approx(0, abs=0.1)
    assert found.pieces[-1].end == pytest.approx(23, abs=0.1)


def test_timeline_averages_overlapping_pieces(shipped):
    prediction = shipped.predict(sweep(8), 16000)
    gates = prediction.attention.temporal[0]
    times, track = prediction.timeline(gates)
    assert len(times) == len(track) == pytest.approx(400, abs=2)
    first, second = (round(p.start / prediction.hop_seconds) for p in prediction.pieces[:2])
    at = second + 10 - first
    assert track[at] == pytest.approx(float(gates[0, at] + gates[1, 10]) / 2, abs=1e-6)
    assert float(times[at]) == pytest.approx((second + 10) * 0.02)


ROUTES = {
    "donate-a-cry": ("donateacry/*/*.wav", (8000, 16_000, 44_100, 48_000)),
    "six-class": ("donateacry_ios/*.flac", (16_000, 44_100, 48_000)),
    "six-class-features": ("donateacry_ios/*.flac", (16_000, 44_100, 48_000)),
}


@pytest.mark.parametrize("name", ROUTES)
def test_rate_level_and_channels_do_not_change_the_answer(name, data_root):
    """Resample with SciPy, not our code: rate, level and channels must not change probabilities."""
    classifier, (pattern, rates) = CryClassifier.from_pretrained(name, detector=False), ROUTES[name]
    found = []
    for path in sorted(data_root.glob(pattern))[::110]:
        wave, rate = soundfile.read(path, dtype="float32")
        expected = classifier.predict(path)
        found.append([*expected.probabilities.values()])
        for channels, (target, gain) in enumerate(zip(rates, (4.0, 0.25, 1.0, 4.0), strict=False)):
            there = scipy.signal.resample(wave, round(len(wave) * target / rate)) * gain
            file, form = io.BytesIO(), np.stack([there] * (1 + channels % 2), axis=1)
            soundfile.write(file, form, target, subtype="FLOAT", format="WAV")
            answer = classifier.predict(file)
            assert answer.probabilities == pytest.approx(expected.probabilities, abs=0.05)
            assert ("kHz" in str(answer.cautions)) == ("kHz" in str(expected.cautions))
    assert np.std(found, axis=0).max() > 0.02  # different cries have different answers


def test_threads_share_a_classifier(shipped, examples):
    paths = sorted(examples.glob("*.wav"))
    expected = [shipped.predict(path).probabilities for path in paths]
    with ThreadPoolExecutor(4) as pool:
        for number, answer in enumerate(pool.map(shipped.predict, 3 * paths)):
            assert answer.probabilities == pytest.approx(expected[number % len(paths)], abs=1e-6)


def test_nan_and_silence_raise_and_leave_the_classifier_usable(fresh):
    broken = CryClassifier(copy.deepcopy(fresh.model), fresh.config)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(math.nan)
    with pytest.raises(NoAnswerError, match="choose another"):
        broken.predict(sweep(1.0), 16000)
    with pytest.raises(audio.SilentAudioError):
        fresh.predict(np.zeros(16000), 16000)
    assert fresh.predict(sweep(1.0), 16000).label in LABELS


# Which part of a recording is classified: the widened cries, or all of it


RATE, FRONT_END = 8000, FrontEnd(FrontEndConfig())


def noise(seconds):
    wave = torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(0))
    return Recording(0.1 * wave, RATE)


def test_the_likeliest_minute_is_classified_if_there_is_no_cry():
    values = tuple(0.3 if 200 <= s < 250 else 0.1 for s in np.arange(0, 600, 0.5))
    (span,) = parts(DetectionScores(0.5, values, 600.0, 0.5), 600.0)
    assert span.seconds == pytest.approx(LONGEST)
    assert span.start <= 200
    assert span.end >= 250


@pytest.mark.parametrize("where", [(0, 0.4), (4, 4.5), (9.7, 10), (2, 9)])
@pytest.mark.parametrize("least", [0.5, 3.0, 10.0])
def test_a_cry_is_widened_by_its_surroundings(where, least):
    span = Span(*where)
    wide = widened(span, least, 10.0)
    assert 0 <= wide.start <= span.start
    assert span.end <= wide.end <= 10
    assert least - 1e-9 <= wide.seconds <= max(span.seconds + 1, least + 1e-9)


def test_pieces_come_from_the_widened_span():
    sound = noise(20)
    ((_, found),) = pieces_of(FRONT_END, sound, (Span(8, 12),))
    alone = Recording(sound.waveform[round(7.5 * RATE) : round(12.5 * RATE)], RATE)
    expected = cut(FRONT_END.prepare(alone), FRONT_END.config)
    torch.testing.assert_close(found.waveforms, expected.waveforms)
    ((_, long),) = pieces_of(FRONT_END, noise(120), (Span(0, 120),))
    assert len(long.starts) == 24  # in recordings of minutes the pieces do not overlap


def test_silent_spans_are_left_out_and_only_silence_raises():
    sound = noise(30)
    sound.waveform[: 10 * RATE] = 0
    found = pieces_of(FRONT_END, sound, (Span(2, 5), Span(15, 20)))
    assert [span for span, _ in found] == [Span(15, 20)]
    with pytest.raises(audio.SilentAudioError):
        pieces_of(FRONT_END, sound, (Span(2, 5),))


# Calibrated probabilities, prediction sets, and the answers that follow


MADE_UP = replace(CALIBRATION, temperature=2.0, constant_set=("c", "b"), by_label={"a": 0.5})


def calibrated(calibration=MADE_UP):
    """Return a classifier with the same random weights under any calibration."""
    torch.manual_seed(0)
    config = CheckpointConfig("ecapa-tdnn", LABELS, usual_config("ecapa-tdnn"))
    model = config.build()
    model.classifier.bias.data = torch.tensor([0.8, 0.0, 0.4])
    return CryClassifier(model, replace(config, calibration=calibration))


@pytest.fixture(scope="module")
def prediction():
    return calibrated().predict(noise(3))


@pytest.mark.parametrize("temperature", [0.25, 3.0])
def test_temperature_scaling_divides_log_probabilities(temperature):
    rows = np.random.default_rng(0).dirichlet([1, 1, 1, 1], 20)
    expected = softmax(np.log(rows) / temperature, axis=1)
    np.testing.assert_allclose(apply_temperature(rows, temperature), expected, atol=1e-5)
    assert apply_temperature(np.array([1.0, 0, 0]), 0.05).tolist() == pytest.approx([1, 0, 0])


def test_temperature_applies_to_recording_and_pieces():
    before, after = (calibrated(c).predict(noise(12)) for c in (None, MADE_UP))
    assert len(after.pieces) > 1
    for old, new in ((before, after), *zip(before.pieces, after.pieces, strict=True)):
        root = np.sqrt(list(old.probabilities.values()))
        assert list(new.probabilities.values()) == pytest.approx(root / root.sum(), abs=1e-6)
    assert before.prediction_set is None
    assert before.answer == Answer("set", (before.label,))


@pytest.mark.parametrize("count", range(4))
def test_prediction_set_is_thresholded_and_ordered_by_probability(prediction, count):
    probabilities = prediction.probabilities
    ranked = sorted(LABELS, key=lambda label: -probabilities[label])
    values = [1.0, *(probabilities[label] for label in ranked), 0.0]
    threshold = 1 - (values[count] + values[count + 1]) / 2  # between two of the scores
    found = calibrated(replace(MADE_UP, threshold=threshold)).predict(noise(3))
    assert found.prediction_set == tuple(ranked[:count])


AT_CHANCE = replace(EVALUATION, metrics={"balanced_accuracy": Estimate(0.2, 0.1, 0.3)})


@pytest.mark.parametrize(
    ("named", "changes", "why"),
    [
        (("c",), {}, None),
        (("c", "a"), {"cautions": ("Less sure.",), "evaluation": EVALUATION}, None),
        ((), {}, "no reason likely"),
        (("c", "a", "b"), {}, "every reason possible"),
        (("c",), {"outside": True, "evaluation": AT_CHANCE}, "out of distribution"),
        (("c",), {"evaluation": AT_CHANCE}, "at chance"),
        (None, {"evaluation": AT_CHANCE}, "at chance"),
    ],
)
@pytest.mark.parametrize("score", [None, 0.9, 0.6, 0.1])
def test_answer_has_the_right_kind_and_reason(prediction, named, changes, why, score):
    track = None if score is None else DetectionScores(0.5, (score,), 0.5, 0.8, maybe=0.5)
    labels = () if why else named
    if score == 0.1:
        expected = Answer("not_a_cry", (), "no cry")
    elif score == 0.6:
        expected = Answer("maybe_cry", labels, why)
    else:
        expected = Answer("cannot_tell" if why else "set", labels, why)
    assert replace(prediction, prediction_set=named, track=track, **changes).answer == expected
