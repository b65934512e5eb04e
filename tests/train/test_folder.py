"""Labels, splits, groups and tables in the folders that people have."""

import json
import unicodedata
from dataclasses import replace

import pandas as pd
import pytest

from cry_model.sound.frontend import FrontEnd, FrontEndConfig
from tests.cry_model.encode import encode
from tests.train.folders import RATE, cry, folds, groups, labels, table, touch, write
from tests.train.small_fit import SYSTEM
from train.__main__ import main
from train.data.cache import DATASETS, cautions, prepare
from train.data.corpus import ONLY_LEARNT, DataError, load_clips
from train.data.datasets import folder


def test_folders_are_labels_and_the_root_has_none(tmp_path):
    own = tmp_path / "Our ward, 2024"
    touch(*(own / name for name in ("hungry/a.WAV", "hungry/b/a.m4a", "tired/c.3gp", "loose.ogg")))
    strays = (".hidden.wav", "tired/._c.wav", ".trash/d.wav", "notes/e.txt", "tired/.DS_Store")
    strays += ("__MACOSX/hungry/1.wav", "hungry/@eaDir/1.wav", "Thumbs.db", "tired/desktop.ini")
    touch(*(own / name for name in strays))
    corpus = folder.read(own)
    assert labels(corpus) == {
        "hungry/a.WAV": "hungry", "hungry/b/a.m4a": "hungry", "tired/c.3gp": "tired",
        "loose.ogg": None,
    }  # fmt: skip
    assert corpus.labels == ("hungry", "tired")
    assert (corpus.name, corpus.licence) == ("folder-Our-ward-2024", "unknown")
    assert all(i.group == i.recording for i in corpus.items)
    assert any(note.endswith("recording: notes.") for note in corpus.notes)
    own.rename(tmp_path / "…")
    assert folder.read(tmp_path / "…").name == "folder-data"


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


@pytest.mark.parametrize(("form", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_have_one_form_on_every_system(tmp_path, form, other):
    name = "affam\u00e9/B\u00e9b\u00e9.wav"
    touch(tmp_path / unicodedata.normalize(form, name), tmp_path / "tired" / "1.wav")
    table(tmp_path, unicodedata.normalize(other, name) + ",x", "tired/1.wav,y")
    corpus = folder.read(tmp_path)
    assert groups(corpus) == {name: "x", "tired/1.wav": "y"}
    assert corpus.labels == ("affam\u00e9", "tired")
    assert all(item.path.exists() for item in corpus.items)


# Splits

SPLIT = ["train/a/1.wav", "train/b/1.wav", "test/a/1.wav", "test/b/x/1.wav"]


@pytest.mark.parametrize(
    ("base", "train", "test"),
    [("", "train", "test"), ("data/", "Training", "Testing"), ("cries-v1/", "train_set", "eval"),
     ("cries-v1/data/", "trainset", "valid"), ("", "my-train", "dev")],
)  # fmt: skip
def test_a_split_gives_folds_and_no_labels(tmp_path, base, train, test):
    names = [base + n.replace("train", train).replace("test", test) for n in SPLIT]
    touch(*(tmp_path / name for name in names))
    corpus = folder.read(tmp_path)
    assert labels(corpus) == dict(zip(names, "abab", strict=True))
    assert folds(corpus) == dict(zip(names, [ONLY_LEARNT, ONLY_LEARNT, 0, 0], strict=True))


@pytest.mark.parametrize(
    ("names", "of_labels", "of_folds", "note"),
    [
        ([*SPLIT, "valid/a/1.wav", "1.wav"], [*"ababa", None], [-1, -1, 0, 0, -1, None], "a split"),
        ([*SPLIT[:2], "test/1.wav"], ["a", "b", None], None, "a split"),
        (["train/a/1.wav", "train/b/1.wav"], ["a", "b"], None, "a split"),
        (["data/train/a/1.wav", "data/train/b/1.wav"], ["a", "b"], None, "a split"),
        (["train/1.wav", "test/1.wav"], [None, None], None, "labels are the folders below"),
        (["train/1.wav", "car/1.wav"], ["train", "car"], None, "train is read as a label"),
        (["data/a/1.wav", "data/b/1.wav"], ["a", "b"], None, ""),
        (["hungry/anna/1.wav", "hungry/ben/1.wav"], ["hungry", "hungry"], None, ""),
    ],
)
def test_which_folders_are_a_split_and_what_it_tests(tmp_path, names, of_labels, of_folds, note):
    touch(*(tmp_path / name for name in names))
    corpus = folder.read(tmp_path)
    assert labels(corpus) == dict(zip(names, of_labels, strict=True))
    assert folds(corpus) == dict(zip(names, of_folds or [None] * len(names), strict=True))
    assert note in " ".join(corpus.notes)


def test_a_folder_beside_a_split_is_named(tmp_path):
    touch(*(tmp_path / name for name in [*SPLIT, "extra/a/1.wav"]))
    with pytest.raises(DataError, match="test and train are a split, but extra lies beside"):
        folder.read(tmp_path)


# Tables


@pytest.fixture
def own(tmp_path):
    """Two recordings in ``data``, which is no label, and what is none."""
    touch(*(tmp_path / "data" / name for name in ("0.wav", "1.wav", ".2.wav")))
    return tmp_path


def metadata(root, *rows, name="metadata.csv"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(rows), encoding="utf-8")


LABELLED = ("file_name,label,group", "data/0.wav,a,x", "data\\1.wav,b,y")


def test_metadata_gives_labels_and_groups(own):
    metadata(own, *LABELLED)
    corpus = folder.read(own)
    assert labels(corpus) == {"data/0.wav": "a", "data/1.wav": "b"}
    assert groups(corpus) == {"data/0.wav": "x", "data/1.wav": "y"}


def test_each_part_may_have_its_own_metadata(tmp_path):
    for part in ("train", "test"):
        touch(tmp_path / "data" / part / "0.wav", tmp_path / "data" / part / "1.wav")
        rows = ["file_name,label,group", f"0.wav,a,{part}0", f"1.wav,b,{part}1"]
        metadata(tmp_path, *rows, name=f"data/{part}/metadata.csv")
    corpus = folder.read(tmp_path)
    assert corpus.labels == ("a", "b")
    assert folds(corpus)["data/test/1.wav"] == 0
    assert groups(corpus)["data/train/1.wav"] == "train1"


GROUPED = ("file,group", "data/0.wav,x", "data/1.wav,y")


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("groups.csv", GROUPED[:2], "does not list data/1.wav;"),
        ("groups.csv", GROUPED[:1], "does not list data/0.wav and 1 more"),
        ("groups.csv", [*GROUPED, "data/2.wav,y"], "line 4: there is no recording data/2.wav"),
        ("groups.csv", [*GROUPED, "data/1.wav,x"], "line 4: data/1.wav is listed twice"),
        ("groups.csv", [*GROUPED[:2], "data/1.wav,"], "line 3: data/1.wav has no group"),
        ("groups.csv", ["path,group", *GROUPED[1:]], "needs the columns file,group"),
        ("metadata.csv", ["file_name,label", "data/0.wav,a"], "does not list data/1.wav;"),
        ("metadata.csv", ["file_name,label", "data/0.wav,a,c"], "line 2 has more cells"),
        ("metadata.csv", ["file_name,label,Label", "data/0.wav,a,b"], "two columns are called"),
        ("metadata.csv", ["id,age", "1,2"], "needs the columns file_name and label"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(own, name, rows, message):
    metadata(own, *rows, name=name)
    with pytest.raises(DataError, match=message):
        folder.read(own)


@pytest.mark.parametrize("name", ["groups.csv", "data/metadata.csv"])
def test_two_tables_may_not_both_tell(own, name):
    metadata(own, *LABELLED)
    metadata(own, *(row.replace("data/", "") for row in GROUPED) if "/" in name else GROUPED,
             name=name)  # fmt: skip
    with pytest.raises(DataError, match="both list"):
        folder.read(own)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "end"),
    [
        ("utf-8", ",", "\n"),
        ("utf-8-sig", ";", "\r\n"),
        ("utf-16", "\t", "\r"),
        ("utf-8", "|", "\n"),
    ],
)
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


def test_another_encoding_is_not_guessed(tmp_path):
    touch(tmp_path / "hungry" / "n\u00e9.wav")
    table(tmp_path, "hungry/n\u00e9.wav,x", encoding="cp1252")
    with pytest.raises(DataError, match=r"could not be read as a table .* 'CSV UTF-8'"):
        folder.read(tmp_path)


def fill(root, *labels, seeds=range(99)):
    """Write one cry of a second a label: ``<label>/<number>.wav``."""
    for i, (label, seed) in enumerate(zip(labels, seeds, strict=False)):
        write(root / label / f"{i}.wav", cry(seed, 1.0))
    return root


@pytest.fixture
def cries(tmp_path):
    """Three cries, of which the last is the first again as an mp3 file."""
    write(tmp_path / "hungry" / "a.wav", cry(0))
    write(tmp_path / "tired" / "b.wav", cry(1))
    (tmp_path / "tired" / "c.mp3").write_bytes(encode(cry(0)[:, None], RATE, "mp3"))
    return tmp_path


def test_the_same_sound_is_one_group_unless_a_table_says_otherwise(cries):
    def regrouped():
        corpus = folder.read(cries)
        items = DATASETS["folder"].regroup(load_clips(corpus, FrontEnd(FrontEndConfig())))
        return groups(replace(corpus, items=items))

    names = ("hungry/a.wav", "tired/b.wav", "tired/c.mp3")
    assert regrouped() == dict(zip(names, (names[0], names[1], names[0]), strict=True))
    table(cries, *(f"{name},{group}" for name, group in zip(names, "xxy", strict=True)))
    assert regrouped() == dict(zip(names, "xxy", strict=True))


# What is said


def said(root, folds=2):
    data, _ = prepare(DATASETS["folder"], root, root / ".cache", FrontEndConfig())
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


@pytest.mark.parametrize("twin", ["HUN GRY", "\uff48ungry", "hun-gry"])
def test_labels_that_differ_by_little_are_pointed_out(tmp_path, twin):
    data, found = said(fill(tmp_path, "hungry", twin, "tired"))
    assert f"the labels {', '.join(map(repr, sorted(['hungry', twin])))} differ only" in found
    assert "'tired'" not in found
    assert len(data.corpus.labels) == 3


def test_groups_that_differ_by_little_and_sounds_in_two_are_pointed_out(tmp_path):
    fill(tmp_path, *"abab", seeds=[0, 1, 2, 0])
    table(tmp_path, "a/0.wav,Baby 1", "b/1.wav,baby 1", "a/2.wav,x", "b/3.wav,x")
    data, found = said(tmp_path)
    assert "the groups 'Baby 1', 'baby 1' differ" in found
    assert "one sound has two labels: a/0.wav and b/3.wav." in found
    assert "one sound has two groups: a/0.wav and b/3.wav." in found
    assert {i.group for i in data.clips.items} == {"Baby 1", "baby 1", "x"}
    assert len({i.source for i in data.clips.items}) == 3


# A fit


def fit(root, out, *more):
    words = ["fit", "--system", SYSTEM, "--dataset", "folder", "--data-root", str(root)]
    words += ["--cache", str(root.parent / "cache"), "--out", str(out), "--epochs", "1"]
    assert main([*words, "--set", "channels=8", "stages=1", "--set", "batch=8", *more]) == 0


def found_in(out):
    place = out / "results" / "folder-ward" / "baby" / SYSTEM
    return pd.read_csv(place / "predictions.csv"), json.loads((place / "run.json").read_text())


def test_babies_that_nothing_names_are_pointed_out(tmp_path):
    data, found = said(fill(tmp_path / "ward", *"abab"))
    assert "nothing names the babies" in found
    assert not cautions(data, 2, "recording")


@pytest.fixture(scope="module")
def split_root(tmp_path_factory):
    """Six recordings to learn from, one of which is also one of the four to test."""
    root = tmp_path_factory.mktemp("split") / "ward"
    fill(root / "train", *"ababab")
    fill(root / "test", *"abab", seeds=[6, 7, 8, 1])
    return root


def test_a_fit_learns_from_one_part_and_tests_the_other(split_root, tmp_path, capsys):
    fit(split_root, tmp_path, "--save-folds")
    (table, record), printed = found_in(tmp_path), capsys.readouterr().out
    tested = {path.relative_to(split_root).as_posix() for path in split_root.glob("test/*/*")}
    assert set(table["recording"]) == tested
    assert set(table["label"]) == {"a", "b"}
    assert [name for name in table if name.startswith("p_")] == ["p_a", "p_b"]
    assert record["metrics"]["recording"]["folds"] == 1
    assert record["metrics"]["recording"]["recordings"] == record["calibration"]["recordings"] == 4
    (kept,) = tmp_path.glob("folds/**/config.json")
    assert json.loads(kept.read_text())["training"]["recordings"] == 5  # not the copy of test's
    assert "6 recordings are learnt from, 4 are tested" in printed
    assert "1 recordings share a group or their sound with the test part" in printed
    fit(split_root, tmp_path)  # goes on with what is there
    pd.testing.assert_frame_equal(table, found_in(tmp_path)[0])


def test_a_number_of_folds_cross_validates_over_everything(split_root, tmp_path):
    fit(split_root, tmp_path, "--folds", "2", "--no-checkpoint")
    table, record = found_in(tmp_path)
    assert table["recording"].nunique() == 10
    assert record["metrics"]["recording"]["folds"] == 2
    assert table.groupby("group")["fold"].nunique().max() == 1
