"""The synthetic corpus: laid out as promised, always the same, neither trivial nor hopeless."""

import csv
from collections import Counter, defaultdict
from unittest.mock import Mock

import pytest
import soundfile

from train.data.corpus import DataError
from train.data.datasets import synthetic6
from train.data.datasets.synthetic6 import LABELS, plan, read, write

RECORDINGS, SECONDS = 12, 2.0  # large enough for the classifier, small enough for a test


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write(folder, RECORDINGS, SECONDS)
    return folder


def contents(folder):
    """Path below the folder -> bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def truth(root):
    """The rows of truth.csv."""
    with (root / "synthetic6" / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_layout_is_that_of_the_challenge_and_read_gives_labels_and_babies(root):
    folder, corpus = root / "synthetic6", read(root)
    wanted = {f"train/{x}/{x}_{n}.wav" for x in LABELS for n in range(RECORDINGS)}
    assert set(contents(folder)) == wanted | {"truth.csv"}
    assert set(truth(root)[0]) == {"file", "baby", "sample_rate", "onset_seconds"}
    rows = {row["file"]: row for row in truth(root)}
    assert set(rows) == wanted == {i.path.relative_to(folder).as_posix() for i in corpus.items}
    assert (corpus.name, corpus.labels) == ("synthetic6", LABELS)
    for item in corpus.items:
        row, info = rows[item.path.relative_to(folder).as_posix()], soundfile.info(item.path)
        assert (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1)
        assert info.samplerate == int(row["sample_rate"])
        assert 0.75 * SECONDS - 0.001 < info.duration < 1.25 * SECONDS + 0.001
        assert (item.group, item.label) == (row["baby"], item.path.parent.name)
        assert item.recording == item.source == item.path.stem
    assert {int(row["sample_rate"]) for row in rows.values()} == {8_000, 16_000, 44_100}


def test_the_same_bytes_each_time_and_a_smaller_corpus_begins_a_larger_one(tmp_path):
    for name, recordings in (("small", 1), ("large", 2), ("again", 2)):
        write(tmp_path / name, recordings, seconds=0.7)
    small, large, again = (contents(tmp_path / name) for name in ("small", "large", "again"))
    assert large == again
    assert len(set(large.values())) == len(large)  # no recording is a copy of another
    table = "synthetic6/truth.csv"
    assert large.pop(table).startswith(small.pop(table))
    assert small.items() < large.items()


def test_a_baby_cries_in_one_class_three_times_in_one_voice_at_every_rate():
    babies = defaultdict(list)
    for cry in plan():
        babies[cry.baby].append(cry)
    assert {len(cries) for cries in babies.values()} == {3}
    assert all(len({cry.label for cry in cries}) == 1 for cries in babies.values())
    labels = Counter(cries[0].label for cries in babies.values())
    assert labels == dict.fromkeys(LABELS, 10)
    voices = {baby: {cry.style.formants_hz for cry in cries} for baby, cries in babies.items()}
    assert {len(voice) for voice in voices.values()} == {1}
    assert len(set.union(*voices.values())) == len(babies)
    for of in ("label", "baby"):  # no rate tells either
        counts = Counter((getattr(cry, of), cry.sample_rate) for cry in plan())
        assert len(set(counts.values())) == 1
        assert len(counts) == 3 * len({getattr(cry, of) for cry in plan()})


def test_an_existing_corpus_is_not_overwritten_and_an_empty_one_not_made(root, tmp_path):
    before = contents(root)
    with pytest.raises(DataError, match=r"exists and is not overwritten.*delete it"):
        write(root, 1, 0.5)
    assert contents(root) == before
    with pytest.raises(DataError, match="at least one recording"):
        write(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    made = [synthetic6.synthesise("whimper", 0.5)] * 2
    monkeypatch.setattr(synthetic6, "synthesise", Mock(side_effect=[*made, KeyboardInterrupt]))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 1, 0.5)
    assert list(tmp_path.iterdir()) == []


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
