"""Test labels, splits, groups and tables of user-supplied folders."""

import json
import unicodedata
from dataclasses import replace

import pandas as pd
import pytest

from cry_model.sound.front_end_config import FrontEndConfig
from cry_model.sound.frontend import FrontEnd
from tests.cry_model.encode import encode
from tests.train import small_fit
from tests.train.folders import RATE, cry, folds, groups, labels, table, touch, write
from train.data.cache import DATASETS, cautions, prepare
from train.data.corpus import DataError, load_clips
from train.data.datasets import folder


def read(root, *names):
    """Create empty files of these names in ``root``; return the corpus read from it."""
    touch(*(root / name for name in names))
    return folder.read(root)


def test_folders_are_labels_and_the_root_has_none(tmp_path):
    strays = (".hidden.wav", "tired/._c.wav", ".trash/d.wav", "notes/e.txt", "tired/.DS_Store")
    strays += ("__MACOSX/hungry/1.wav", "hungry/@eaDir/1.wav", "Thumbs.db", "tired/desktop.ini")
    own = tmp_path / "Our ward, 2024"
    corpus = read(own, "hungry/a.WAV", "hungry/b/a.m4a", "tired/c.3gp", "loose.ogg", *strays)
    assert labels(corpus) == {
        "hungry/a.WAV": "hungry", "hungry/b/a.m4a": "hungry", "tired/c.3gp": "tired",
        "loose.ogg": None,
    }  # fmt: skip
    assert corpus.labels == ("hungry", "tired")
    assert (corpus.name, corpus.licence) == ("folder-Our-ward-2024", "unknown")
    assert all(i.group == i.recording for i in corpus.items)
    assert corpus.notes == ("Skipped by suffix: 1 .txt.", "Folders without a recording: notes.")
    own.rename(tmp_path / "…")
    assert read(tmp_path / "…").name == "folder-data"


def test_links_are_followed_without_cycles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root / "tired" / "1.wav", elsewhere / "2.wav")
    (root / "hungry").symlink_to(elsewhere)
    (elsewhere / "up").symlink_to(root)
    (root / "tired" / "3.wav").symlink_to(elsewhere / "2.wav")
    (root / "tired" / "4.wav").symlink_to(tmp_path / "gone.wav")
    corpus = read(root)
    assert labels(corpus) == {
        "hungry/2.wav": "hungry", "tired/1.wav": "tired", "tired/3.wav": "tired"
    }  # fmt: skip
    assert any("tired/4.wav is a broken link" in note for note in corpus.notes)


@pytest.mark.parametrize(("form", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_matched_in_any_unicode_form(tmp_path, form, other):
    name = "affam\u00e9/B\u00e9b\u00e9.wav"
    table(tmp_path, unicodedata.normalize(other, name) + ",x", "tired/1.wav,y")
    corpus = read(tmp_path, unicodedata.normalize(form, name), "tired/1.wav")
    assert groups(corpus) == {name: "x", "tired/1.wav": "y"}
    assert corpus.labels == ("affam\u00e9", "tired")
    assert all(item.path.exists() for item in corpus.items)


SPLIT = ("train/a/1.wav", "train/b/1.wav", "test/a/1.wav", "test/b/x/1.wav")


def renamed(base, train, test):
    return [base + name.replace("train", train).replace("test", test) for name in SPLIT]


@pytest.mark.parametrize(
    ("names", "of_labels", "of_folds", "note"),
    [
        (SPLIT, "abab", [-1, -1, 0, 0], "a split"),
        (renamed("data/", "Training", "Testing"), "abab", [-1, -1, 0, 0], "a split"),
        (renamed("cries-v1/", "train_set", "eval"), "abab", [-1, -1, 0, 0], "a split"),
        (renamed("cries-v1/data/", "trainset", "valid"), "abab", [-1, -1, 0, 0], "a split"),
        (renamed("", "my-train", "dev"), "abab", [-1, -1, 0, 0], "a split"),
        ([*SPLIT, "valid/a/1.wav", "1.wav"], [*"ababa", None], [-1, -1, 0, 0, -1, None], "a split"),
        ([*SPLIT[:2], "test/1.wav"], ["a", "b", None], None, "a split"),
        (["train/a/1.wav", "train/b/1.wav"], "ab", None, "a split"),
        (["train/1.wav", "test/1.wav"], [None, None], None, "put label folders inside each part"),
        (["train/1.wav", "car/1.wav"], ["train", "car"], None, "train is read as a label"),
        (["data/a/1.wav", "data/b/1.wav"], "ab", None, ""),
    ],
)
def test_split_folders_are_recognised(tmp_path, names, of_labels, of_folds, note):
    corpus = read(tmp_path, *names)
    assert labels(corpus) == dict(zip(names, of_labels, strict=True))
    assert folds(corpus) == dict(zip(names, of_folds or [None] * len(names), strict=True))
    assert note in " ".join(corpus.notes)


def test_a_folder_beside_a_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="test and train are a split, but extra is next to"):
        read(tmp_path, *SPLIT, "extra/a/1.wav")


GROUPED = ("file,group", "data/0.wav,x", "data/1.wav,y")
LABELLED = ("file_name,label,group", "data/0.wav,a,x", "data\\1.wav,b,y")
LABEL = "file_name,label"
BELOW = [row.replace("data/", "") for row in GROUPED]
OWN = ("data/0.wav", "data/1.wav", "data/.2.wav")  # the last is hidden, not a recording


def test_each_part_may_have_its_own_metadata(tmp_path):
    for part in ("train", "test"):
        touch(*(tmp_path / "data" / part / name for name in ("0.wav", "1.wav")))
        rows = f"file_name,label,group\n0.wav,a,{part}0\n1.wav,b,{part}1"
        (tmp_path / "data" / part / "metadata.csv").write_text(rows)
    corpus = folder.read(tmp_path)
    assert labels(corpus)["data/train/0.wav"] == "a"
    assert folds(corpus)["data/test/1.wav"] == 0
    assert groups(corpus)["data/train/1.wav"] == "train1"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"groups.csv": GROUPED[:2]}, "does not list data/1.wav;"),
        ({"groups.csv": GROUPED[:1]}, "does not list data/0.wav and 1 more"),
        ({"groups.csv": [*GROUPED, "data/2.wav,y"]}, "line 4: there is no recording data/2.wav"),
        ({"groups.csv": [*GROUPED, "data/1.wav,x"]}, "line 4: data/1.wav is listed twice"),
        ({"groups.csv": [*GROUPED[:2], "data/1.wav,"]}, "line 3: data/1.wav has no group"),
        ({"groups.csv": ["path,group", *GROUPED[1:]]}, "needs the columns file,group"),
        ({"metadata.csv": [LABEL, "data/0.wav,a"]}, "does not list data/1.wav;"),
        ({"metadata.csv": [LABEL, "data/0.wav,a,c"]}, "line 2 has more cells"),
        ({"metadata.csv": [f"{LABEL},Label", "data/0.wav,a,b"]}, "two columns are called"),
        ({"metadata.csv": ["id,age", "1,2"]}, "needs the columns file_name and label"),
        ({"metadata.csv": LABELLED, "groups.csv": GROUPED}, "line 2: data/0.wav is listed twice"),
        ({"metadata.csv": LABELLED, "data/metadata.csv": BELOW}, "0.wav is listed twice"),
        ({"groups.csv": [*GROUPED, "n\u00e9.wav,x"]}, r"could not be read .* 'CSV UTF-8'"),
    ],
)
def test_invalid_tables_are_refused(tmp_path, tables, message):
    touch(*(tmp_path / name for name in OWN))
    for name, rows in tables.items():
        (tmp_path / name).write_text("\n".join(rows), encoding="cp1252")
    with pytest.raises(DataError, match=message):
        folder.read(tmp_path)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "end"),
    [
        ("utf-8", ",", "\n"),
        ("utf-8-sig", ";", "\r\n"),
        ("utf-16", "\t", "\r"),
        ("utf-8", "|", "\n"),
    ],
)
def test_tables_saved_by_spreadsheets_are_read(tmp_path, encoding, delimiter, end):
    rows = [
        ["File ", "GROUP", "remark"],
        ['"HUNGRY\\n\u00e9, 1.wav"', "B\u00e9b\u00e9", '"a ""b"""'],
        ["./tired/2.wav", " 7 ", ""],
        ["", "", ""],
    ]
    text = end.join(map(delimiter.join, rows))
    (tmp_path / "Groups.CSV").write_bytes(text.encode(encoding))
    corpus = read(tmp_path, "hungry/n\u00e9, 1.WAV", "tired/2.wav")
    assert groups(corpus) == {"hungry/n\u00e9, 1.WAV": "B\u00e9b\u00e9", "tired/2.wav": "7"}


def fill(root, *labels, seeds=range(99)):
    """Write one cry of 1 s for each given label: ``<label>/<number>.wav``."""
    for i, (label, seed) in enumerate(zip(labels, seeds, strict=False)):
        write(root / label / f"{i}.wav", cry(seed, 1.0))
    return root


def test_the_same_sound_is_one_group_unless_a_table_says_otherwise(tmp_path):
    first, second, third = names = ("hungry/a.wav", "tired/b.wav", "tired/c.mp3")
    for seed, name in enumerate((first, second)):
        write(tmp_path / name, cry(seed))
    (tmp_path / third).write_bytes(encode(cry(0)[:, None], RATE, "mp3"))

    def regrouped():
        corpus = folder.read(tmp_path)
        items = DATASETS["folder"].regroup(load_clips(corpus, FrontEnd(FrontEndConfig())))
        return groups(replace(corpus, items=items))

    assert regrouped() == {first: first, second: second, third: first}
    table(tmp_path, *(f"{name},{group}" for name, group in zip(names, "xxy", strict=True)))
    assert regrouped() == {first: "x", second: "x", third: "y"}


NAMELESS = "no table names the babies"
LONELY = ("fewer than 2 groups", NAMELESS)


@pytest.mark.parametrize(
    ("labels", "seeds", "babies", "said"),
    [
        (("hungry", "HUN-GRY"), (0, 1), "", ("the labels 'HUN-GRY', 'hungry' differ", *LONELY)),
        (("hungry", "\uff48ungry"), (0, 1), "", ("the labels 'hungry', '\uff48u", *LONELY)),
        ("abab", range(4), "", [NAMELESS]),
        ("abab", range(4), "uvwx", []),
        ("abab", (0, 1, 2, 0), ("Baby 1", "baby 1", "x", "x"),
         ("the groups 'Baby 1', 'baby 1' differ only in case or blanks.",
          "one sound has two labels: a/0.wav and b/3.wav.",
          "one sound has two groups: a/0.wav and b/3.wav.")),
    ],
)  # fmt: skip
def test_suspicious_labels_and_groups_are_reported(tmp_path, labels, seeds, babies, said):
    root = fill(tmp_path / "ward", *labels, seeds=seeds)
    if babies:
        numbered = enumerate(zip(labels, babies, strict=True))
        table(root, *(f"{label}/{i}.wav,{baby}" for i, (label, baby) in numbered))
    data, _ = prepare(DATASETS["folder"], root, tmp_path, FrontEndConfig())
    found = cautions(data, 2)
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))
    assert not any(NAMELESS in sentence for sentence in cautions(data, 2, "recording"))
    if babies:
        assert {item.group for item in data.clips.items} == {*babies}


# A fit with six training recordings, one of which repeats one of the four test recordings


def fit(root, out, *more):
    place = out / "results" / "folder-ward" / "baby" / small_fit.SYSTEM
    words = ("--system", small_fit.SYSTEM, "--dataset", "folder", "--epochs", 1)
    words += ("--set", "channels=8", "stages=1", "batch=8")
    assert small_fit.command("fit", root, out, *words, *more) == 0
    return pd.read_csv(place / "predictions.csv"), json.loads((place / "run.json").read_text())


@pytest.fixture
def ward(tmp_path):
    fill(tmp_path / "ward" / "test", *"abab", seeds=[6, 7, 8, 1])
    return fill(tmp_path / "ward" / "train", *"ababab").parent


def test_a_fit_uses_the_given_train_test_split(ward, tmp_path, capsys):
    predictions, record = fit(ward, tmp_path, "--save-folds")
    printed = capsys.readouterr().out
    tested = {path.relative_to(ward).as_posix() for path in ward.glob("test/*/*")}
    assert set(predictions["recording"]) == tested
    assert record["metrics"]["recording"]["folds"] == 1
    assert record["metrics"]["recording"]["recordings"] == record["calibration"]["recordings"] == 4
    (kept,) = tmp_path.glob("folds/**/config.json")
    assert json.loads(kept.read_text())["training"]["recordings"] == 5  # no copy of a test one
    assert "6 recordings for training, 4 for testing" in printed
    assert "1 training recordings share a group or their sound with the test part" in printed
    pd.testing.assert_frame_equal(predictions, fit(ward, tmp_path)[0])  # resumes


def test_folds_override_the_given_split(ward, tmp_path):
    predictions, record = fit(ward, tmp_path, "--folds", "2", "--no-checkpoint")
    assert predictions["recording"].nunique() == 10
    assert record["metrics"]["recording"]["folds"] == 2
    assert predictions.groupby("group")["fold"].nunique().max() == 1


def test_an_export_finds_the_folder_of_its_fit(ward, tmp_path):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    fit(ward, tmp_path)
    (checkpoint,) = tmp_path.glob("checkpoints/*")
    assert small_fit.command("export", ward, tmp_path / "onnx", checkpoint, "--int8") == 0
    assert (tmp_path / "onnx" / "model.onnx").exists()
