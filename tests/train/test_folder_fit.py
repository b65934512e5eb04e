"""What prepare says of a folder, and what fit makes of its split."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from cry_model.frontend import FrontEnd, FrontEndConfig
from tests.cry_model.encode import encode
from tests.train.folders import RATE, cry, groups, table, touch, write
from tests.train.small_fit import SYSTEM
from train.__main__ import main
from train.cli.data import cautions
from train.data.cache import DATASETS, prepare
from train.data.corpus import load_clips
from train.data.datasets import folder


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


@pytest.mark.parametrize(
    "twin", ["Hungry", "hungry ", "HUN GRY", "\uff48ungry", "hun-gry", "hun_gry"]
)
def test_labels_that_differ_by_little_are_pointed_out(tmp_path, twin):
    data, found = said(fill(tmp_path, "hungry", twin, "tired"))
    assert f"the labels {', '.join(map(repr, sorted(['hungry', twin])))} differ only" in found
    assert "'tired'" not in found
    assert len(data.corpus.labels) == 3


def test_nothing_is_said_of_a_sound_corpus(tmp_path):
    table(fill(tmp_path, *"abab"), *(f"{'ab'[i % 2]}/{i}.wav,{i}" for i in range(4)))
    assert said(tmp_path)[1] == ""


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


def fit(root, out, *more, systems=(SYSTEM,), status=0):
    words = ["fit", "--system", *systems, "--dataset", "folder", "--data-root", str(root)]
    words += ["--cache", str(root.parent / "cache"), "--out", str(out), "--epochs", "1"]
    assert main([*words, "--set", "channels=8", "stages=1", "--set", "batch=8", *more]) == status


def found_in(out):
    place = out / "results" / "folder-ward" / "baby" / SYSTEM
    return pd.read_csv(place / "predictions.csv"), json.loads((place / "run.json").read_text())


def test_babies_that_nothing_names_are_pointed_out_once(tmp_path, capsys):
    root, both = fill(tmp_path / "ward", *"abab"), (SYSTEM, "improved-ecapa-tdnn-no-rse")
    for protocol, systems, times in (("baby", both, 1), ("recording", (SYSTEM,), 0)):
        more = ("--protocol", protocol, "--folds", "2", "--no-checkpoint")
        fit(root, tmp_path / "out", *more, systems=systems)
        assert capsys.readouterr().out.count("nothing names the babies") == times


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
