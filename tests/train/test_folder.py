"""Anyone's folders: labels, splits and tables as people have them, and what is said of them."""

import json
import os
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from cry_model import audio
from cry_model.features import FrontEnd, FrontEndConfig
from tests.cry_model.encode import encode
from train.__main__ import main
from train.cache import prepare
from train.clips import load_clips
from train.corpus import ONLY_LEARNT, DataError
from train.datasets import DATASETS, folder
from train.overview import cautions
from train.synthesis import STYLES, synthesise

RATE = 16_000
SYSTEM = "improved-ecapa-tdnn-no-mca"  # the smallest


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def cry(seed, seconds=4.0):
    return synthesise(list(STYLES)[seed % len(STYLES)], seconds, RATE, seed).waveform


def write(path: Path, waveform) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, RATE, subtype="PCM_16")
    return path


def labels(corpus):
    return {item.recording: item.label for item in corpus.items}


def groups(corpus):
    return {item.recording: item.group for item in corpus.items}


def folds(corpus):
    return {item.recording: item.fold for item in corpus.items}


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "Our ward, 2024"
    for name in ("hungry/a.WAV", "hungry/b/a.m4a", "tired/c.3gp", "loose.ogg"):
        touch(root / name)
    for name in (".hidden.wav", "tired/.c.wav", ".trash/d.wav", "notes/e.txt"):
        touch(root / name)
    return root


ROWS = ["hungry/a.WAV,x", "hungry/b/a.m4a,x", "tired/c.3gp,y", "loose.ogg,z"]


def table(root, *rows, head="file,group", encoding="utf-8"):
    (root / "groups.csv").write_bytes("\n".join([head, *rows]).encode(encoding))


def test_folders_are_labels_and_the_root_has_none(own):
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


def test_the_table_gives_the_groups(own):
    table(own, "hungry\\a.WAV,x", "./hungry/b/a.m4a, x", '"tired/c.3gp",y', "loose.ogg,z",
          encoding="utf-8-sig")  # fmt: skip
    assert groups(folder.read(own)) == {
        "hungry/a.WAV": "x", "hungry/b/a.m4a": "x", "tired/c.3gp": "y", "loose.ogg": "z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:3], "does not list loose.ogg;"),
        (ROWS[:1], "does not list hungry/b/a.m4a and 2 more"),
        ([*ROWS, "tired/gone.wav,y"], "line 6: there is no recording tired/gone.wav"),
        ([*ROWS, "tired/.c.wav,y"], "no recording tired/.c.wav"),
        ([*ROWS, "loose.ogg,x"], "line 6: loose.ogg is listed twice"),
        ([*ROWS[:3], "loose.ogg,"], "line 5: loose.ogg has no group"),
        ([*ROWS[:3], "loose.ogg"], "line 5: loose.ogg has no group"),
    ],
)
def test_a_table_that_does_not_fit_names_the_file(own, rows, message):
    table(own, *rows)
    with pytest.raises(DataError, match=message):
        folder.read(own)


@pytest.mark.parametrize("head", ["file group", "path,group", ""])
def test_a_table_without_its_columns_is_refused(own, head):
    table(own, *ROWS, head=head)
    with pytest.raises(DataError, match=r"groups\.csv needs the columns file,group"):
        folder.read(own)


def test_a_table_that_is_no_text_is_refused(own):
    (own / "groups.csv").write_bytes(b"file,group\n\xff\xfe\x00")
    with pytest.raises(DataError, match=r"groups\.csv could not be read"):
        folder.read(own)


@pytest.fixture
def cries(tmp_path):
    """Three cries, of which the last is the first again as an mp3 file."""
    write(tmp_path / "hungry" / "a.wav", cry(0))
    write(tmp_path / "tired" / "b.wav", cry(1))
    (tmp_path / "tired" / "c.mp3").write_bytes(encode(cry(0)[:, None], RATE, "mp3"))
    return tmp_path


def regrouped(root):
    corpus = folder.read(root)
    items = DATASETS["folder"].regroup(load_clips(corpus, FrontEnd(FrontEndConfig())))
    return groups(replace(corpus, items=items))


def test_without_a_table_the_same_sound_is_one_group(cries):
    assert regrouped(cries) == {
        "hungry/a.wav": "hungry/a.wav", "tired/c.mp3": "hungry/a.wav", "tired/b.wav": "tired/b.wav",
    }  # fmt: skip


def test_groups_of_a_table_stay(cries):
    table(cries, "hungry/a.wav,x", "tired/b.wav,x", "tired/c.mp3,y")
    assert regrouped(cries) == {"hungry/a.wav": "x", "tired/b.wav": "x", "tired/c.mp3": "y"}


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


# Tables


def metadata(root, *rows, name="metadata.csv"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(rows), encoding="utf-8")


@pytest.fixture
def numbered(tmp_path):
    """Two recordings in ``data``, which is no label."""
    touch(tmp_path / "data" / "0.wav", tmp_path / "data" / "1.wav")
    return tmp_path


def test_metadata_gives_labels_and_groups(numbered):
    metadata(numbered, "file_name,label,group", "data/0.wav,a,x", "data\\1.wav,b,y")
    corpus = folder.read(numbered)
    assert labels(corpus) == {"data/0.wav": "a", "data/1.wav": "b"}
    assert groups(corpus) == {"data/0.wav": "x", "data/1.wav": "y"}


@pytest.mark.parametrize("base", ["", "data/"])
def test_each_part_may_have_its_own_metadata(tmp_path, base):
    for part in ("train", "test"):
        touch(tmp_path / base / part / "0.wav", tmp_path / base / part / "1.wav")
        rows = ["file_name,label,group", f"0.wav,a,{part}0", f"1.wav,b,{part}1"]
        metadata(tmp_path, *rows, name=f"{base}{part}/metadata.csv")
    corpus = folder.read(tmp_path)
    assert corpus.labels == ("a", "b")
    assert folds(corpus)[f"{base}test/1.wav"] == 0
    assert groups(corpus)[f"{base}train/1.wav"] == "train1"


def test_metadata_as_json_lines(numbered):
    rows = [{"file_name": f"data/{i}.wav", "label": i, "note": None} for i in range(2)]
    metadata(numbered, *map(json.dumps, rows), "", name="metadata.jsonl")
    assert labels(folder.read(numbered)) == {"data/0.wav": "0", "data/1.wav": "1"}


def test_metadata_without_labels_leaves_the_folders(tmp_path):
    touch(tmp_path / "a" / "0.wav", tmp_path / "b" / "0.wav")
    metadata(tmp_path, "file_name,group", "a/0.wav,x", "b/0.wav,x")
    corpus = folder.read(tmp_path)
    assert labels(corpus) == {"a/0.wav": "a", "b/0.wav": "b"}
    assert set(groups(corpus).values()) == {"x"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["file_name,label", "data/0.wav,a"], "does not list data/1.wav;"),
        (["file_name,label", "data/0.wav,a", "data/0.wav,b"], "line 3: .* twice"),
        (["file_name,label", "data/0.wav,a", "data/2.wav,b"], "line 3: there is no recording"),
        (["file_name,label", "data/0.wav,a,c"], "line 2 has more cells"),
        (["file_name,label,group", "data/0.wav,a,"], "data/0.wav has no group"),
        (["id,age", "1,2"], "needs the columns file_name and label"),
        ([""], "needs the columns file_name and label"),
    ],
)
def test_metadata_that_does_not_fit_is_one_sentence(numbered, rows, message):
    metadata(numbered, *rows)
    with pytest.raises(DataError, match=message):
        folder.read(numbered)


@pytest.mark.parametrize("line", ["[1]", '{"file_name": "data/0', "1", "\x00"])
def test_json_lines_that_are_none_are_one_sentence(numbered, line):
    metadata(numbered, line, name="metadata.jsonl")
    with pytest.raises(DataError, match=r"metadata\.jsonl could not be read"):
        folder.read(numbered)


@pytest.mark.parametrize("name", ["groups.csv", "metadata.jsonl"])
def test_two_tables_may_not_both_tell(numbered, name):
    metadata(numbered, "file_name,label,group", "data/0.wav,a,x", "data/1.wav,b,y")
    rows = [{"file": f"data/{i}.wav", "label": "a", "group": "z"} for i in range(2)]
    if name == "groups.csv":
        (numbered / name).write_text(pd.DataFrame(rows)[["file", "group"]].to_csv(index=False))
    else:
        metadata(numbered, *map(json.dumps, rows), name=name)
    with pytest.raises(DataError, match="both list"):
        folder.read(numbered)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_as_spreadsheets_save_it(tmp_path, encoding, delimiter, end):
    touch(tmp_path / "hungry" / "n\u00e9, 1.WAV", tmp_path / "tired" / "2.wav")
    rows = [
        ["File ", "GROUP", "remark"],
        ['"HUNGRY\\n\u00e9, 1.wav"', "B\u00e9b\u00e9", '"a ""b"""'],
        ["./tired/2.wav", " 7 ", ""],
        ["", "", ""],
    ]
    text = end.join(delimiter.join(row) for row in rows)
    (tmp_path / "Groups.CSV").write_bytes(text.encode(encoding))
    corpus = folder.read(tmp_path)
    assert groups(corpus) == {"hungry/n\u00e9, 1.WAV": "B\u00e9b\u00e9", "tired/2.wav": "7"}
    assert any("read as cp1252" in note for note in corpus.notes) == (encoding == "cp1252")


def test_the_separator_may_stand_in_a_line_of_its_own(own):
    rows = ["sep=;", "file;group", *(row.replace(",", ";") for row in ROWS)]
    (own / "groups.csv").write_text("\r\n".join(rows))
    assert groups(folder.read(own))["hungry/b/a.m4a"] == "x"


def test_a_wrong_guess_of_the_encoding_names_what_is_wanted(tmp_path):
    touch(tmp_path / "hungry" / "n\u00e9.wav")
    table(tmp_path, "hungry/n\u00e9.wav,x", encoding="mac_roman")
    with pytest.raises(DataError, match=r"no recording .* read as cp1252.* 'CSV UTF-8'"):
        folder.read(tmp_path)


def test_a_name_that_fits_two_files_but_for_case_is_not_guessed(tmp_path):
    touch(tmp_path / "a" / "1.wav", tmp_path / "a" / "1.WAV")
    if len(list((tmp_path / "a").iterdir())) < 2:
        pytest.skip("here they are one file")
    table(tmp_path, "a/1.wav,x", "a/1.WAV,y")
    assert groups(folder.read(tmp_path)) == {"a/1.wav": "x", "a/1.WAV": "y"}
    table(tmp_path, "a/1.Wav,x")
    with pytest.raises(DataError, match=r"no recording a/1\.Wav"):
        folder.read(tmp_path)


# What is said


def said(root, cache, folds=2):
    data, _ = prepare(DATASETS["folder"], root, cache, FrontEndConfig())
    return data, "\n".join(cautions(data, folds))


def test_prepare_prints_every_label(cries, tmp_path_factory, capsys):
    touch(cries / "tired" / "broken.wav", cries / "tired" / "x.pdf")
    words = ["prepare", "folder", "--data-root", str(cries)]
    words += ["--cache", str(tmp_path_factory.mktemp("cache"))]
    for _ in range(2):  # the second time nothing is decoded
        assert main(words) == 0
        printed = capsys.readouterr().out
        rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}
        assert rows["hungry"] == ["1", "1", "4.0"]
        assert rows["tired"][:2] == ["2", "2"]
        assert "Left out tired/broken.wav" in printed
        assert "1 .pdf" in printed
        assert "one sound has two labels: hungry/a.wav and tired/c.mp3." in printed
        assert "fewer groups than the 5 folds" in printed


@pytest.mark.parametrize(
    "twin", ["Hungry", "hungry ", "HUN GRY", "\uff48ungry", "hun-gry", "hun_gry"]
)
def test_labels_that_differ_by_little_are_pointed_out(tmp_path, twin):
    for i, label in enumerate(["hungry", twin, "tired"]):
        write(tmp_path / label / f"{i}.wav", cry(i, 1.0))
    data, found = said(tmp_path, tmp_path / ".cache")
    assert f"the labels {', '.join(map(repr, sorted(['hungry', twin])))} differ only" in found
    assert "'tired'" not in found
    assert len(data.corpus.labels) == 3


def test_nothing_is_said_of_a_sound_corpus(tmp_path):
    for i in range(4):
        write(tmp_path / "ab"[i % 2] / f"{i}.wav", cry(i, 1.0))
    assert said(tmp_path, tmp_path / ".cache")[1] == ""


def test_groups_that_differ_by_little_and_sounds_in_two_are_pointed_out(tmp_path):
    for i, seed in enumerate([0, 1, 2, 0]):
        write(tmp_path / "ab"[i % 2] / f"{i}.wav", cry(seed, 1.0))
    table(tmp_path, "a/0.wav,Baby 1", "b/1.wav,baby 1", "a/2.wav,x", "b/3.wav,x")
    data, found = said(tmp_path, tmp_path / ".cache")
    assert "the groups 'Baby 1', 'baby 1' differ" in found
    assert "one sound has two labels: a/0.wav and b/3.wav." in found
    assert "one sound has two groups: a/0.wav and b/3.wav." in found
    assert {i.group for i in data.clips.items} == {"Baby 1", "baby 1", "x"}
    assert len({i.source for i in data.clips.items}) == 3


def test_all_unreadable_gives_a_reason(tmp_path):
    touch(tmp_path / "a" / "1.wav", tmp_path / "b" / "1.wav")
    with pytest.raises(DataError, match=r"could be read\. Of a/1\.wav: The recording is empty"):
        said(tmp_path, tmp_path / ".cache")


# A fit


@pytest.fixture(scope="module")
def split_root(tmp_path_factory):
    """Six recordings to learn from, one of which is also one of the four to test."""
    root = tmp_path_factory.mktemp("split") / "ward"
    for i in range(6):
        write(root / "train" / "ab"[i % 2] / f"{i}.wav", cry(i, 1.0))
    for i, seed in enumerate([6, 7, 8, 1]):
        write(root / "test" / "ab"[i % 2] / f"{i}.wav", cry(seed, 1.0))
    return root


def fit(root, out, *more):
    words = ["fit", "--system", SYSTEM, "--dataset", "folder", "--data-root", str(root)]
    words += ["--cache", str(root.parent / "cache"), "--out", str(out), "--epochs", "1"]
    assert main([*words, "--set", "channels=16", "batch=8", *more]) == 0
    place = out / "results" / "folder-ward" / "baby" / SYSTEM
    return pd.read_csv(place / "predictions.csv"), json.loads((place / "run.json").read_text())


def test_a_fit_learns_from_one_part_and_tests_the_other(split_root, tmp_path, capsys):
    table, record = fit(split_root, tmp_path, "--keep-folds")
    printed = capsys.readouterr().out
    tested = {path.relative_to(split_root).as_posix() for path in split_root.glob("test/*/*")}
    assert set(table["recording"]) == tested
    assert set(table["label"]) == {"a", "b"}
    assert [name for name in table if name.startswith("p_")] == ["p_a", "p_b"]
    assert record["metrics"]["recording"]["folds"] == 1
    assert record["metrics"]["recording"]["recordings"] == 4
    assert record["calibration"]["recordings"] == 4
    (kept,) = tmp_path.glob("folds/**/config.json")
    assert json.loads(kept.read_text())["training"]["recordings"] == 5  # not the copy of test's
    assert "6 recordings are learnt from, 4 are tested" in printed
    assert "1 recordings share a group or their sound with the test part" in printed
    again, _ = fit(split_root, tmp_path)  # goes on with what is there
    pd.testing.assert_frame_equal(table, again)


def test_a_number_of_folds_cross_validates_over_everything(split_root, tmp_path):
    table, record = fit(split_root, tmp_path, "--folds", "2", "--no-checkpoint")
    assert table["recording"].nunique() == 10
    assert record["metrics"]["recording"]["folds"] == 2
    assert table.groupby("group")["fold"].nunique().max() == 1


def test_a_split_with_nothing_of_its_own_to_learn_is_one_sentence(tmp_path, capsys):
    root = tmp_path / "ward"
    for i in range(2):
        write(root / "train" / "ab"[i] / "1.wav", cry(i, 1.0))
    shutil.copytree(root / "train", root / "test")
    words = ["fit", "--system", SYSTEM, "--dataset", "folder", "--data-root", str(root)]
    assert main([*words, "--cache", str(tmp_path / "c"), "--out", str(tmp_path)]) == 2
    assert "fewer than two labels are left to learn" in capsys.readouterr().err
