"""The reader of the cuts of the paper's corpus."""

import csv
from collections import Counter

import numpy as np
import pytest
import soundfile

from train.data.cache import prepare
from train.data.corpus import DataError
from train.data.datasets import DATASETS
from train.data.datasets.challenge6_cuts import LABELS, read
from train.data.splits import split
from train.fit.presets import WIDE, usual_preset

RATE = 16_000


@pytest.fixture
def root(tmp_path):
    """Two groups by the table (1 and 1, 2), and a third cut that sounds like the last one."""
    rng = np.random.default_rng(0)
    rows = [("file", "label", "probable_original", "group")]
    sound = None
    for number, group in enumerate((1, 1, 2, 3), 1):
        name = f"hug/hug_0{number}.flac"
        path = tmp_path / "challenge6_cuts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 4:
            envelope = np.repeat(rng.uniform(0.01, 1, 30), RATE // 5)
            sound = 0.1 * envelope * rng.standard_normal(6 * RATE)
        soundfile.write(path, 0.5 * sound if number == 4 else sound, RATE)
        rows.append((name, "hug", "", group))
    with (tmp_path / "challenge6_cuts" / "groups.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return tmp_path


def test_groups_are_the_table_s_joined_with_equal_sound(root, tmp_path):
    data, _ = prepare(DATASETS["challenge6_cuts"], root, tmp_path / "cache", WIDE.front_end)
    groups = [item.group for item in data.clips.items]
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert [item.source for item in data.clips.items] == groups


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "groups.csv").unlink(), "There is no"),
        (lambda folder: (folder / "hug" / "hug_02.flac").unlink(), "hug_02"),
        (lambda folder: (folder / "groups.csv").write_text("file,label,group\n"), "no recording"),
        (lambda folder: (folder / "groups.csv").write_text("file\nhug/hug_01.flac\n"), "column"),
        (
            lambda folder: (folder / "groups.csv").write_text(
                "file,label,group\nhug/hug_01.flac,x,1\n"
            ),
            "label x",
        ),
    ],
)
def test_what_is_missing_is_named(root, change, says):
    change(root / "challenge6_cuts")
    with pytest.raises(DataError, match=says):
        read(root)


def test_the_real_cuts(data_root):
    corpus = read(data_root)
    assert Counter(item.label for item in corpus.items) == dict.fromkeys(LABELS, 44)
    with (data_root / "challenge6_cuts" / "groups.csv").open() as stream:
        table = {row["file"]: row["group"] for row in csv.DictReader(stream)}
    assert len({item.group for item in corpus.items}) == len(set(table.values()))
    fold = split(corpus.items, "recording", 5, 0)
    for one in {item.group for item in corpus.items}:
        assert len({f for f, i in zip(fold, corpus.items, strict=True) if i.group == one}) == 1


def test_it_is_fitted_as_the_other_corpora_of_one_wide_rate():
    assert usual_preset("improved-ecapa-tdnn", "challenge6_cuts") is WIDE
