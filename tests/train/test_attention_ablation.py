"""Test ablations against the reference network, and ``ablate-attention`` independently."""

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

import cry_model
from cry_model.networks.layers import DifferentialAttention
from tests.cry_model.by_hand import SETTINGS, build, logits_by_hand
from tests.plain import plain
from tests.train import small_fit
from tests.train.conftest import write_corpus
from train.data.datasets.public import REASONS as LABELS
from train.scoring.results import Cell
from train.studies.attention_ablation import PLACES, ablated, recorded


def ablation(name, gates):
    """Return the reference change of a gate by an ablation; ``gates``: block -> average gates."""

    def change(kind, gate, number=0, which=0):
        if kind != name.removesuffix("_fixed"):
            return gate
        if kind == "differential":
            return torch.full_like(gate, 1 / gate.shape[-1])
        if name.endswith("_fixed"):
            return gates[number][which].expand_as(gate)
        return (gate.sum(-1, keepdim=True) / gate.shape[-1]).expand_as(gate)

    return change


@pytest.mark.parametrize("settings", SETTINGS, ids=["4 tokens", "8 tokens"])
@pytest.mark.parametrize("name", PLACES)
@torch.no_grad()
def test_ablated_logits_match_the_reference_and_the_model_is_restored(settings, name):
    model, rng = build(**settings), torch.manual_seed(1)
    features = torch.randn(6, 5, 40, dtype=torch.float64, generator=rng)
    fitted, maps = model(features, return_attention=True)
    if name == "channel_fixed":
        gates = [a_c.mean(0, keepdim=True) for a_c in maps.channel]  # (1, channels) for each block
    else:
        gates = [s.mean(0).flatten(1) for s in maps.multi_scale]  # (stages, 2 channels)
    with recorded(model) as own:
        for batch in features.split(4):  # pieces have equal weight, not batches
            model(batch)
    with ablated(model, name, own):
        found = model(features)
    expected = logits_by_hand(model, features, ablation(name, gates))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert (found - fitted).abs().max() > 1e-5  # the ablation has an effect here
    with pytest.raises(RuntimeError), ablated(model, name, own):
        model(features[:, :2])  # fails midway: wrong number of bands
    assert torch.equal(model(features), fitted)


# The command

WHOLE, PLAIN = "improved-ecapa-tdnn", "improved-ecapa-tdnn-no-diff-attention"
NARROW = {"channels": 8, "mfa_channels": 8, "bottleneck": 8, "embedding": 8}
COLUMNS = [f"p_{label}" for label in LABELS]
SCORES = ("accuracy", "balanced_accuracy", "macro_auc")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write two babies for each label, one clip of 7 s each, which the protocol clip halves."""
    return write_corpus(tmp_path_factory.mktemp("data"), 2, 1, 7.0)


def ablate(root, out, *more):
    return small_fit.command("ablate-attention", root, out, "--device", "cpu", *more)


@pytest.fixture(scope="module")
def out(root, tmp_path_factory):
    """Measure two seeds of the full system, an ablated system, and one without attention."""
    out = tmp_path_factory.mktemp("runs")
    how = ("--protocol", "clip", "--epochs", "2", "--save-folds", "--no-checkpoint")
    how += ("--set", "batch=8", "learning_rate=0.003")
    assert small_fit.fit(root, out, *how, "--seeds", "0", "1", system=WHOLE) == 0
    assert small_fit.fit(root, out, *how, system=PLAIN) == 0
    plain = cry_model.CheckpointConfig("ecapa-tdnn", LABELS, cry_model.FrontEndConfig(), NARROW)
    place = out / "folds" / "donateacry" / "clip" / "ecapa-tdnn" / "seed0-fold0"
    cry_model.save_checkpoint(place, plain.build(), plain)
    assert ablate(root, out) == 0
    return out


@pytest.fixture
def copied(out, tmp_path):
    return shutil.copytree(out, tmp_path, dirs_exist_ok=True)


def cell(out, system=WHOLE):
    return Cell(out, "donateacry", "clip", system)


def effect(out, system=WHOLE):
    return cell(out, system).results_folder / "attention_effect.json"


def read(out, name, system=WHOLE):
    return json.loads((cell(out, system).results_folder / name).read_text())


def predictions(out):
    return pd.read_csv(cell(out).results_folder / "predictions.csv")


@pytest.fixture(scope="module")
def tested(out, root):
    """Return (seed, fold, model, features, prediction rows) of each fold's test pieces.

    Cut here: the protocol ``clip`` splits a prepared recording into two equal parts.
    """
    found = []
    for seed, fold, folder in cell(out).saved:
        model, config = cry_model.load_checkpoint(folder)
        front_end = cry_model.FrontEnd(config.front_end)
        rows = predictions(out).query("seed == @seed and fold == @fold")
        features = []
        for clip in rows["clip"]:
            recording, part, _ = clip.split("#")
            file = next(root.glob(f"donateacry/*/{recording}*"))
            wave = front_end.prepare(cry_model.sound.audio.load(file)).waveform
            features.append(front_end(wave.tensor_split(2)[int(part)][None]))
        found.append((seed, fold, model, features, rows))
    return found


def test_effect_of_uniform_maps_matches_an_independent_computation(out, tested, monkeypatch):
    def uniform(self, query, key):
        batch, tokens, _ = query.shape
        return torch.full((batch, self.heads, tokens, tokens), 1 / tokens)

    monkeypatch.setattr(DifferentialAttention, "attend", uniform)
    tables = []
    for *_, model, features, rows in tested:
        with torch.no_grad():
            values = torch.cat([model(piece) for piece in features]).double().softmax(-1).numpy()
        tables.append(rows.assign(**dict(zip(COLUMNS, values.T, strict=True))))
    mean = [
        table.groupby(["recording", "seed", "label"], as_index=False)[COLUMNS].mean()
        for table in (predictions(out), pd.concat(tables))
    ]
    truth = mean[0]["label"].map(LABELS.index).to_numpy()
    before, after = (table[COLUMNS].to_numpy() for table in mean)
    every = read(out, "attention_effect.json")["ablated"]
    measured = read(out, "run.json")["metrics"]["recording"]["metrics"]
    assert set(every) == set(PLACES)
    found = every["differential"]
    for name in SCORES:
        assert found["metrics"][name]["fitted"] == pytest.approx(measured[name], abs=1e-6)
        fitted, neutral = plain(name, truth, before), plain(name, truth, after)
        paired = {key: one["value"] for key, one in found["metrics"][name].items()}
        expected = {"fitted": fitted, "neutral": neutral, "difference": neutral - fitted}
        assert paired == pytest.approx(expected, abs=1e-9)
    changed = np.mean(before.argmax(1) != after.argmax(1))
    assert found["changed"]["value"] == pytest.approx(changed)
    distance = np.abs(before - after).sum(1).mean() / 2
    assert distance > 1e-4  # the ablation has an effect here
    assert found["distance"]["value"] == pytest.approx(distance, rel=1e-3)


def test_entropies_and_lambda_match_the_attention_maps(out, tested):
    maps = []
    for *_, model, features, _ in tested:
        with torch.no_grad():
            maps += [model(piece, return_attention=True)[1] for piece in features]
    found = read(out, "attention_effect.json")
    assert found["pieces"] == len(maps) == 2 * 20
    assert (found["recordings"], found["groups"]) == (10, 10)
    assert (found["seeds"], found["folds"]) == ([0, 1], 2)
    without = read(out, "attention_effect.json", PLAIN)
    assert without["differential"] is None
    assert set(without["ablated"]) == PLACES.keys() - {"differential"}
    for which in "12":
        rows = [getattr(one, f"differential_{which}").numpy().reshape(-1, 8) for one in maps]
        expected = np.mean([scipy.stats.entropy(row, axis=1).mean() / math.log(8) for row in rows])
        value = found["differential"][f"entropy_{which}"]
        assert value["value"] == pytest.approx(expected, abs=1e-6)
        assert value["low"] <= value["value"] <= value["high"]
    assert found["differential"]["tokens"] == 8
    weights = {f"seed {s}, fold {f}": m.differential.lambda_.item() for s, f, m, *_ in tested}
    assert found["differential"]["weight"] == pytest.approx(weights)


def test_up_to_date_results_are_not_measured_again(root, copied, capsys):
    path = effect(copied, PLAIN)
    before = path.read_bytes()
    path.write_text("{}")
    assert ablate(root, copied) == 0
    shown = capsys.readouterr().out
    assert (shown.count("already measured"), shown.count("has no attention")) == (2, 1)
    assert not effect(copied, "ecapa-tdnn").exists()
    assert ablate(root, copied, "--system", WHOLE) == 0
    assert capsys.readouterr().out == f"donateacry/clip/{WHOLE}: already measured.\n"
    assert path.read_text() == "{}"
    now = path.stat().st_mtime_ns
    os.utime(cell(copied, PLAIN).saved[0][2] / "model.safetensors", ns=(now, now))
    assert ablate(root, copied) == 0
    assert path.read_bytes() == before


def test_weights_of_another_fit_are_reported_and_other_cells_measured(root, copied, capsys):
    folder = cell(copied).saved[0][2]
    model, config = cry_model.load_checkpoint(folder)
    with torch.no_grad():
        model.classifier.bias[0] += 0.005
    cry_model.save_checkpoint(folder, model, config)
    effect(copied).unlink()
    effect(copied, PLAIN).unlink()
    assert ablate(root, copied) == 2
    error = capsys.readouterr().err
    assert f"clip/{WHOLE}: Weights and predictions are not of the same run" in error
    assert not effect(copied).exists()
    assert effect(copied, PLAIN).exists()


def test_other_recordings_are_refused(root, copied, tmp_path, capsys):
    shutil.copytree(root / "donateacry", tmp_path / "other" / "donateacry")
    file = next((tmp_path / "other").rglob("*.wav"))
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[::-1], rate, subtype="PCM_16")
    effect(copied).unlink()
    assert ablate(tmp_path / "other", copied, "--system", WHOLE) == 2
    assert "are not those of the original fit" in capsys.readouterr().err
