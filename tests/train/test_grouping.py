"""Groups from lengths, and from sounds: under another codec, level and cut, but no other sound."""

import csv
from collections import Counter

import pytest

from cry_model import audio
from cry_model.frontend import FrontEnd, FrontEndConfig
from tests.cry_model.encode import encode
from train.data.corpus import Item
from train.data.datasets import public
from train.data.datasets.challenge6 import SAME_LENGTH
from train.data.grouping import equal_lengths, join, near_duplicates
from train.data.synthesis import STYLES, synthesise

RATE = 16_000
FRONT_END = FrontEnd(FrontEndConfig())


def prepared(source, rate=None):
    return FRONT_END.prepare(audio.load(source, rate)).waveform


@pytest.fixture(scope="module")
def cries():
    """Two cries of each style, 7 s; a seed of its own each, for a seed is a rhythm and a noise."""
    styles = [*STYLES, *STYLES]
    return [synthesise(style, 7.0, RATE, seed).waveform for seed, style in enumerate(styles)]


def test_different_cries_are_not_duplicates(cries):
    assert near_duplicates([]) == near_duplicates([prepared(cries[0], RATE)]) == []
    assert near_duplicates([prepared(cry, RATE) for cry in cries]) == []


@pytest.mark.parametrize("ending", ["mp3", "ogg", "m4a", "wav"])
@pytest.mark.parametrize("shift", [0.0, 0.33, 2.01])  # s, neither of them a number of frames
def test_another_codec_level_and_cut_is_a_duplicate(cries, ending, shift):
    later = 0.2 * cries[0][round(shift * RATE) :]
    again = prepared(encode(later[:, None], RATE, ending))
    waves = [prepared(cry, RATE) for cry in cries]
    assert near_duplicates([*waves, again]) == [(0, len(waves))]


def test_two_cuts_are_duplicates_if_they_share_more_than_half_and_two_seconds(cries):
    front, back = cries[2][: round(5.5 * RATE)], cries[2][round(1.5 * RATE) :]
    assert near_duplicates([prepared(front, RATE), prepared(back, RATE)]) == [(0, 1)]
    front, back = cries[2][: round(4.2 * RATE)], cries[2][round(2.4 * RATE) :]  # 1.8 s
    assert near_duplicates([prepared(front, RATE), prepared(back, RATE)]) == []


def test_a_short_sound_has_no_pair_but_its_copy(cries):
    short = prepared(cries[0][: round(1.2 * RATE)], RATE)
    other = prepared(cries[4][: round(1.2 * RATE)], RATE)
    assert near_duplicates([short, other, short.clone()]) == [(0, 2)]


def test_recordings_at_8_and_16_khz_find_each_other(data_root):
    low = {i.recording.lower(): i for i in public.read_donateacry(data_root).items}
    high = {i.recording.lower(): i for i in public.read_ios(data_root).items}
    both = sorted(set(low) & set(high))[::6]  # a sixth of the 182
    waves = [prepared(table[name].path) for table in (low, high) for name in both]
    others = [name for name in sorted(low) if name not in high][::6]
    waves += [prepared(low[name].path) for name in others]
    assert near_duplicates(waves) == [(i, len(both) + i) for i in range(len(both))]


# Lengths and links


def item(name, label="hungry"):
    return Item(None, label, name, name, name)


def test_neighbours_in_length_chain_within_a_label_only():
    items = [item("a"), item("b"), item("c"), item("d"), item("e", "awake")]
    seconds = [5.0, 5.0012, 5.0006, 5.002, 5.0]
    pairs = equal_lengths(items, seconds, 0.0007)
    assert {frozenset(pair) for pair in pairs} == {frozenset((0, 2)), frozenset((2, 1))}


def test_links_pass_on_and_the_first_name_is_the_groups():
    items = [item(name) for name in "dcbae"]
    joined = join(items, [(0, 1), (2, 1), (0, 1)])
    assert [i.group for i in joined] == ["b", "b", "b", "a", "e"]
    assert [i.source for i in joined] == [i.group for i in joined]
    assert [(i.recording, i.label) for i in joined] == [(i.recording, i.label) for i in items]
    assert join(tuple(items), []) == tuple(items)


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
