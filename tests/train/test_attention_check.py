"""``python -m train attention`` from recordings with known onsets to numbers with intervals."""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest

from train.__main__ import main
from train.attention_check import run_check
from train.attention_rows import Check
from train.attention_scores import estimate, summarise
from train.datasets import synthetic6

GATED, PLAIN = "improved-ecapa-tdnn", "improved-ecapa-tdnn-no-rse"
REFERENCES = {"loudness", "rise", "untrained_gradient_x_input"}
TRACKS = {
    GATED: {"gate_1", "gate_2", "gate_3", "gate", "untrained_gate", "gradient_x_input"},
    PLAIN: {"gradient_x_input"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A baby of each label with two recordings of about 1 s."""
    folder = tmp_path_factory.mktemp("data")
    synthetic6.write(folder, recordings=2, seconds=1.0)
    return folder


@pytest.fixture(scope="module", autouse=True)
def few_random_seconds():
    """Two instead of twenty, for the tests to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(run_check, how=Check(windows=2, shifts=20))
        patch.setattr("train.commands.attention.run_check", quick)
        yield


def check(root, out, *more):
    words = ["attention", "--data-root", str(root), "--cache", str(root / "cache")]
    words += ["--out", str(out), "--folds", "2", "--epochs", "1", "--set", "channels=16"]
    return main([*words, *more])


@pytest.fixture(scope="module")
def done(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    assert check(root, out) == 0
    return out


def folder_of(out, system):
    return out / "results" / "synthetic6" / "attention" / system


@pytest.mark.parametrize("system", TRACKS)
def test_every_recording_has_a_row_from_the_fold_that_held_it_out(done, system):
    table = pd.read_csv(folder_of(done, system) / "attention.csv")
    assert len(table) == table["recording"].nunique() == 12
    assert table.groupby("group")["fold"].nunique().max() == 1
    assert set(table["fold"]) == {0, 1}
    tracks = TRACKS[system] | REFERENCES
    shares = {column for column in table.columns if column.startswith("share_")}
    assert shares == {f"share_{track}" for track in tracks}
    for track in tracks:
        assert table[f"share_{track}"].between(0, 1).all()
        assert np.isfinite(table[[f"fall_{track}", f"log_fall_{track}"]].to_numpy()).all()
    assert (table["share_rise"] - table["shuffled_rise"]).mean() > 0.2  # that is where cries begin


@pytest.mark.parametrize(
    ("system", "headline"), [(GATED, "gate"), (PLAIN, "gradient_x_input")], ids=[GATED, PLAIN]
)
def test_run_json_says_what_follows_from_the_table(done, system, headline):
    record = json.loads((folder_of(done, system) / "run.json").read_text())
    table = pd.read_csv(folder_of(done, system) / "attention.csv")
    found = record["attention"]
    assert (found["headline"], found["recordings"], found["groups"]) == (headline, 12, 6)
    assert set(found["tracks"]) == TRACKS[system] | REFERENCES
    for track, score in found["tracks"].items():
        columns = {
            "share": table[f"share_{track}"],
            "share_minus_shuffled": table[f"share_{track}"] - table[f"shuffled_{track}"],
            "share_minus_loudness": table[f"share_{track}"] - table["share_loudness"],
            "fall": table[f"fall_{track}"],
            "fall_minus_random": table[f"fall_{track}"] - table["fall_random"],
            "log_fall_minus_loudest": table[f"log_fall_{track}"] - table["log_fall_loudness"],
        }
        for name, values in columns.items():
            assert score[name]["value"] == pytest.approx(values.mean(), abs=1e-12)
            assert score[name]["low"] <= score[name]["value"] <= score[name]["high"]
    untrained = table["share_gradient_x_input"] - table["share_untrained_gradient_x_input"]
    score = found["tracks"]["gradient_x_input"]
    assert score["share_minus_untrained"]["value"] == pytest.approx(untrained.mean())
    assert found["tracks"]["loudness"]["share_minus_untrained"] is None
    columns = [f"p_{label}" for label in record["labels"]]
    guess = np.array(record["labels"])[table[columns].to_numpy().argmax(1)]
    measured = record["metrics"]["recording"]["metrics"]["accuracy"]["value"]
    assert measured == pytest.approx((guess == table["label"]).mean())
    assert record["configuration"]["check"]["reach"] == 0.15
    assert set(record["wall_seconds"]) == {"seed 0, fold 0", "seed 0, fold 1"}


def test_intervals_resample_babies_not_recordings():
    """Three equal recordings of a baby tell no more than one."""
    values = np.random.default_rng(0).standard_normal(60)
    babies = [f"baby_{i}" for i in range(60)]
    once = estimate(values, babies)
    thrice = estimate(np.repeat(values, 3), list(np.repeat(babies, 3)))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    width = 2 * 1.96 * values.std() / np.sqrt(60)
    assert once.high - once.low == pytest.approx(width, rel=0.15)


def test_differences_are_of_the_same_recording():
    rows = {"recording": ["a", "b", "c"], "group": ["x", "y", "z"], "time_share": 0.2}
    rows |= {"share_loudness": [0.1, 0.5, 0.9], "shuffled_loudness": [0.0, 0.4, 0.8]}
    rows |= {"fall_loudness": 0.3, "log_fall_loudness": 0.3, "fall_random": 0.1}
    found = summarise(pd.DataFrame({**rows, "log_fall_random": [0.1, 0.2, 0.3]}))
    gain = found.tracks["loudness"].share_minus_shuffled
    assert (gain.low, gain.value, gain.high) == pytest.approx((0.1, 0.1, 0.1))


def test_a_check_that_was_cut_off_goes_on_and_ends_the_same(done, root, tmp_path, monkeypatch):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("train.fitting.fit", None)  # would be called
    assert check(root, tmp_path) == 0
    monkeypatch.undo()
    path = folder_of(tmp_path, PLAIN) / "attention.csv"
    whole = path.read_bytes()
    table = pd.read_csv(path)
    table[table["fold"] == 0].to_csv(path, index=False, float_format="%.6f")
    assert check(root, tmp_path, "--system", PLAIN) == 0
    assert path.read_bytes() == whole == (folder_of(done, PLAIN) / "attention.csv").read_bytes()


def test_other_settings_do_not_mix_with_an_earlier_check(done, root, capsys):
    assert check(root, done, "--system", PLAIN, "--set", "batch=8") == 2
    assert "other settings" in capsys.readouterr().err


def test_a_damaged_truth_is_refused(root, tmp_path, capsys):
    shutil.copytree(root / "synthetic6", tmp_path / "synthetic6")
    table = tmp_path / "synthetic6" / "truth.csv"
    table.write_text(table.read_text().replace("awake_1.wav,baby_000,16000,0", "awake_1.wav,b,1,x"))
    assert ",x" in table.read_text()
    assert check(tmp_path, tmp_path / "out") == 2
    assert "truth.csv is damaged" in capsys.readouterr().err
