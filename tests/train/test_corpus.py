"""Test a corpus: its prepared file, its groups, and the folds of each protocol."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from cry_model import PAPER_FRONT_END, FrontEnd, FrontEndConfig
from cry_model.sound import audio
from tests.cry_model.encode import encode
from tests.train.folders import clips_of, cry, write
from train.__main__ import main
from train.data.cache import DATASETS, load, prepare
from train.data.corpus import ONLY_LEARNT, DataError, Item, cut_before_splitting
from train.data.datasets import public
from train.data.splits import NEITHER, PROTOCOLS, learnt_from, near_duplicates, split
from train.data.synthesis import STYLES, synthesise

CONFIG = FrontEndConfig()


@pytest.fixture
def root(tmp_path):
    """Write five recordings, one for each label, and a broken file."""
    for i, label in enumerate(public.REASONS):
        path = tmp_path / "donateacry" / label / f"{i:036d}-x.wav"
        write(path, cry(i, 2.0 + i, 8000), 8000)
    (tmp_path / "donateacry" / "tired" / "broken.wav").write_bytes(b"RIFF broken")
    return tmp_path


def prepared(root, config=CONFIG):
    """Prepare the corpus; return it and its file."""
    return prepare(DATASETS["donateacry"], root, root / "cache", config)


def test_prepared_corpus_holds_the_audio_in_16_bits(made_up_root, clips, tmp_path):
    data, path = prepare(DATASETS["donateacry"], made_up_root, tmp_path, CONFIG)
    for own, other in zip(data.clips.items, clips.items, strict=True):
        assert replace(own, path=other.path) == other
    assert torch.equal(data.clips.labels, clips.labels)
    assert data.clips.seconds == clips.seconds
    for ours, decoded in zip(data.clips.waveforms, clips.waveforms, strict=True):
        assert (ours - decoded).abs().max() <= decoded.abs().max() / 32767 / 2 * 1.01
    size = sum(2 * len(w) for w in clips.waveforms)
    assert size < path.stat().st_size < 1.05 * size + 20_000


def test_prepared_corpus_is_rewritten_when_recordings_or_rate_change(root):
    first, path = prepared(root)
    written = path.stat().st_mtime_ns
    assert prepared(root, PAPER_FRONT_END)[1] == path
    other = replace(CONFIG, sample_rate=16_000)
    assert prepared(root, other)[1] != path
    with pytest.raises(DataError, match="another front end"):
        load(path, other)
    assert path.stat().st_mtime_ns == written
    file = next((root / "donateacry" / "hungry").iterdir())
    length = soundfile.info(file).frames / 8000  # of the same length
    write(file, cry(9, length, 8000), 8000)
    assert prepared(root)[0].clips.fingerprint() != first.clips.fingerprint()
    assert path.stat().st_mtime_ns != written


def test_unreadable_recordings_are_left_out_and_named(root, tmp_path, capsys, monkeypatch):
    folder, load_one = root / "donateacry" / "tired", audio.load
    soundfile.write(folder / "huge.wav", cry(9, 2.0, 8000) * 1e30, 8000, subtype="FLOAT")
    write(folder / "odd.wav", cry(9, 2.0, 8000), 8000)

    def unlucky(source, *args):
        if source == folder / "odd.wav":
            raise IndexError("index 0 is out of bounds")
        return load_one(source, *args)

    monkeypatch.setattr(audio, "load", unlucky)
    command = ["prepare", "donateacry", "--data-root", str(root), "--cache", str(tmp_path / "c")]
    for _ in range(2):  # first decoded, then read from the cache
        assert main(command) == 0
        said = capsys.readouterr().out
        assert "Left out broken:" in said
        assert "Left out huge: The recording has invalid values" in said
        assert "Left out odd: This recording could not be read (IndexError)" in said
        assert "5 recordings in 5 groups, 0 of them unlabelled, 3 left out." in said
        assert ["hungry", "1", "1", "5.0"] in [line.split() for line in said.splitlines()]


def test_a_missing_or_damaged_prepared_corpus_is_refused(root):
    with pytest.raises(DataError, match="There is no file"):
        load(root / "none.safetensors", CONFIG)
    _, path = prepared(root)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="damaged or not a prepared corpus"):
        load(path, CONFIG)
    assert len(prepared(root)[0].clips.items) == 5


RATE = CONFIG.sample_rate


@pytest.fixture(scope="module")
def cut_clips():
    """Return 200 recordings of 2 to 16 s, cut from 120 longer ones, of 50 babies."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c"], 200, p=[0.7, 0.2, 0.1])
    sources = rng.integers(120, size=200)
    items = tuple(
        Item(None, str(label), f"r{i}", f"s{source}", f"g{source % 50}")
        for i, (label, source) in enumerate(zip(labels, sources, strict=True))
    )
    waves = tuple(torch.rand(round(s * RATE)) for s in rng.uniform(2, 16, 200))
    return clips_of(items, waves, "abc", RATE)


@pytest.mark.parametrize(
    ("protocol", "together"),
    [
        ("clip", []),
        ("recording", ["recording", "source"]),
        ("baby", ["recording", "source", "group"]),
    ],
)
def test_protocols_keep_their_groups_together_and_stratify_labels(cut_clips, protocol, together):
    clips = cut_before_splitting(cut_clips, CONFIG) if protocol == "clip" else cut_clips
    folds = split(clips.items, protocol, 5, 0)
    table = pd.DataFrame([vars(item) for item in clips.items]).assign(tested=folds)
    for name in ("recording", "source", "group"):
        assert (table.groupby(name)["tested"].nunique().max() == 1) == (name in together), name
    assert pd.crosstab(table["label"], table["tested"]).gt(0).all(axis=None)
    assert set(folds) == set(range(5))
    assert (split(clips.items, protocol, 5, 0) == folds).all()
    assert (split(clips.items, protocol, 5, 3) != folds).any()


def test_pieces_of_the_clip_protocol_partition_the_recordings(cut_clips):
    cut = cut_before_splitting(cut_clips, CONFIG)
    pieces = list(zip(cut.items, cut.waveforms, strict=True))
    for item, wave in zip(cut_clips.items, cut_clips.waveforms, strict=True):
        own = {other.piece: part for other, part in pieces if other.recording == item.recording}
        assert list(own) == list(range(len(own)))
        assert torch.equal(torch.cat([*own.values()]), wave)
        lengths = [len(part) / RATE for part in own.values()]
        assert max(lengths) - min(lengths) < 2 / RATE
        assert len(own) == 1 or min(lengths) >= 3 - 2 / RATE
        assert len(wave) <= 6 * RATE or max(lengths) <= 5
    assert [item.label for item in cut.items] == ["abc"[label] for label in cut.labels]


@pytest.mark.parametrize("protocol", ["recording", "baby"])
def test_official_folds_are_used_by_grouped_protocols(cut_clips, protocol):
    items = [replace(item, fold=i % 4) for i, item in enumerate(cut_clips.items)]
    assert split(items, protocol, 4, 7).tolist() == [item.fold for item in items]
    with pytest.raises(DataError, match="in folds 1, 2, 3, 4, but"):
        split(items, protocol, 5, 0)
    assert split(items, "clip", 4, 7).tolist() != [item.fold for item in items]


@pytest.mark.parametrize("protocol", ["recording", "baby"])
def test_nothing_related_to_a_test_part_is_learnt_from(cut_clips, protocol):
    key = PROTOCOLS[protocol]
    items = [replace(item, fold=ONLY_LEARNT) for item in cut_clips.items]
    items[:8] = (replace(item, fold=0) for item in items[:8])
    fold_of = split(items, protocol, 1, 0)
    assert np.flatnonzero(fold_of == 0).tolist() == list(range(8))
    tested = {key(item) for item in items[:8]}
    free = [i for i, item in enumerate(items) if key(item) not in tested]
    assert learnt_from(fold_of, 0).tolist() == free
    assert 0 < len(free) < len(items) - 8  # some are neither tested nor learnt from
    assert set(fold_of) == {0, ONLY_LEARNT, NEITHER}


HZ = 16_000
FRONT_END = FrontEnd(CONFIG)


def heard(source, rate=HZ):
    return FRONT_END.prepare(audio.load(source, rate)).waveform


@pytest.fixture(scope="module")
def cries():
    """Synthesise two 7 s cries of each style, each with its own seed, i.e. rhythm and noise."""
    styles = [*STYLES, *STYLES]
    return [synthesise(style, 7.0, HZ, seed).waveform for seed, style in enumerate(styles)]


@pytest.mark.parametrize(("ending", "shift"), [("mp3", 0.33), ("ogg", 2.01), ("m4a", 0.0)])
def test_duplicates_are_found_across_codec_level_and_cut(cries, ending, shift):
    later = 0.2 * cries[0][round(shift * HZ) :]
    again = heard(encode(later[:, None], HZ, ending), None)
    assert near_duplicates([*map(heard, cries), again]) == [(0, len(cries))]


@pytest.mark.parametrize(
    ("cuts", "pairs"),  # cry, begin and end in s
    [
        ([], []),
        ([(0, 0, 7)], []),
        ([(2, 0, 5.5), (2, 1.5, 7)], [(0, 1)]),
        ([(2, 0, 4.2), (2, 2.4, 7)], []),  # 1.8 s in common
        ([(0, 0, 1.2), (4, 0, 1.2), (0, 0, 1.2)], [(0, 2)]),
    ],
)
def test_cuts_that_share_half_and_two_seconds_are_duplicates(cries, cuts, pairs):
    waves = [cries[i][round(begin * HZ) : round(end * HZ)] for i, begin, end in cuts]
    assert near_duplicates([*map(heard, waves)]) == pairs


def test_duplicates_are_found_between_8_and_16_khz(data_root):
    low = {i.recording.lower(): i for i in public.read_donateacry(data_root).items}
    high = {i.recording.lower(): i for i in public.read_ios(data_root).items}
    both = sorted(set(low) & set(high))[::6]  # every sixth of the 182
    paths = [table[name].path for table in (low, high) for name in both]
    paths += [low[name].path for name in sorted(set(low) - set(high))[::6]]
    found = near_duplicates([heard(path, None) for path in paths])
    assert found == [(i, len(both) + i) for i in range(len(both))]
