"""``python -m train ablate-attention``: every number beside one computed without its code."""

import json
import math
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import soundfile
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

import cry_model
from cry_model import metrics
from cry_model.layers import DifferentialAttention
from train.__main__ import main
from train.data.corpus import DataError
from train.data.datasets.donateacry import LABELS
from train.fit.cross_validation import saved_folds
from train.studies.attention_ablation import Cell, find_cells, same
from train.studies.attention_facts import facts_of, scale_facts
from train.studies.neutral import compare

DRAWS = 1000  # of a bootstrap
WHOLE, PLAIN = "improved-ecapa-tdnn", "improved-ecapa-tdnn-no-diff-attention"
NARROW = {"channels": 8, "mfa_channels": 8, "bottleneck": 8, "embedding": 8}
COLUMNS = [f"p_{label}" for label in LABELS]
SMALL = ("channels=8", "stages=1", "batch=8", "learning_rate=0.003")
SCORES = {
    "accuracy": lambda y, p: accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: balanced_accuracy_score(y, p.argmax(1)),
    "macro_auc": lambda y, p: np.mean([roc_auc_score(y == c, p[:, c]) for c in range(len(LABELS))]),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two babies of each label with one clip of 7 s: noise of a band and a rhythm of its own."""
    root, rate = tmp_path_factory.mktemp("data"), 8000
    rng, time = np.random.default_rng(0), np.arange(7 * rate) / rate
    for i, label in enumerate(LABELS):
        folder = root / "donateacry" / label
        folder.mkdir(parents=True)
        for n in range(2):
            tone = np.sin(2 * np.pi * (400 + 300 * i) * time) + 0.3 * rng.standard_normal(len(time))
            wave = tone * (0.2 + np.abs(np.sin(np.pi * (1 + n) * time))) / 4
            name = f"{i:04d}{n:04d}-0000-0000-0000-{'A' * 12}-143043{n:04d}-1.0-m-04-hu.wav"
            soundfile.write(folder / name, wave, rate, subtype="PCM_16")
    return root


def fit(root, out, *more):
    words = ["fit", "--dataset", "donateacry", "--data-root", str(root), "--out", str(out)]
    words += ["--cache", str(root / "cache"), "--folds", "2", "--epochs", "2", "--device", "cpu"]
    return main([*words, "--save-folds", "--no-checkpoint", "--protocol", "clip", *more])


def effect(root, out, *more):
    words = ["ablate-attention", "--out", str(out), "--data-root", str(root), "--device", "cpu"]
    return main([*words, "--cache", str(root / "cache"), *more])


@pytest.fixture(scope="module")
def out(root, tmp_path_factory):
    """Two seeds of the whole system, one of a system with less, and weights without attention."""
    out = tmp_path_factory.mktemp("runs")
    assert fit(root, out, "--system", WHOLE, "--seeds", "0", "1", "--set", *SMALL) == 0
    assert fit(root, out, "--system", PLAIN, "--set", *SMALL) == 0
    plain = cry_model.CheckpointConfig("ecapa-tdnn", LABELS, cry_model.FrontEndConfig(), NARROW)
    place = out / "folds" / "donateacry" / "clip" / "ecapa-tdnn" / "seed0-fold0"
    cry_model.save_checkpoint(place, plain.build(), plain)
    assert effect(root, out) == 0
    return out


def cell(out, system=WHOLE):
    return out / "results" / "donateacry" / "clip" / system


def read(out, system=WHOLE):
    return json.loads((cell(out, system) / "attention_effect.json").read_text())


@pytest.fixture(scope="module")
def tested(out, root):
    """(seed, fold, model, features, rows of predictions) with the pieces that a fold tests.

    Cut by hand: under the protocol ``clip`` a recording in prepared form is two equal parts.
    """
    table = pd.read_csv(cell(out) / "predictions.csv")
    found = []
    for seed, fold, folder in saved_folds(out, "donateacry", "clip", WHOLE):
        model, config = cry_model.load_checkpoint(folder)
        front_end = cry_model.FrontEnd(config.front_end)
        rows = table[(table["seed"] == seed) & (table["fold"] == fold)]
        features = []
        for clip in rows["clip"]:
            recording, part, _ = clip.split("#")
            file = next(root.glob(f"donateacry/*/{recording}*"))
            wave = front_end.prepare(cry_model.audio.load(file)).waveform
            features.append(front_end(wave.tensor_split(2)[int(part)][None]))
        found.append((seed, fold, model, features, rows))
    return found


def answers(tested):
    """Predictions of every piece as the models now answer, one piece at a time."""
    tables = []
    for seed, _, model, features, rows in tested:
        with torch.no_grad():
            logits = torch.cat([model(piece) for piece in features])
        values = logits.double().softmax(-1).numpy()
        tables.append(rows.assign(seed=seed, **dict(zip(COLUMNS, values.T, strict=True))))
    every = pd.concat(tables)
    mean = every.groupby(["recording", "seed", "label"], as_index=False)[COLUMNS].mean()
    truth = mean["label"].map(LABELS.index).to_numpy()
    return truth, mean[COLUMNS].to_numpy()


def test_what_uniform_maps_do_is_what_another_way_of_computing_gives(out, tested, monkeypatch):
    truth, before = answers(tested)

    def uniform(self, query, key):
        batch, tokens, _ = query.shape
        return torch.full((batch, self.heads, tokens, tokens), 1 / tokens)

    monkeypatch.setattr(DifferentialAttention, "attend", uniform)
    _, after = answers(tested)
    found = read(out)["ablated"]["differential"]
    for name, score in SCORES.items():
        paired = found["metrics"][name]
        assert paired["fitted"]["value"] == pytest.approx(score(truth, before), abs=1e-9)
        assert paired["neutral"]["value"] == pytest.approx(score(truth, after), abs=1e-9)
        gain = paired["neutral"]["value"] - paired["fitted"]["value"]
        assert paired["difference"]["value"] == pytest.approx(gain, abs=1e-12)
    changed = np.mean(before.argmax(1) != after.argmax(1))
    assert found["changed"]["value"] == pytest.approx(changed)
    distance = np.abs(before - after).sum(1).mean() / 2
    assert distance > 1e-4  # it does something here
    assert found["distance"]["value"] == pytest.approx(distance, rel=1e-3)


def test_fitted_scores_are_those_of_the_run(out):
    for system, names in ((WHOLE, 6), (PLAIN, 5)):
        record = json.loads((cell(out, system) / "run.json").read_text())
        measured = record["metrics"]["recording"]["metrics"]
        found = read(out, system)["ablated"]
        assert len(found) == names
        for one in found.values():
            for name in SCORES:
                assert one["metrics"][name]["fitted"] == pytest.approx(measured[name], abs=1e-6)


def test_what_the_attention_is_like_is_what_its_maps_say(out, tested):
    maps = []
    for *_, model, features, _ in tested:
        with torch.no_grad():
            maps += [model(piece, return_attention=True)[1] for piece in features]
    found = read(out)
    assert found["pieces"] == len(maps) == 2 * 20
    for which in "12":
        rows = [getattr(one, f"differential_{which}").numpy().reshape(-1, 8) for one in maps]
        expected = np.mean([scipy.stats.entropy(row, axis=1).mean() / math.log(8) for row in rows])
        value = found["differential"][f"entropy_{which}"]
        assert value["value"] == pytest.approx(expected, abs=1e-6)
        assert value["low"] <= value["value"] <= value["high"]
    assert found["differential"]["tokens"] == 8
    weights = {f"seed {s}, fold {f}": m.differential.lambda_.item() for s, f, m, *_ in tested}
    assert found["differential"]["weight"] == pytest.approx(weights)
    assert len(found["temporal"]) == len(found["multi_scale"]) == 3
    for block in range(3):
        gates = [one.temporal[block].numpy()[0].astype(float) for one in maps]
        values = {
            "mean": [gate.mean() for gate in gates],
            "deviation": [gate.std() for gate in gates],
            "entropy": [scipy.stats.entropy(gate) / math.log(len(gate)) for gate in gates],
        }
        for name, each in values.items():
            value = found["temporal"][block][name]["value"]
            assert value == pytest.approx(np.mean(each), rel=1e-5)
        sums = np.array([one.multi_scale[block].numpy()[0, 0].sum(1) for one in maps])
        shares = sums / sums.sum(1, keepdims=True)
        parts = np.split(shares, np.cumsum([len(rows) for *_, rows in tested])[:-1])
        within = np.concatenate([part - part.mean(0) for part in parts])
        branches = found["multi_scale"][f"block {block + 1}, stage 1"]
        assert list(branches) == ["3", "5", "7", "pool"]
        for i, facts in enumerate(branches.values()):
            assert facts["share"]["value"] == pytest.approx(shares[:, i].mean(), abs=1e-6)
            assert facts["deviation"] == pytest.approx(
                np.sqrt((within[:, i] ** 2).mean()), rel=1e-3
            )


def test_a_system_has_what_it_has_and_one_without_is_passed_over(out):
    found = read(out, PLAIN)
    assert "differential" not in found["ablated"]
    assert found["differential"] is None
    assert (found["seeds"], found["folds"], found["recordings"]) == ([0], 2, 10)
    assert read(out)["seeds"] == [0, 1]
    assert not (cell(out, "ecapa-tdnn") / "attention_effect.json").exists()


def test_entropy_is_one_where_uniform_and_zero_at_one_token():
    uniform, certain = torch.full((1, 2, 4, 4), 0.25), torch.eye(4).expand(1, 2, 4, 4)
    maps = cry_model.AttentionMaps(
        temporal=(torch.full((1, 50), 0.3),),
        differential_1=uniform,
        differential_2=certain,
        differential_lambda=torch.tensor(0.2),
    )
    facts = facts_of(maps)
    assert facts["entropy_1"].item() == pytest.approx(1)
    assert facts["entropy_2"].item() == 0
    assert facts["temporal_1_entropy"].item() == pytest.approx(1)


def test_fits_that_differ_are_no_dependence_on_the_input():
    rows = {
        "group": ["a", "b"] * 2,
        "seed": [0, 0, 1, 1],
        "fold": 0,
        "scale_1_1_3": [0.2, 0.2, 0.4, 0.4],
    }
    facts = scale_facts(pd.DataFrame(rows))["block 1, stage 1"]["3"]
    assert facts.share.value == pytest.approx(0.3)
    assert facts.deviation == pytest.approx(0)


def test_an_interval_of_a_difference_draws_the_same_groups_for_both():
    """Against a plain loop over draws that copies the rows of a drawn group."""
    rng = np.random.default_rng(3)
    groups = np.repeat([f"baby {i}" for i in range(12)], 4)
    truth = rng.integers(3, size=48)
    before = rng.dirichlet(np.ones(3), 48)
    after = 0.7 * before + 0.3 * np.eye(3)[truth]
    found = metrics.bootstrap_difference("balanced_accuracy", truth, after, before, groups.tolist())
    names, drawing, gains = np.unique(groups), np.random.default_rng(0), []
    for _ in range(DRAWS):
        drawn = names[drawing.integers(12, size=12)]
        rows = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        scores = [balanced_accuracy_score(truth[rows], p[rows].argmax(1)) for p in (before, after)]
        gains.append(scores[1] - scores[0])
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(gains, [2.5, 97.5])))
    assert found.low < found.value < found.high


def test_pieces_in_another_order_are_not_compared(out):
    table = pd.read_csv(cell(out) / "predictions.csv")
    assert compare(table, {"temporal": table}, LABELS)["temporal"].distance.high == 0
    with pytest.raises(DataError, match="not those of the model as fitted"):
        compare(table, {"temporal": table[::-1]}, LABELS)


@pytest.fixture
def copied(out, tmp_path):
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_what_is_there_and_newer_is_not_measured_again(root, copied, monkeypatch, capsys):
    monkeypatch.setattr("train.cli.measure.measure", None)  # would be called
    assert effect(root, copied) == 0
    shown = capsys.readouterr().out
    assert shown.count("is measured already") == 2
    assert shown.count("has no attention") == 1
    monkeypatch.undo()
    path = cell(copied, PLAIN) / "attention_effect.json"
    before = path.read_bytes()
    path.write_text("{}")
    assert effect(root, copied) == 0
    assert path.read_text() == "{}"
    weights = next(folder for *_, folder in saved_folds(copied, "donateacry", "clip", PLAIN))
    now = path.stat().st_mtime_ns
    os.utime(weights / "model.safetensors", ns=(now, now))
    assert not Cell(copied, "donateacry", "clip", PLAIN).newer(path.name)
    assert effect(root, copied) == 0
    assert path.read_bytes() == before


def test_weights_of_another_fit_are_told_and_the_other_cells_go_on(root, copied, capsys):
    folder = next(folder for *_, folder in saved_folds(copied, "donateacry", "clip", WHOLE))
    model, config = cry_model.load_checkpoint(folder)
    with torch.no_grad():
        model.classifier.bias[0] += 0.05
    cry_model.save_checkpoint(folder, model, config)
    (cell(copied, WHOLE) / "attention_effect.json").unlink()
    (cell(copied, PLAIN) / "attention_effect.json").unlink()
    assert effect(root, copied) == 2
    error = capsys.readouterr().err
    assert f"clip/{WHOLE}: Weights and predictions are not of the same run" in error
    assert "Traceback" not in error
    assert not (cell(copied, WHOLE) / "attention_effect.json").exists()
    assert (cell(copied, PLAIN) / "attention_effect.json").exists()


@pytest.mark.parametrize(
    ("change", "alike"),
    [(0.0, True), (9e-5, True), (2e-4, False), ("clip", False), ("missing", False)],
)
def test_predictions_are_the_same_to_a_ten_thousandth(out, change, alike):
    table = pd.read_csv(cell(out) / "predictions.csv")
    found = table[(table["seed"] == 0) & (table["fold"] == 1)].copy()
    if change == "clip":
        table["clip"] = table["clip"].replace(found["clip"].iloc[0], "other#0#0")
    elif change == "missing":
        table = table.drop(found.index[0])
    else:
        found.loc[found.index[0], COLUMNS[2]] += change
    assert same(found, table, LABELS) is alike


def test_a_seed_with_a_fold_missing_is_left_out(root, copied, capsys):
    seeds = {(s, f): folder for s, f, folder in saved_folds(copied, "donateacry", "clip", WHOLE)}
    (cell(copied) / "attention_effect.json").unlink()
    shutil.rmtree(seeds[1, 0])
    assert effect(root, copied, "--system", WHOLE) == 0
    assert read(copied)["seeds"] == [0]
    (cell(copied) / "attention_effect.json").unlink()
    shutil.rmtree(seeds[0, 1])
    assert effect(root, copied, "--system", WHOLE) == 2
    assert "No seed kept the weights of all 2 folds" in capsys.readouterr().err


def test_other_recordings_are_refused(root, copied, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(root / "donateacry", other / "donateacry")
    file = next(other.rglob("*.wav"))
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[::-1], rate, subtype="PCM_16")
    (cell(copied) / "attention_effect.json").unlink()
    assert effect(other, copied, "--system", WHOLE) == 2
    assert "are not those that this was fitted on" in capsys.readouterr().err


def test_cells_are_found_by_name(out, capsys):
    assert [str(one) for one in find_cells(out, systems=[WHOLE])] == [f"donateacry/clip/{WHOLE}"]
    assert len(find_cells(out)) == 3
    assert main(["ablate-attention", "--out", str(out), "--protocol", "baby"]) == 2
    assert "There are no weights of such folds" in capsys.readouterr().err
