"""Test label permutation among groups, and the scores of each protocol under it."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cry_model import FrontEnd, load_checkpoint
from cry_model.metrics import SCORES
from tests.plain import plain
from tests.train import small_fit
from tests.train.folders import clips_of
from tests.train.small_fit import SYSTEM
from train.cli.studies import rebuild
from train.data.cache import find_corpus
from train.data.corpus import Item, permute_labels
from train.data.datasets.public import REASONS as LABELS
from train.data.splits import split
from train.fit.devices import make_accelerator
from train.fit.presets import BEST
from train.scoring.results import Cell
from train.studies.permutation_test import chance, scores


def synthetic(sizes, pieces=1, labels=None):
    """Build groups of these sizes without sound; labels are given by group or random "abc"."""
    draw, items = np.random.default_rng(0), []
    for group, size in enumerate(sizes):
        for number in range(size):
            name = f"{group}-{number}"
            label = labels[group] if labels else str(draw.choice(list("abc")))
            for piece in range(pieces):
                items.append(Item(Path(name), label, name, name, str(group), piece=piece))
    return clips_of(items, [torch.zeros(1)] * len(items), labels or "abc", 8000)


def of_groups(clips):
    found = defaultdict(list)
    for item in {item.recording: item for item in clips.items}.values():
        found[item.group].append(item.label)
    return {group: tuple(sorted(labels)) for group, labels in found.items()}


def test_labels_are_permuted_among_groups_of_equal_size():
    clips = synthetic((1, 1, 1, 2, 2, 2, 2, 3, 3, 5), pieces=2)
    before, permuted = of_groups(clips), [permute_labels(clips, "abc", s) for s in range(30)]
    for one in permuted:
        after = of_groups(one)
        assert Counter(after.values()) == Counter(before.values())
        assert all(len(after[group]) == len(labels) for group, labels in before.items())
        assert after["9"] == before["9"]  # the only group of five
        same = [replace(i, label=j.label) for i, j in zip(one.items, clips.items, strict=True)]
        assert same == list(clips.items)
        assert ["abc"[k] for k in one.labels] == [item.label for item in one.items]
        assert len({(i.recording, i.label) for i in one.items}) == 22  # one per recording
    assert len({tuple(item.label for item in one.items) for one in permuted}) > 20
    assert len({tuple(i.label for i in one.items if i.group == "9") for one in permuted}) > 1
    assert permute_labels(clips, "abc", 3).items == permuted[3].items


def test_every_group_is_equally_likely_as_donor():
    pairs = synthetic((2,) * 4, labels="wxyz")
    donors = Counter(permute_labels(pairs, "wxyz", s).items[0].label for s in range(400))
    assert all(70 < donors[label] < 130 for label in "wxyz")  # expected 100, standard deviation 9


@pytest.mark.parametrize("protocol", ["clip", "recording"])
def test_scores_match_scikit_learn(protocol):
    units = synthetic((1, 2) * 15, pieces=2)
    rows = np.random.default_rng(0).normal(size=(len(units.items), 6))
    rows[:, 0] += units.labels.numpy()
    machine = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    )
    parts = PredefinedSplit(split(units.items, protocol, 3, 0))
    told = cross_val_predict(machine, rows, units.labels, cv=parts, method="predict_proba")
    names = [item.recording for item in units.items]
    mean = pd.DataFrame(told).groupby([names, units.labels.numpy()]).mean()
    truth, share = mean.index.get_level_values(1).to_numpy(), mean.to_numpy()
    assert scores(units, rows, "abc", protocol, 3) == {
        name: pytest.approx(plain(name, truth, share), abs=1e-3 if name == "macro_auc" else None)
        for name in SCORES
    }


@pytest.mark.parametrize(("planted", "least", "most"), [(True, 0, 0.05), (False, 0.1, 1)])
def test_p_values_are_small_only_for_a_planted_effect(monkeypatch, planted, least, most):
    """Test features of pure noise, or (planted) ones that depend on the label."""
    units, front_end = synthetic((1, 2) * 30), FrontEnd(BEST.front_end)
    rows = np.random.default_rng(1).normal(size=(len(units.items), 4))
    rows[:, 0] += 3 * units.labels.numpy() * planted
    monkeypatch.setattr("train.studies.permutation_test.statistics", lambda *_: rows)
    found = chance(units, "x", "abc", front_end, "baby", 3, 20)
    scored = found["scores"]
    assert all(least <= one["p"] <= most for one in scored.values())
    assert scored["accuracy"]["mean"] < 0.55
    assert not planted or scored["accuracy"]["p"] == 1 / 21  # true labels count as one draw


def test_the_command_writes_and_prints_the_result(made_up_root, tmp_path, capsys):
    how = ("--dataset", "donateacry", "--folds", 3, "--permutations", 20)
    protocols = ("--protocols", "clip", "baby")
    assert small_fit.command("permutation-test", made_up_root, tmp_path, *how, *protocols) == 0
    clips = find_corpus("donateacry", None, made_up_root / "cache", BEST.front_end).clips
    places = sorted((tmp_path / "results" / "donateacry").glob("*/chance.json"))
    assert [path.parent.name for path in places] == ["baby", "clip"]
    record = json.loads(places[0].read_text(encoding="utf-8"))
    front_end = FrontEnd(BEST.front_end)
    assert record == chance(clips, "donateacry", LABELS, front_end, "baby", 3, 20)
    value = record["scores"]["macro_auc"]["value"]
    assert f"macro auc: true labels {value:.3f}; permuted" in capsys.readouterr().out


def test_a_system_is_fitted_to_permuted_labels(made_up_root, tmp_path, clips):
    permuting = ("--protocol", "clip", "--permute-labels", "4", "--save-folds")
    assert small_fit.fit(made_up_root, tmp_path, *permuting) == 0
    cell = Cell(tmp_path, "donateacry", "clip", SYSTEM)
    table = pd.read_csv(cell.results_folder / "predictions.csv")
    told = dict(zip(table["recording"], table["label"], strict=True))
    permuted = {item.recording: item.label for item in permute_labels(clips, LABELS, 4).items}
    assert told == permuted != {item.recording: item.label for item in clips.items}
    record = json.loads((cell.results_folder / "run.json").read_text())
    assert record["configuration"]["permuted_labels"] == 4
    assert record["calibration"] is None  # other pieces of a recording are in the training part
    assert not (tmp_path / "checkpoints").exists()
    _, config = load_checkpoint(cell.saved[0][2])
    built = rebuild(cell, config, None, made_up_root / "cache", make_accelerator("cpu"))
    assert {item.recording: item.label for item in built.experiment.units.items} == permuted
