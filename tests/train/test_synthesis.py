"""The synthetic cries are what they claim: measured on the waveform, not read from the code."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from train.data.synthesis import STYLES, synthesise, write_examples

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"
RATE = 16_000


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_is_one_cry(style):
    first, again, other = (synthesise(style, 1.5, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.waveform, again.waveform)
    np.testing.assert_array_equal(first.onsets, again.onsets)
    assert 0.1 < np.abs(first.waveform).max() < 1
    assert abs(np.corrcoef(first.waveform, other.waveform)[0, 1]) < 0.5
    assert (first.style, first.seed, first.sample_rate) == (style, 3, RATE)


@pytest.mark.parametrize(
    ("style", "rate", "seconds"),
    [
        ("high_pitched", 8_000, 0.01),
        ("high_pitched", 44_100, 1.23456),
        ("whimper", 16_000, 1.23456),
    ],
)
def test_length_level_and_values(style, rate, seconds):
    cry = synthesise(style, seconds, rate, seed=1)
    assert cry.waveform.shape == (round(seconds * rate),)
    assert cry.waveform.dtype == np.float32
    assert np.isfinite(cry.waveform).all()
    peak = 10 ** (STYLES[style].level_dbfs / 20)
    assert np.abs(cry.waveform).max() == pytest.approx(peak, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("angry", 1.0), "'angry'.*rhythmic"), (("rhythmic", 0), "no sample"),
     (("rhythmic", 1.0, 0), "no sample")],
)  # fmt: skip
def test_nonsense_is_refused(words, said):
    with pytest.raises(ValueError, match=said):
        synthesise(*words)


def test_examples_are_regenerated_byte_for_byte_and_have_headroom(tmp_path):
    made = {path.name: path for path in write_examples(tmp_path)}
    assert set(made) == {f"synthetic_{name}.wav" for name in (*STYLES, "door_chime")}
    for name, path in made.items():
        assert path.read_bytes() == (EXAMPLES / name).read_bytes()
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        peak = np.abs(soundfile.read(path)[0]).max()
        assert 20 * np.log10(peak) == pytest.approx(-3, abs=0.01)
    assert {path.name for path in EXAMPLES.glob("*.wav")} == set(made)
