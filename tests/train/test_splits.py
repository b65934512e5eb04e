"""No group crosses a fold where the protocol forbids it, and pieces do where it lets them."""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from cry_model import FrontEndConfig
from train.data.corpus import ONLY_LEARNT, Clips, DataError, Item, cut_before_splitting
from train.data.splits import NEITHER, PROTOCOLS, learnt_from, split

RATE = FrontEndConfig().sample_rate


@pytest.fixture(scope="module")
def clips():
    """200 recordings of 3 to 16 s, cut out of 120 longer ones, of 50 babies."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c"], 200, p=[0.7, 0.2, 0.1])
    sources = rng.integers(120, size=200)
    items = tuple(
        Item(None, str(label), f"r{i}", f"s{source}", f"g{source % 50}")
        for i, (label, source) in enumerate(zip(labels, sources, strict=True))
    )
    seconds = tuple(rng.uniform(2, 16, 200))
    waves = tuple(torch.rand(round(s * RATE)) for s in seconds)
    indices = torch.tensor([ord(x) - 97 for x in labels])
    return Clips(items, indices, seconds, (RATE,) * len(items), waves, {})


@pytest.fixture(scope="module")
def units(clips):
    return {
        name: cut_before_splitting(clips, FrontEndConfig()) if name == "clip" else clips
        for name in PROTOCOLS
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("protocol", "together", "crossing"),
    [
        ("clip", [], ["recording", "source", "group"]),
        ("recording", ["recording", "source"], ["group"]),
        ("baby", ["recording", "source", "group"], []),
    ],
)
def test_what_stays_together_what_crosses_and_that_labels_are_spread(
    units, protocol, together, crossing, seed
):
    items = units[protocol].items
    folds = split(items, protocol, 5, seed)

    def most_folds(name):
        where = defaultdict(set)
        for item, fold in zip(items, folds, strict=True):
            where[getattr(item, name)].add(fold)
        return max(map(len, where.values()))

    assert all(most_folds(name) == 1 for name in together)
    assert all(most_folds(name) > 1 for name in crossing)
    tested = Counter((item.label, fold) for item, fold in zip(items, folds, strict=True))
    assert set(tested) == set(itertools.product("abc", range(5)))
    assert (split(items, protocol, 5, seed) == folds).all()
    assert (split(items, protocol, 5, seed + 3) != folds).any()


def test_pieces_of_the_clip_protocol_do_not_overlap_and_lose_nothing(clips):
    config = FrontEndConfig()
    cut = cut_before_splitting(clips, config)
    for item, wave in zip(clips.items, clips.waveforms, strict=True):
        parts = [
            (other.piece, part)
            for other, part in zip(cut.items, cut.waveforms, strict=True)
            if other.recording == item.recording
        ]
        assert [number for number, _ in parts] == list(range(len(parts)))
        assert torch.equal(torch.cat([part for _, part in parts]), wave)
        lengths = [len(part) / RATE for _, part in parts]
        assert max(lengths) - min(lengths) < 2 / RATE
        if len(wave) > 6 * RATE:
            assert 3 <= min(lengths) <= max(lengths) <= 5
        else:
            assert len(parts) == 1 or min(lengths) >= 3 - 2 / RATE
    labels = {item.recording: item.label for item in clips.items}
    assert all(
        labels[item.recording] == "abc"[label]
        for item, label in zip(cut.items, cut.labels, strict=True)
    )


def test_official_folds_are_taken_where_groups_must_not_cross(clips):
    items = [replace(item, fold=i % 4) for i, item in enumerate(clips.items)]
    for protocol in ("recording", "baby"):
        assert split(items, protocol, 4, 7).tolist() == [item.fold for item in items]
        with pytest.raises(DataError, match="in the folds 1, 2, 3, 4 of"):
            split(items, protocol, 5, 0)
    assert split(items, "clip", 4, 7).tolist() != [item.fold for item in items]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("protocol", ["recording", "baby"])
def test_a_test_part_is_tested_and_nothing_of_it_is_learnt(clips, protocol, seed):
    key = PROTOCOLS[protocol]
    items = [replace(item, fold=0 if i < 8 else ONLY_LEARNT) for i, item in enumerate(clips.items)]
    fold_of = split(items, protocol, 1, seed)
    learnt = learnt_from(fold_of, 0)
    assert np.flatnonzero(fold_of == 0).tolist() == list(range(8))
    tested = {key(item) for item in items[:8]}
    free = [i for i, item in enumerate(items) if key(item) not in tested]
    assert learnt.tolist() == free
    assert 0 < len(free) < len(items) - 8  # some are neither
    assert set(fold_of) == {0, ONLY_LEARNT, NEITHER}
