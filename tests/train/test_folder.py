"""Labels and splits in the folders that people have."""

import os
import unicodedata

import pytest

from cry_model import audio
from tests.train.folders import folds, groups, labels, table, touch
from train.data.corpus import ONLY_LEARNT, DataError
from train.data.datasets import folder


def test_folders_are_labels_and_the_root_has_none(tmp_path):
    own = tmp_path / "Our ward, 2024"
    touch(*(own / name for name in ("hungry/a.WAV", "hungry/b/a.m4a", "tired/c.3gp", "loose.ogg")))
    touch(*(own / name for name in (".hidden.wav", "tired/.c.wav", ".trash/d.wav", "notes/e.txt")))
    corpus = folder.read(own)
    assert {i.recording: i.label for i in corpus.items} == {
        "hungry/a.WAV": "hungry", "hungry/b/a.m4a": "hungry", "tired/c.3gp": "tired",
        "loose.ogg": None,
    }  # fmt: skip
    assert corpus.labels == ("hungry", "tired")
    assert (corpus.name, corpus.licence) == ("folder-Our-ward-2024", "unknown")
    assert all(i.group == i.recording for i in corpus.items)


def test_a_name_that_is_no_file_name_is_replaced(tmp_path):
    touch(tmp_path / "…" / "hungry" / "a.wav")
    assert folder.read(tmp_path / "…").name == "folder-data"


# Labels


def test_every_file_that_the_decoder_may_read_is_listed(tmp_path):
    for i, suffix in enumerate(audio.SUFFIXES):
        touch(tmp_path / "ab"[i % 2] / f"{i}{suffix if i % 3 else suffix.upper()}")
    touch(tmp_path / "a" / "x.txt", tmp_path / "a" / "y.TXT", tmp_path / "b" / "z")
    corpus = folder.read(tmp_path)
    assert len(corpus.items) == len(audio.SUFFIXES)
    assert {".opus", ".oga", ".aac", ".aiff", ".amr", ".mp4", ".mov", ".wma"} < set(audio.SUFFIXES)
    assert any("2 .txt, 1 without one" in note for note in corpus.notes)


def test_what_systems_leave_behind_is_no_recording(tmp_path):
    touch(tmp_path / "a" / "1.wav", tmp_path / "b" / "1.wav", tmp_path / "a" / "._1.wav")
    touch(tmp_path / "__MACOSX" / "a" / "1.wav", tmp_path / "a" / "@eaDir" / "1.wav")
    touch(tmp_path / "a" / ".DS_Store", tmp_path / "Thumbs.db", tmp_path / "b" / "desktop.ini")
    corpus = folder.read(tmp_path)
    assert labels(corpus) == {"a/1.wav": "a", "b/1.wav": "b"}
    assert not corpus.notes


def test_links_are_followed_but_not_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root / "tired" / "1.wav", elsewhere / "2.wav")
    (root / "hungry").symlink_to(elsewhere)
    (elsewhere / "up").symlink_to(root)
    (root / "tired" / "3.wav").symlink_to(elsewhere / "2.wav")
    (root / "tired" / "4.wav").symlink_to(tmp_path / "gone.wav")
    corpus = folder.read(root)
    assert labels(corpus) == {
        "hungry/2.wav": "hungry", "tired/1.wav": "tired", "tired/3.wav": "tired"
    }  # fmt: skip
    assert any("tired/4.wav is a link to no file" in note for note in corpus.notes)


def test_folders_without_a_recording_are_named(tmp_path):
    touch(tmp_path / "a" / "1.wav", tmp_path / "b" / "x" / "1.wav", tmp_path / "d" / "notes.md")
    (tmp_path / "c").mkdir()
    assert any(note.endswith("recording: c, d.") for note in folder.read(tmp_path).notes)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_have_one_form_on_every_system(tmp_path, form):
    name = unicodedata.normalize(form, "affam\u00e9/B\u00e9b\u00e9.wav")
    touch(tmp_path / name, tmp_path / "tired" / "1.wav")
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    table(tmp_path, unicodedata.normalize(other, name) + ",x", "tired/1.wav,y")
    corpus = folder.read(tmp_path)
    assert groups(corpus) == {"affam\u00e9/B\u00e9b\u00e9.wav": "x", "tired/1.wav": "y"}
    assert corpus.labels == ("affam\u00e9", "tired")
    assert all(item.path.exists() for item in corpus.items)


def test_two_folders_that_differ_in_the_form_of_an_accent_are_one_label(tmp_path):
    for form in ("NFC", "NFD"):
        touch(tmp_path / unicodedata.normalize(form, "affam\u00e9") / "1.wav")
    corpus = folder.read(tmp_path)
    if len({item.path for item in corpus.items}) < 2:
        pytest.skip("here they are one folder")
    assert corpus.labels == ("affam\u00e9",)
    assert len(groups(corpus)) == 2


def test_names_that_an_old_archive_left_can_be_written_down(tmp_path):
    touch(tmp_path / "tired" / "1.wav", tmp_path / "x.wav")
    try:
        (tmp_path / "x.wav").rename(tmp_path / "tired" / os.fsdecode(b"n\xe9.wav"))
    except OSError:
        pytest.skip("names are Unicode here")
    corpus = folder.read(tmp_path)
    assert set(groups(corpus)) == {"tired/1.wav", "tired/n\u00e9.wav"}
    assert all(item.path.exists() for item in corpus.items)


# Splits


SPLIT = ["train/a/1.wav", "train/b/1.wav", "test/a/1.wav", "test/b/x/1.wav"]


@pytest.mark.parametrize("base", ["", "data/", "cries-v1/", "cries-v1/data/"])
@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Training", "Testing"), ("train_set", "eval"), ("trainset", "valid"),
     ("my-train", "dev"), ("train", "validation"), ("TRAIN", "val")],
)  # fmt: skip
def test_a_split_gives_folds_and_no_labels(tmp_path, base, train, test):
    names = [base + n.replace("train", train).replace("test", test) for n in SPLIT]
    touch(*(tmp_path / name for name in names))
    corpus = folder.read(tmp_path)
    assert corpus.labels == ("a", "b")
    assert labels(corpus) == dict(zip(names, "abab", strict=True))
    assert folds(corpus) == dict(zip(names, [ONLY_LEARNT, ONLY_LEARNT, 0, 0], strict=True))


def test_a_validation_part_is_learnt_from_where_there_is_a_test_part(tmp_path):
    touch(*(tmp_path / name for name in [*SPLIT, "valid/a/1.wav", "loose.wav"]))
    found = folds(folder.read(tmp_path))
    assert found["valid/a/1.wav"] == ONLY_LEARNT
    assert found["test/a/1.wav"] == 0
    assert found["loose.wav"] is None


def test_a_test_part_without_labels_is_not_tested(tmp_path):
    touch(*(tmp_path / name for name in [*SPLIT[:2], "test/1.wav"]))
    corpus = folder.read(tmp_path)
    assert labels(corpus) == {"train/a/1.wav": "a", "train/b/1.wav": "b", "test/1.wav": None}
    assert set(folds(corpus).values()) == {None}


@pytest.mark.parametrize("part", ["train", "test", "data/train"])
def test_one_part_alone_is_cross_validated(tmp_path, part):
    touch(tmp_path / part / "a" / "1.wav", tmp_path / part / "b" / "1.wav")
    corpus = folder.read(tmp_path)
    assert corpus.labels == ("a", "b")
    assert set(folds(corpus).values()) == {None}


def test_parts_without_label_folders_have_no_label(tmp_path):
    touch(tmp_path / "train" / "1.wav", tmp_path / "test" / "1.wav")
    corpus = folder.read(tmp_path)
    assert corpus.labels == ()
    assert any("labels are the folders below" in note for note in corpus.notes)


def test_a_label_may_be_called_train(tmp_path):
    touch(*(tmp_path / name / "1.wav" for name in ("train", "car", "bus")))
    corpus = folder.read(tmp_path)
    assert corpus.labels == ("bus", "car", "train")
    assert any(note.startswith("The folder train is read as a label") for note in corpus.notes)


def test_a_folder_beside_a_split_is_named(tmp_path):
    touch(*(tmp_path / name for name in [*SPLIT, "extra/a/1.wav"]))
    with pytest.raises(DataError, match="test and train are a split, but extra lies beside"):
        folder.read(tmp_path)


def test_data_may_lie_between(tmp_path):
    touch(tmp_path / "data" / "a" / "1.wav", tmp_path / "data" / "b" / "1.wav")
    assert folder.read(tmp_path).labels == ("a", "b")


def test_one_label_with_folders_stays_one_label(tmp_path):
    touch(tmp_path / "hungry" / "anna" / "1.wav", tmp_path / "hungry" / "ben" / "1.wav")
    assert folder.read(tmp_path).labels == ("hungry",)
