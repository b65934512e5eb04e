"""Silencing a stretch: the right samples, and the fall that a calculation by hand gives."""

import numpy as np
import pytest
import torch

from cry_model import CheckpointConfig, CryClassifier, FrontEndConfig, audio
from cry_model.frontend import Clip
from train.deletion import falls, probabilities, silence

RATE, OFFSET, FADE = 8_000, 2.345, 0.01


@pytest.fixture(scope="module")
def clip():
    """7 s of noise that gets louder, from 2.345 s of its recording on."""
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(7 * RATE) * np.linspace(0.1, 2, 7 * RATE)
    return Clip(torch.from_numpy(wave).float(), OFFSET)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    config = CheckpointConfig(
        "improved-ecapa-tdnn", ("a", "b", "c"), FrontEndConfig(), {"channels": 8}
    )
    return CryClassifier(config.build(), config)


def gain_by_loop(clip, begin, seconds):
    gain = np.ones(len(clip.waveform))
    for i in range(len(gain)):
        time = clip.offset + i / RATE
        outside = max(begin - time, time - (begin + seconds - 1 / RATE))
        gain[i] = min(max(outside / FADE, 0), 1)
    return gain


@pytest.mark.parametrize(
    ("begin", "zeros"), [(4.0, 8000), (OFFSET - 0.4, 4800), (OFFSET + 6.5, 4000), (OFFSET, 8000)]
)
def test_the_right_second_is_silent_and_the_rest_untouched(clip, begin, zeros):
    found = silence(clip, RATE, begin, 1.0, FADE)
    assert found.offset == clip.offset
    assert found.waveform.shape == clip.waveform.shape
    gain = (found.waveform / clip.waveform).numpy()
    np.testing.assert_allclose(gain, gain_by_loop(clip, begin, 1.0), atol=0.02)
    assert (gain == 0).sum() == zeros
    assert (gain == 1).sum() >= len(gain) - zeros - 2 * round(FADE * RATE)


def test_without_a_fade_nothing_but_the_stretch_changes(clip):
    gain = silence(clip, RATE, 3.0, 0.5, 0.0).waveform / clip.waveform
    assert set(gain.unique().tolist()) == {0.0, 1.0}
    assert (gain == 0).sum() == 4000


def test_probabilities_are_those_of_the_classifier(clip, classifier):
    recording = audio.Recording(clip.waveform / 10, RATE)
    prediction = classifier.predict(recording)
    prepared = classifier.front_end.prepare(recording)
    (found,) = probabilities(classifier, [prepared])
    assert found.tolist() == pytest.approx(list(prediction.probabilities.values()), abs=1e-6)


def test_falls_are_those_of_a_calculation_by_hand(clip, classifier):
    def answer(wave):
        pieces = [wave[:40_000], wave[16_000:]]  # 7 s in two pieces of 5 s
        with torch.no_grad():
            rows = [classifier.model(classifier.front_end(p[None])).softmax(-1) for p in pieces]
        return torch.cat(rows).mean(0).numpy()

    begins = [2.5, 6.0, 8.3]
    before = answer(clip.waveform)
    label = before.argmax()
    expected = []
    for begin in begins:
        first = round((begin - OFFSET) * RATE)
        wave = clip.waveform.clone()
        wave[first : first + RATE] = 0
        after = answer(wave)
        expected.append((before[label] - after[label], np.log(before[label] / after[label])))
    found = falls(classifier, clip, begins, 1.0, 0.0).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(found).min() > 1e-5  # the answer does depend on every stretch
