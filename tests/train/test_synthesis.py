"""Test synthetic cries, sounds and corpora by measuring the waveforms that are written."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.train.folders import contents
from train.data.corpus import DataError
from train.data.datasets.synthetic6 import LABELS, read, write
from train.data.synthesis import STYLES, write_examples
from train.data.synthetic_sounds import KINDS, RATE, SECONDS, make_sound


def test_examples_are_reproduced_exactly_with_3_db_headroom(tmp_path, examples):
    write_examples(tmp_path)
    made = contents(tmp_path)
    assert set(made) == {f"synthetic_{name}.wav" for name in (*STYLES, "door_chime")}
    assert made == {path.name: path.read_bytes() for path in examples.glob("*.wav")}
    for name in made:
        wave, rate = soundfile.read(tmp_path / name)
        assert rate == RATE
        assert 20 * np.log10(np.abs(wave).max()) == pytest.approx(-3, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_is_normalised_and_varies_with_its_number(kind):
    first, other = make_sound(kind, 1), make_sound(kind, 2)
    assert first.shape == (round(SECONDS * RATE),)
    assert first.dtype == np.float32
    assert np.abs(first).max() == pytest.approx(0.5, abs=1e-6)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.95
    if kind == "laughter":
        np.testing.assert_array_equal(first, make_sound(kind, 1))


def test_the_corpus_has_the_layout_of_the_challenge_and_is_read_back(synthetic):
    folder, corpus = synthetic / "synthetic6", read(synthetic)
    truth = pd.read_csv(folder / "truth.csv")
    rows = truth.drop(columns="onset_seconds").drop_duplicates().set_index("file")
    assert set(rows.index) == {f"train/{x}/{x}_{n}.wav" for x in LABELS for n in range(6)}
    assert set(contents(folder)) == {*rows.index, "truth.csv"}
    assert set(rows["sample_rate"]) == {8_000, 16_000, 44_100}
    assert len(corpus.items) == len(rows)
    for item in corpus.items:
        baby, rate = rows.loc[item.path.relative_to(folder).as_posix()]
        info, wave = soundfile.info(item.path), soundfile.read(item.path)[0]
        assert -24.1 < 20 * np.log10(np.abs(wave).max()) < -2.9
        assert info.samplerate == rate
        assert 0.749 < info.duration < 1.251
        assert (item.group, item.label) == (baby, item.path.parent.name)
        assert item.recording == item.source == item.path.stem


def test_a_corpus_is_reproducible_and_contained_in_a_larger_one(tmp_path):
    for name, recordings in (("small", 1), ("large", 2), ("again", 2)):
        write(tmp_path / name, recordings, seconds=0.7)
    small, large, again = (contents(tmp_path / name) for name in ("small", "large", "again"))
    assert large == again
    assert len(set(large.values())) == len(large)  # no recording is a copy of another
    table = "synthetic6/truth.csv"
    assert large.pop(table).startswith(small.pop(table))
    assert small.items() < large.items()


@pytest.mark.parametrize(
    "table",
    ["", "file,baby\ntrain/awake/awake_0.wav\n", "file,baby\ntrain/angry/angry_0.wav,baby_000\n",
     "name,baby\ntrain/awake/awake_0.wav,baby_000\n"],
)  # fmt: skip
def test_a_damaged_table_is_refused(tmp_path, table):
    (tmp_path / "synthetic6").mkdir()
    (tmp_path / "synthetic6" / "truth.csv").write_text(table)
    with pytest.raises(DataError, match=r"truth\.csv is damaged.*prepare synthetic6"):
        read(tmp_path)
