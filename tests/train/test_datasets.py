"""Test what the corpus readers list, and their messages where files are missing."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from cry_model.sound.front_end_config import FrontEndConfig
from cry_model.sound.frontend import FrontEnd
from tests.train.folders import RATE, cry, groups, labels, touch, write
from train.data.cache import DATASETS, prepare
from train.data.corpus import DataError, load_clips
from train.data.datasets import challenge6, public
from train.fit.presets import WIDE

UPLOAD = "0D1AD73E-4C5E-45F3-85C4-9A3CB71E8856-1430742197-1.0-m-04"


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_refused_with_instructions(name, tmp_path):
    with pytest.raises(DataError, match=r"There (are|is) no .* in .*(Put |prepare )") as error:
        DATASETS[name].read(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_preparation_does_not_depend_on_threads(tmp_path):
    for number, label in enumerate("aabb"):
        write(tmp_path / "sounds" / label / f"{number}.wav", cry(number, 2.0))
    found, before = set(), torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        where = tmp_path / "sounds", tmp_path / f"cache{threads}"
        found.add(prepare(DATASETS["folder"], *where, WIDE.front_end)[0].clips.fingerprint())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert len(found) == 1


def test_public_corpora_have_the_documented_counts(data_root):
    corpus = public.read_donateacry(data_root)
    assert Counter(i.label for i in corpus.items) == {
        "hungry": 382, "discomfort": 27, "tired": 24, "belly_pain": 16, "burping": 8,
    }  # fmt: skip
    assert len({i.group for i in corpus.items}) == 221
    assert len({i.recording for i in corpus.items}) == 457
    corpus = public.read_esc10(data_root)
    assert Counter(i.label for i in corpus.items) == dict.fromkeys(corpus.labels, 40)
    assert Counter(i.fold for i in corpus.items) == dict.fromkeys(range(5), 80)
    assert len({(i.source, i.fold) for i in corpus.items}) == len({i.source for i in corpus.items})
    assert len({i.recording for i in corpus.items}) == 400


def test_ios_names_give_label_and_installation(tmp_path):
    endings = ["0-hu.caf", "1-bp.flac", "2-dk.flac", "3-CH.CAF", "4-zz.flac", "0-hu.flac"]
    touch(*(tmp_path / "donateacry_ios" / f"{UPLOAD}{ending}" for ending in endings))
    corpus = public.read_ios(tmp_path)  # a recording in both formats counts once
    assert [i.label for i in corpus.items] == ["hungry", "belly_pain", None, "cold_hot", None]
    assert {i.group for i in corpus.items} == {"0d1ad73e-4c5e-45f3-85c4-9a3cb71e8856"}
    assert corpus.indices() == [corpus.labels.index("hungry"), 0, -1, 2, -1]


@pytest.mark.parametrize("name", ["0-100032-A.ogg", "1-rose-A.ogg", "1-100032.ogg"])
def test_esc10_names_give_label_fold_and_source(tmp_path, name):
    touch(tmp_path / "esc10" / "004 - Baby cry" / "5-151085-A.ogg", tmp_path / "esc10" / "README")
    (item,) = public.read_esc10(tmp_path).items
    assert (item.label, item.recording, item.fold) == ("baby_cry", "5-151085-A", 4)
    assert item.source == item.group == "151085"
    touch(tmp_path / "esc10" / "001 - Dog bark" / name)
    with pytest.raises(DataError, match="fold-FreesoundID-take"):
        public.read_esc10(tmp_path)


EMPTY = ("diaper", "hug", "sleepy", "uncomfortable")


@pytest.fixture(scope="module")
def challenge_root(tmp_path_factory):
    """Write two hungry recordings of equal length, and a third repeated under another label."""
    root = tmp_path_factory.mktemp("challenge")
    train = root / "challenge6" / "train"
    for n, length in enumerate([4.0, 4.0 + 10 / RATE, 4.3, 4.6]):
        write(train / "hungry" / f"hungry_{n}.wav", cry(n, length))
    write(train / "awake" / "awake_7.wav", 0.3 * cry(2, 4.3)[RATE // 2 :])
    write(train / "awake" / "awake_8.WAV", cry(8, 4.6))  # as long as hungry_3
    for n, label in enumerate(EMPTY):
        write(train / label / f"{label}_0.wav", cry(10 + n))  # as long as hungry_0
    touch(*(train / "hug" / stray for stray in ("._hug_0.wav", ".DS_Store", "hug_0.txt")))
    write(root / "challenge6" / "test" / "test_0.wav", cry(9))
    return root


def test_challenge6_is_regrouped_by_length_and_by_sound(challenge_root):
    corpus = challenge6.read(challenge_root)
    assert challenge6.read(challenge_root / "challenge6") == corpus
    assert labels(corpus) == {
        "awake_7": "awake", "awake_8.WAV": "awake",
        **{f"hungry_{n}": "hungry" for n in range(4)},
        **{f"{label}_0": label for label in EMPTY},
    }  # fmt: skip
    assert all(i.group == i.source == i.recording for i in corpus.items)
    clips = load_clips(corpus, FrontEnd(FrontEndConfig()))
    regrouped = DATASETS["challenge6"].regroup(clips)
    assert groups(replace(corpus, items=regrouped)) == {
        **{name: name for name in labels(corpus)},
        "hungry_2": "awake_7", "hungry_1": "hungry_0",
    }  # fmt: skip
    assert all(i.source == i.group for i in regrouped)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["awake/awake_0", "diaper/diaper_0", "hungry/hungry_0", "sleepy/sleepy_0"],
         r"no recordings of hug, uncomfortable in .*Put the six"),
        (["awake/test_0"], r"test_0\.wav is not named .*\(awake_<n>\.wav\)"),
    ],
)  # fmt: skip
def test_challenge6_with_missing_labels_or_wrong_names_is_refused(tmp_path, names, says):
    touch(*(tmp_path / "train" / f"{name}.wav" for name in names))
    (tmp_path / "train" / "hug").mkdir()
    with pytest.raises(DataError, match=says):
        challenge6.read(tmp_path)


@pytest.fixture
def cuts(tmp_path):
    """Write four cuts: two in group 1, one in group 2, and a copy of that in group 3."""
    folder, rows = tmp_path / "challenge6_cuts", ["file,label,probable_original,group"]
    for number, (seed, level, group) in enumerate([(1, 1, 1), (2, 1, 1), (3, 1, 2), (3, 0.5, 3)]):
        write(folder / "hug" / f"hug_0{number}.flac", level * cry(seed))
        rows.append(f"hug/hug_0{number}.flac,hug,,{group}")
    (folder / "groups.csv").write_text("\n".join(rows))
    return tmp_path


def test_groups_of_cuts_join_the_table_with_equal_sound(cuts, tmp_path):
    data, _ = prepare(DATASETS["challenge6_cuts"], cuts, tmp_path / "cache", WIDE.front_end)
    found = [item.group for item in data.clips.items]
    assert found[0] == found[1] != found[2] == found[3]
    assert [item.source for item in data.clips.items] == found


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("file,label,group\n", "no recording"),
        ("file\nhug/hug_01.flac\n", "column"),
        ("file,label,group\nhug/hug_01.flac,x,1\n", "label x"),
        ("file,label,group\nhug/hug_09.flac,hug,1\n", "hug_09.flac, which is missing"),
    ],
)
def test_an_invalid_table_of_cuts_is_refused(cuts, table, says):
    (cuts / "challenge6_cuts" / "groups.csv").write_text(table)
    with pytest.raises(DataError, match=says):
        challenge6.read_cuts(cuts)
