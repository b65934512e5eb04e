"""What the readers list, and what they say where there is nothing to list."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cry_model.frontend import FrontEnd, FrontEndConfig
from tests.train.folders import RATE, cry, groups, write
from train.data.clips import load_clips
from train.data.corpus import DataError
from train.data.datasets import DATASETS, challenge6, donateacry, donateacry_ios, esc10

UPLOAD = "0D1AD73E-4C5E-45F3-85C4-9A3CB71E8856-1430742197-1.0-m-04"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_says_what_to_put_where(name, tmp_path):
    with pytest.raises(DataError, match=r"There (are|is) no .* in .*(Put |prepare )") as error:
        DATASETS[name].read(tmp_path)
    assert str(tmp_path) in str(error.value)


# Donate-a-Cry from iOS


def test_ios_names_give_label_and_installation(tmp_path):
    for n, ending in enumerate(["hu.caf", "bp.flac", "dk.flac", "CH.CAF", "zz.flac"]):
        touch(tmp_path / "donateacry_ios" / f"{UPLOAD}{n}-{ending}")
    touch(tmp_path / "donateacry_ios" / "README.md")
    corpus = donateacry_ios.read(tmp_path)
    assert [i.label for i in corpus.items] == ["hungry", "belly_pain", None, "cold_hot", None]
    assert {i.group for i in corpus.items} == {"0d1ad73e-4c5e-45f3-85c4-9a3cb71e8856"}
    assert corpus.indices() == [corpus.labels.index("hungry"), 0, -1, 2, -1]


def test_an_upload_in_both_formats_is_one_recording(tmp_path):
    for ending in ("caf", "flac"):
        touch(tmp_path / "donateacry_ios" / f"{UPLOAD}-hu.{ending}")
    assert len(donateacry_ios.read(tmp_path).items) == 1


def test_ios_uploads_are_those_of_donateacry(data_root):
    corpus = donateacry_ios.read(data_root)
    assert len(corpus.items) == len({i.recording for i in corpus.items}) == 416
    assert len({i.group for i in corpus.items}) == 150
    assert Counter(i.label for i in corpus.items) == {
        "hungry": 257, None: 60, "tired": 41, "discomfort": 22, "belly_pain": 17,
        "burping": 9, "lonely": 6, "scared": 2, "cold_hot": 2,
    }  # fmt: skip
    cleaned = {i.recording.lower(): i for i in donateacry.read(data_root).items}
    shared = [i for i in corpus.items if i.recording.lower() in cleaned]
    assert len(shared) == 182
    assert all(cleaned[i.recording.lower()].group == i.group for i in shared)


# ESC-10


def test_esc10_names_give_label_fold_and_source(tmp_path):
    touch(tmp_path / "esc10" / "004 - Baby cry" / "5-151085-A.ogg")
    touch(tmp_path / "esc10" / "001 - Dog bark" / "1-100032-A.ogg")
    touch(tmp_path / "esc10" / "README.md")
    dog, baby = esc10.read(tmp_path).items
    assert (dog.label, dog.recording, dog.source, dog.fold) == (
        "dog_bark", "1-100032-A", "100032", 0,
    )  # fmt: skip
    assert (baby.label, baby.group, baby.fold) == ("baby_cry", "151085", 4)


@pytest.mark.parametrize("name", ["bark.ogg", "0-100032-A.ogg", "1-rose-A.ogg", "1-100032.ogg"])
def test_esc10_refuses_other_names(tmp_path, name):
    touch(tmp_path / "esc10" / "001 - Dog bark" / name)
    with pytest.raises(DataError, match="fold-FreesoundID-take"):
        esc10.read(tmp_path)


def test_esc10_has_ten_labels_and_five_folds_that_no_source_crosses(data_root):
    corpus = esc10.read(data_root)
    assert Counter(i.label for i in corpus.items) == dict.fromkeys(corpus.labels, 40)
    assert Counter(i.fold for i in corpus.items) == dict.fromkeys(range(5), 80)
    assert len({(i.source, i.fold) for i in corpus.items}) == len({i.source for i in corpus.items})
    assert len({i.recording for i in corpus.items}) == 400


# The six-class challenge


@pytest.fixture(scope="module")
def challenge_root(tmp_path_factory):
    """Of the hungry ones two have one length, and one is there again under another label."""
    root = tmp_path_factory.mktemp("challenge")
    train = root / "challenge6" / "train"
    seconds = [4.0, 4.0 + 10 / RATE, 4.3, 4.6]
    for n, length in enumerate(seconds):
        write(train / "hungry" / f"hungry_{n}.wav", cry(n, length))
    write(train / "awake" / "awake_7.wav", 0.3 * cry(2, 4.3)[RATE // 2 :])
    write(train / "awake" / "awake_8.WAV", cry(8, 4.6))  # as long as one of another label
    for n, label in enumerate(challenge6.LABELS):
        if label not in ("awake", "hungry"):
            noise = np.random.default_rng(n).uniform(-0.1, 0.1, 4 * RATE)  # as long as hungry_0
            write(train / label / f"{label}_0.wav", noise)
        for stray in (f"._{label}_0.wav", ".DS_Store", "Thumbs.db", f"{label}_0.txt"):
            (train / label / stray).write_bytes(b"\0\5\x16\7")
    write(root / "challenge6" / "test" / "test_0.wav", cry(9))
    return root


def layout(root, labels=challenge6.LABELS):
    """One empty file of each label below ``root``."""
    for label in labels:
        touch(root / "train" / label / f"{label}_0.wav")
    return root


def test_challenge6_lists_what_its_names_tell(challenge_root):
    corpus = challenge6.read(challenge_root)
    assert {i.recording: i.label for i in corpus.items} == {
        "awake_7": "awake", "awake_8.WAV": "awake", "diaper_0": "diaper", "hug_0": "hug",
        "hungry_0": "hungry", "hungry_1": "hungry", "hungry_2": "hungry", "hungry_3": "hungry",
        "sleepy_0": "sleepy", "uncomfortable_0": "uncomfortable",
    }  # fmt: skip
    assert all(i.group == i.source == i.recording for i in corpus.items)


def test_challenge6_regroups_by_length_and_by_sound(challenge_root):
    corpus = challenge6.read(challenge_root)
    clips = load_clips(corpus, FrontEnd(FrontEndConfig()))
    regrouped = DATASETS["challenge6"].regroup(clips)
    alone = ("hungry_3", "awake_8.WAV", "diaper_0", "hug_0", "sleepy_0", "uncomfortable_0")
    assert groups(replace(corpus, items=regrouped)) == {
        "awake_7": "awake_7", "hungry_2": "awake_7",
        "hungry_0": "hungry_0", "hungry_1": "hungry_0",
        **{name: name for name in alone},
    }  # fmt: skip
    assert all(i.source == i.group for i in regrouped)


def test_challenge6_is_found_where_it_was_unpacked(challenge_root):
    above = challenge6.read(challenge_root)
    assert challenge6.read(challenge_root / "challenge6") == above


def test_challenge6_in_two_places_is_one_too_many(tmp_path):
    layout(tmp_path)
    layout(tmp_path / "challenge6")
    with pytest.raises(DataError, match=f"choose the first with --data-root {tmp_path}") as error:
        challenge6.read(tmp_path)
    assert str(tmp_path / "train") in str(error.value)
    assert len(challenge6.read(tmp_path / "challenge6").items) == 6


def test_another_folder_called_train_is_not_meant(tmp_path):
    touch(tmp_path / "train" / "cats" / "cats_0.wav")
    layout(tmp_path / "challenge6")
    assert len(challenge6.read(tmp_path).items) == 6


def test_challenge6_without_some_label_is_not_whole(tmp_path):
    layout(tmp_path, ("awake", "diaper", "hungry", "sleepy"))
    (tmp_path / "train" / "hug").mkdir()
    with pytest.raises(DataError, match=r"no recordings of hug, uncomfortable in .*Put the six"):
        challenge6.read(tmp_path)


def test_challenge6_refuses_other_names(tmp_path):
    touch(layout(tmp_path) / "train" / "awake" / "test_0.wav")
    with pytest.raises(DataError, match=r"test_0\.wav is not named .*\(awake_<n>\.wav\)"):
        challenge6.read(tmp_path)


def test_two_files_that_differ_in_capitals_are_two_recordings(tmp_path):
    touch(layout(tmp_path) / "train" / "hug" / "hug_0.WAV")
    if len(list((tmp_path / "train" / "hug").iterdir())) == 1:
        pytest.skip("here they are one file")
    corpus = challenge6.read(tmp_path)
    assert len({i.recording for i in corpus.items}) == len(corpus.items) == 7
