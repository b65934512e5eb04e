"""Tables of labels and groups as spreadsheets and the Hub have them."""

import json

import pandas as pd
import pytest

from tests.train.folders import folds, groups, labels, table, touch
from train.data.corpus import DataError
from train.data.datasets import folder


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "Our ward, 2024"
    for name in ("hungry/a.WAV", "hungry/b/a.m4a", "tired/c.3gp", "loose.ogg"):
        touch(root / name)
    for name in (".hidden.wav", "tired/.c.wav", ".trash/d.wav", "notes/e.txt"):
        touch(root / name)
    return root


ROWS = ["hungry/a.WAV,x", "hungry/b/a.m4a,x", "tired/c.3gp,y", "loose.ogg,z"]


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
        ([], "does not list hungry/a.WAV and 3 more"),
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
        (["file_name,label,Label", "data/0.wav,a,b"], "two columns are called label"),
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
