"""``python -m train join``: seeds fitted apart are what they would have been, fitted together."""

import json
import shutil

import pandas as pd
import pytest

from cry_model.checkpoint import load_checkpoint
from train.__main__ import main

SYSTEM = "improved-ecapa-tdnn-no-mca"
PLACE = f"results/donateacry/baby/{SYSTEM}"
SETTINGS = ["--epochs", "1", "--folds", "2", "--set", "channels=8", "stages=1"]


def command(root, *words):
    return main([*map(str, words), "--data-root", str(root), "--cache", str(root / "cache")])


def fit(root, out, seeds, *more, protocol="baby", settings=SETTINGS):
    what = ["fit", "--dataset", "donateacry", "--system", SYSTEM, "--protocol", protocol]
    where = ["--device", "cpu", "--precision", "float32", "--out", out]
    more = more or ["--no-checkpoint"]
    assert command(root, *what, "--seeds", *seeds, *settings, *where, *more) == 0
    return out


@pytest.fixture(scope="module")
def fitted(made_up_root, tmp_path_factory):
    """Seed 0, seed 1, and both at once, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("fitted")
    seeds = {"first": (0,), "second": (1,), "both": (0, 1)}
    return {name: fit(made_up_root, folder / name, each) for name, each in seeds.items()}


@pytest.fixture
def apart(fitted, tmp_path):
    """A copy of the first two, to be joined."""
    for name in ("first", "second"):
        shutil.copytree(fitted[name], tmp_path / name)
    return tmp_path / "first", tmp_path / "second"


def record(out):
    return json.loads((out / PLACE / "run.json").read_text())


def change(out, edit):
    """Edits the record of a run."""
    found = record(out)
    edit(found)
    (out / PLACE / "run.json").write_text(json.dumps(found))


def contents(out):
    return {path.name: path.read_bytes() for path in (out / PLACE).iterdir()}


def test_joined_is_as_if_fitted_at_once(made_up_root, fitted, apart, capsys):
    first, second = apart
    before = contents(second)
    assert command(made_up_root, "join", second, "--out", first) == 0
    tables = [pd.read_csv(out / PLACE / "predictions.csv") for out in (first, fitted["both"])]
    pd.testing.assert_frame_equal(*tables)
    joined, both = record(first), record(fitted["both"])
    for name in ("seeds", "metrics", "calibration", "beside", "configuration", "labels"):
        assert joined[name] == both[name], name
    assert list(joined["wall_seconds"]) == list(joined["cost"]) == list(both["wall_seconds"])
    assert "seeds 0, 1." in capsys.readouterr().out
    assert contents(second) == before


def test_two_machines_may_round_differently(made_up_root, apart):
    first, second = apart
    environment = {"device": "cuda", "device_name": "A GPU", "precision": "bfloat16"}

    def elsewhere(found):
        found["configuration"].update(precision="bf16", data="another rounding")
        found["environment"] = environment

    change(second, elsewhere)
    (second / PLACE / "attention_effect.json").write_text("{}")
    own = record(first)["environment"]
    assert command(made_up_root, "join", second, "--out", first) == 0
    found = record(first)
    assert found["environment"] == own
    assert found["configuration"]["precision"] == "no"
    came = {"seeds": [1], "precision": "bf16", "data": "another rounding"}
    assert found["joined"] == [{**came, "environment": environment}]
    assert (first / PLACE / "attention_effect.json").read_text() == "{}"
    assert main(["costs", str(first / "results"), "--csv", str(first / "costs.csv")]) == 0
    row = pd.read_csv(first / "costs.csv").iloc[0]
    assert (row["precision"], row["seeds"]) == ("float32, bfloat16", "0 1")
    assert row["device"].endswith(", A GPU")


def test_a_joined_run_goes_on(made_up_root, apart):
    first, second = apart
    change(second, lambda found: found["configuration"].update(data="another rounding"))
    assert command(made_up_root, "join", second, "--out", first) == 0
    there = pd.read_csv(first / PLACE / "predictions.csv")
    fit(made_up_root, first, (0, 1, 2))
    after = pd.read_csv(first / PLACE / "predictions.csv")
    pd.testing.assert_frame_equal(after[after["seed"] < 2].reset_index(drop=True), there)
    assert record(first)["seeds"] == [0, 1, 2]
    assert record(first)["joined"][0]["seeds"] == [1]


def test_a_seed_that_was_cut_off_is_kept_and_not_scored(made_up_root, apart, capsys):
    first, second = apart
    path = first / PLACE / "predictions.csv"
    table = pd.read_csv(path)
    cut = table[table["fold"] == 0].assign(seed=2)
    pd.concat([table, cut]).to_csv(path, index=False)
    assert command(made_up_root, "join", second, "--out", first) == 0
    assert record(first)["seeds"] == [0, 1]
    assert len(pd.read_csv(path).query("seed == 2")) == len(cut)
    other = pd.read_csv(second / PLACE / "predictions.csv").assign(seed=2)
    other.to_csv(second / PLACE / "predictions.csv", index=False)
    assert command(made_up_root, "join", second, "--out", first) == 2
    assert "both have seed 2" in capsys.readouterr().err


def test_what_was_joined_before_keeps_where_it_came_from(made_up_root, fitted, apart, tmp_path):
    first, second = apart
    third = fit(made_up_root, tmp_path / "third", (2,))
    change(third, lambda found: found["configuration"].update(data="a third machine"))
    assert command(made_up_root, "join", third, "--out", second) == 0
    assert command(made_up_root, "join", second, "--out", first) == 0
    assert record(first)["seeds"] == [0, 1, 2]
    came = [(part["seeds"], part["data"]) for part in record(first)["joined"]]
    assert came == [([1], record(second)["configuration"]["data"]), ([2], "a third machine")]


def test_a_second_time_changes_nothing(made_up_root, apart, capsys):
    first, second = apart
    assert command(made_up_root, "join", second, "--out", first) == 0
    before = contents(first)
    assert command(made_up_root, "join", second, "--out", first) == 0
    assert "is joined already" in capsys.readouterr().out
    assert contents(first) == before


def test_pieces_that_were_split_apart_join_too(made_up_root, tmp_path):
    folders = [fit(made_up_root, tmp_path / str(seed), (seed,), protocol="clip") for seed in (0, 1)]
    assert command(made_up_root, "join", folders[1], "--out", folders[0]) == 0
    place = folders[0] / PLACE.replace("/baby/", "/clip/")
    assert json.loads((place / "run.json").read_text())["seeds"] == [0, 1]


def test_the_checkpoint_then_carries_the_numbers_of_all_seeds(made_up_root, fitted, tmp_path):
    out = fit(made_up_root, tmp_path / "first", (0,), "--checkpoint")
    checkpoint = out / "checkpoints" / f"donateacry-{SYSTEM}"
    assert load_checkpoint(checkpoint)[1].evaluation.seeds == (0,)
    assert command(made_up_root, "join", fitted["second"], "--out", out) == 0
    assert main(["calibrate", str(out / PLACE), "--checkpoint", str(checkpoint)]) == 0
    carried = json.loads((checkpoint / "config.json").read_text())
    assert carried["evaluation"] == record(out)["metrics"]["recording"]
    assert carried["calibration"] == record(out)["calibration"]
    assert carried["evaluation"]["seeds"] == [0, 1]


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda found: found["configuration"]["preset"].update(epochs=7), "preset differ"),
        (lambda found: found["configuration"].update(settings={}), "settings differ"),
        (lambda found: found["configuration"].update(folds=3), "No seed in"),
    ],
)
def test_another_way_of_fitting_is_refused(made_up_root, apart, capsys, edit, sentence):
    first, second = apart
    before = contents(first)
    change(second, edit)
    assert command(made_up_root, "join", second, "--out", first) == 2
    assert sentence in capsys.readouterr().err
    assert contents(first) == before


def test_a_seed_that_both_have_is_refused(made_up_root, fitted, apart, capsys):
    first, _ = apart
    assert command(made_up_root, "join", fitted["both"], "--out", first) == 2
    assert "both have seed 0" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["group", "label", "fold", "recording"])
def test_other_recordings_or_folds_are_refused(made_up_root, apart, capsys, column):
    first, second = apart
    path = second / PLACE / "predictions.csv"
    table = pd.read_csv(path)
    wrong = {"fold": 1 - table["fold"], "label": table["label"].iloc[::-1].to_numpy()}
    table[column] = wrong[column] if column in wrong else table[column] + "x"
    table.to_csv(path, index=False)
    before = contents(first)
    assert command(made_up_root, "join", second, "--out", first) == 2
    sentence = "has other folds" if column == "fold" else "other recordings, groups or labels"
    assert sentence in capsys.readouterr().err
    assert contents(first) == before


@pytest.mark.parametrize("file", ["predictions.csv", "run.json"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_file_is_named_and_nothing_is_joined(made_up_root, apart, capsys, file, which):
    path = apart[which] / PLACE / file
    path.write_bytes(path.read_bytes()[:-150])
    before = contents(apart[0])
    assert command(made_up_root, "join", apart[1], "--out", apart[0]) == 2
    assert str(path) in capsys.readouterr().err
    assert contents(apart[0]) == before


def test_nothing_to_join(made_up_root, apart, tmp_path, capsys):
    assert command(made_up_root, "join", tmp_path / "none", "--out", apart[0]) == 2
    assert "There are no results in" in capsys.readouterr().err
    assert command(made_up_root, "join", apart[1], "--out", tmp_path / "none") == 2
    assert "There is no run in" in capsys.readouterr().err
