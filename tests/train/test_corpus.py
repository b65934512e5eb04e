"""A corpus: prepared once, its groups found, its folds split as each protocol says."""

import csv
import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from cry_model import PAPER_FRONT_END, FrontEnd, FrontEndConfig
from cry_model.sound import audio
from tests.cry_model.encode import encode
from tests.train.folders import clips_of, cry, write
from train.__main__ import main
from train.data.cache import DATASETS, cache_path, load, prepare
from train.data.corpus import ONLY_LEARNT, DataError, Item, cut_before_splitting
from train.data.datasets import public
from train.data.datasets.challenge6 import SAME_LENGTH
from train.data.splits import (
    NEITHER,
    PROTOCOLS,
    equal_lengths,
    join,
    learnt_from,
    near_duplicates,
    split,
)
from train.data.synthesis import STYLES, synthesise

DATASET = DATASETS["donateacry"]
CONFIG = FrontEndConfig()


@pytest.fixture
def root(tmp_path):
    """Five recordings, one a label, and one that is no recording."""
    for i, label in enumerate(public.REASONS):
        path = tmp_path / "donateacry" / label / f"{i:036d}-x.wav"
        write(path, cry(i, 2.0 + i, 8000), 8000)
    (tmp_path / "donateacry" / "tired" / "broken.wav").write_bytes(b"RIFF broken")
    return tmp_path


def test_it_holds_what_was_decoded_to_16_bits(made_up_root, clips, tmp_path):
    data, path = prepare(DATASET, made_up_root, tmp_path, CONFIG)
    assert [replace(i, path=None) for i in data.clips.items] == [
        replace(i, path=None) for i in clips.items
    ]
    assert torch.equal(data.clips.labels, clips.labels)
    assert data.clips.seconds == clips.seconds
    for ours, decoded in zip(data.clips.waveforms, clips.waveforms, strict=True):
        assert (ours - decoded).abs().max() <= decoded.abs().max() / 32767 / 2 * 1.01
    size = sum(2 * len(w) for w in clips.waveforms)
    assert size < path.stat().st_size < 1.05 * size + 20_000


def test_the_paper_front_end_shares_the_file_and_another_rate_does_not(root, tmp_path):
    _, path = prepare(DATASET, root, tmp_path / "c", CONFIG)
    assert prepare(DATASET, root, tmp_path / "c", PAPER_FRONT_END)[1] == path
    other = replace(CONFIG, sample_rate=16_000)
    assert cache_path(tmp_path / "c", "donateacry", other) != path
    with pytest.raises(DataError, match="another front end"):
        load(path, other)


def test_it_is_written_once_and_again_when_a_recording_changes(root, tmp_path):
    first, path = prepare(DATASET, root, tmp_path / "c", CONFIG)
    written = path.stat().st_mtime_ns
    prepare(DATASET, root, tmp_path / "c", CONFIG)
    assert path.stat().st_mtime_ns == written
    file = next((root / "donateacry" / "hungry").iterdir())
    length = soundfile.info(file).frames / 8000  # not even the length tells
    write(file, cry(9, length, 8000), 8000)
    again, _ = prepare(DATASET, root, tmp_path / "c", CONFIG)
    assert path.stat().st_mtime_ns != written
    assert again.clips.fingerprint() != first.clips.fingerprint()


def test_what_cannot_be_read_is_left_out_and_named_and_takes_no_other_with_it(
    root, tmp_path, capsys, monkeypatch
):
    folder = root / "donateacry" / "tired"
    samples = cry(9, 2.0, 8000)
    soundfile.write(folder / "huge.wav", samples * 1e30, 8000, subtype="FLOAT")
    soundfile.write(folder / "odd.wav", samples, 8000)
    load_one = audio.load

    def unlucky(source, *args):
        if source == folder / "odd.wav":
            raise IndexError("index 0 is out of bounds")
        return load_one(source, *args)

    monkeypatch.setattr(audio, "load", unlucky)
    command = ["prepare", "donateacry", "--data-root", str(root), "--cache", str(tmp_path / "c")]
    for _ in range(2):  # decoded, and then from the file
        assert main(command) == 0
        said = capsys.readouterr().out
        assert "Left out broken:" in said
        assert "Left out huge: The recording holds impossible values" in said
        assert "Left out odd: This recording could not be read (IndexError)" in said
        assert "5 recordings in 5 groups, 0 of them unlabelled, 3 left out." in said


def test_a_missing_or_damaged_file_is_one_sentence(root, tmp_path):
    _, path = prepare(DATASET, root, tmp_path / "c", CONFIG)
    with pytest.raises(DataError, match="There is no file"):
        load(tmp_path / "none.safetensors", CONFIG)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="damaged or not a prepared corpus"):
        load(path, CONFIG)
    assert len(prepare(DATASET, root, tmp_path / "c", CONFIG)[0].clips.items) == 5


# No group crosses a fold where the protocol forbids it, and pieces do where it lets them


RATE = FrontEndConfig().sample_rate


@pytest.fixture(scope="module")
def cut_clips():
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
    return clips_of(items, waves, "abc", RATE)


@pytest.fixture(scope="module")
def units(cut_clips):
    return {
        name: cut_before_splitting(cut_clips, FrontEndConfig()) if name == "clip" else cut_clips
        for name in PROTOCOLS
    }


@pytest.mark.parametrize(
    ("protocol", "together", "crossing"),
    [
        ("clip", [], ["recording", "source", "group"]),
        ("recording", ["recording", "source"], ["group"]),
        ("baby", ["recording", "source", "group"], []),
    ],
)
def test_what_stays_together_what_crosses_and_that_labels_are_spread(
    units, protocol, together, crossing
):
    items = units[protocol].items
    folds = split(items, protocol, 5, 0)

    def most_folds(name):
        where = defaultdict(set)
        for item, fold in zip(items, folds, strict=True):
            where[getattr(item, name)].add(fold)
        return max(map(len, where.values()))

    assert all(most_folds(name) == 1 for name in together)
    assert all(most_folds(name) > 1 for name in crossing)
    tested = Counter((item.label, fold) for item, fold in zip(items, folds, strict=True))
    assert set(tested) == set(itertools.product("abc", range(5)))
    assert (split(items, protocol, 5, 0) == folds).all()
    assert (split(items, protocol, 5, 3) != folds).any()


def test_pieces_of_the_clip_protocol_do_not_overlap_and_lose_nothing(cut_clips):
    config = FrontEndConfig()
    cut = cut_before_splitting(cut_clips, config)
    for item, wave in zip(cut_clips.items, cut_clips.waveforms, strict=True):
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
    assert [item.label for item in cut.items] == ["abc"[label] for label in cut.labels]


def test_official_folds_are_taken_where_groups_must_not_cross(cut_clips):
    items = [replace(item, fold=i % 4) for i, item in enumerate(cut_clips.items)]
    for protocol in ("recording", "baby"):
        assert split(items, protocol, 4, 7).tolist() == [item.fold for item in items]
        with pytest.raises(DataError, match="in the folds 1, 2, 3, 4 of"):
            split(items, protocol, 5, 0)
    assert split(items, "clip", 4, 7).tolist() != [item.fold for item in items]


@pytest.mark.parametrize("protocol", ["recording", "baby"])
def test_a_test_part_is_tested_and_nothing_of_it_is_learnt(cut_clips, protocol):
    key = PROTOCOLS[protocol]
    items = [
        replace(item, fold=0 if i < 8 else ONLY_LEARNT) for i, item in enumerate(cut_clips.items)
    ]
    fold_of = split(items, protocol, 1, 0)
    learnt = learnt_from(fold_of, 0)
    assert np.flatnonzero(fold_of == 0).tolist() == list(range(8))
    tested = {key(item) for item in items[:8]}
    free = [i for i, item in enumerate(items) if key(item) not in tested]
    assert learnt.tolist() == free
    assert 0 < len(free) < len(items) - 8  # some are neither
    assert set(fold_of) == {0, ONLY_LEARNT, NEITHER}


# Groups from lengths, and from sounds: under another codec, level and cut, but no other sound


HZ = 16_000
FRONT_END = FrontEnd(FrontEndConfig())


def prepared(source, rate=None):
    return FRONT_END.prepare(audio.load(source, rate)).waveform


@pytest.fixture(scope="module")
def cries():
    """Two cries of each style, 7 s; a seed of its own each, for a seed is a rhythm and a noise."""
    styles = [*STYLES, *STYLES]
    return [synthesise(style, 7.0, HZ, seed).waveform for seed, style in enumerate(styles)]


def test_different_cries_are_not_duplicates(cries):
    assert near_duplicates([]) == near_duplicates([prepared(cries[0], HZ)]) == []
    assert near_duplicates([prepared(cry, HZ) for cry in cries]) == []


@pytest.mark.parametrize(
    ("ending", "shift"),  # s, neither of them a number of frames
    [("mp3", 0.33), ("ogg", 2.01), ("m4a", 0.0), ("wav", 0.33)],
)
def test_another_codec_level_and_cut_is_a_duplicate(cries, ending, shift):
    later = 0.2 * cries[0][round(shift * HZ) :]
    again = prepared(encode(later[:, None], HZ, ending))
    waves = [prepared(cry, HZ) for cry in cries]
    assert near_duplicates([*waves, again]) == [(0, len(waves))]


def test_two_cuts_are_duplicates_if_they_share_more_than_half_and_two_seconds(cries):
    front, back = cries[2][: round(5.5 * HZ)], cries[2][round(1.5 * HZ) :]
    assert near_duplicates([prepared(front, HZ), prepared(back, HZ)]) == [(0, 1)]
    front, back = cries[2][: round(4.2 * HZ)], cries[2][round(2.4 * HZ) :]  # 1.8 s
    assert near_duplicates([prepared(front, HZ), prepared(back, HZ)]) == []
    short, other = (prepared(cries[i][: round(1.2 * HZ)], HZ) for i in (0, 4))
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
