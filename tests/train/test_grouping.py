"""Groups from lengths and from pairs."""

import csv
from collections import Counter

import pytest

from train.data.corpus import Item
from train.data.datasets.challenge6 import SAME_LENGTH
from train.data.grouping import equal_lengths, join


def item(name, label="hungry"):
    return Item(None, label, name, name, name)


def test_neighbours_in_length_chain_within_a_label_only():
    items = [item("a"), item("b"), item("c"), item("d"), item("e", "awake")]
    seconds = [5.0, 5.0012, 5.0006, 5.002, 5.0]
    pairs = equal_lengths(items, seconds, 0.0007)
    assert {frozenset(pair) for pair in pairs} == {frozenset((0, 2)), frozenset((2, 1))}


def test_links_pass_on_and_the_first_name_is_the_groups():
    items = [item(name) for name in "dcbae"]
    joined = join(items, [(0, 1), (2, 1)])
    assert [i.group for i in joined] == ["b", "b", "b", "a", "e"]
    assert [i.source for i in joined] == [i.group for i in joined]
    assert [(i.recording, i.label) for i in joined] == [(i.recording, i.label) for i in items]


def test_without_pairs_everything_stays_alone():
    items = (item("b"), item("a"))
    assert join(items, []) == items


@pytest.mark.parametrize("more", [[], [(0, 1)] * 3])
def test_a_pair_given_twice_is_a_pair(more):
    assert len({i.group for i in join([item(n) for n in "abc"], [(1, 0), *more])}) == 2


def test_the_published_lengths_give_426_groups(data_root):
    with (data_root / "challenge6" / "durations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    items = [item(r["filename"], r["filename"].split("_")[0]) for r in rows]
    seconds = [float(r["duration"]) for r in rows]
    joined = join(items, equal_lengths(items, seconds, SAME_LENGTH))
    sizes = Counter(Counter(i.group for i in joined).values())
    assert sizes == {2: 399, 4: 22, 6: 4, 8: 1}
    labels = {(i.group, i.label) for i in joined}
    assert len(labels) == 426
