"""No group crosses a fold where the protocol forbids it."""

from collections import Counter

import numpy as np
import pytest

from train.corpus import DataError, Item
from train.datasets import donateacry
from train.splits import PROTOCOLS, by_baby, by_recording


@pytest.fixture(scope="module")
def items():
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c"], 200, p=[0.7, 0.2, 0.1])
    babies = rng.integers(50, size=200)
    return [
        Item(None, str(label), f"r{i}", f"r{i}", f"g{baby}")
        for i, (label, baby) in enumerate(zip(labels, babies, strict=True))
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_recording_is_tested_once_and_classes_are_spread(items, protocol):
    folds = PROTOCOLS[protocol](items, 5, 0)
    assert sorted(set(folds)) == [0, 1, 2, 3, 4]
    for label in "abc":
        counts = Counter(f for f, item in zip(folds, items, strict=True) if item.label == label)
        assert set(counts) == {0, 1, 2, 3, 4}


def folds_of_groups(folds, items):
    where = {}
    for fold, item in zip(folds, items, strict=True):
        where.setdefault(item.group, set()).add(fold)
    return where


def test_no_baby_is_in_two_folds(items):
    assert all(len(f) == 1 for f in folds_of_groups(by_baby(items, 5, 0), items).values())


def test_the_recording_protocol_lets_a_baby_cross(items):
    assert any(len(f) > 1 for f in folds_of_groups(by_recording(items, 5, 0), items).values())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_seed_decides(items, protocol):
    split = PROTOCOLS[protocol]
    assert (split(items, 5, 1) == split(items, 5, 1)).all()
    assert (split(items, 5, 1) != split(items, 5, 2)).any()


def test_too_few_babies_are_said_to_be_too_few(items):
    with pytest.raises(DataError, match="2 babies"):
        by_baby([i for i in items if i.group in {"g0", "g1"}], 5, 0)


def test_too_few_recordings_are_said_to_be_too_few(items):
    with pytest.raises(DataError, match="3 recordings"):
        by_recording(items[:3], 5, 0)


def test_donateacry_has_the_recordings_and_babies_that_it_should(data_root):
    corpus = donateacry.read(data_root)
    assert Counter(i.label for i in corpus.items) == {
        "hungry": 382, "discomfort": 27, "tired": 24, "belly_pain": 16, "burping": 8,
    }  # fmt: skip
    assert len({i.group for i in corpus.items}) == 221
    assert len({i.recording for i in corpus.items}) == 457
    folds = by_baby(corpus.items, 5, 0)
    assert all(len(f) == 1 for f in folds_of_groups(folds, corpus.items).values())
    for fold in range(5):
        tested = {i.label for f, i in zip(folds, corpus.items, strict=True) if f == fold}
        assert len(tested) == 5


def test_a_missing_corpus_says_what_to_put_where(tmp_path):
    with pytest.raises(DataError, match="donateacry-corpus"):
        donateacry.read(tmp_path)
