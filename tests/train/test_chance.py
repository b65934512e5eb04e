"""Labels that are permuted among groups, and what each protocol still gives then."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cry_model import FrontEnd, load_checkpoint
from tests.train import small_fit
from tests.train.small_fit import SYSTEM
from train.__main__ import main
from train.cli.ablate_attention import Cell, rebuild
from train.data.cache import find_corpus
from train.data.clips import Clips, cut_before_splitting, permute_labels
from train.data.corpus import DataError, Item
from train.data.datasets.donateacry import LABELS
from train.data.splits import split
from train.fit.cross_validation import saved_folds
from train.fit.devices import make_accelerator
from train.fit.presets import BEST
from train.studies.permutation_test import (
    against,
    chance,
    kept_labels,
    scores,
    statistics,
)

SIZES = (1, 1, 1, 2, 2, 2, 2, 3, 3, 5)
"""Recordings of each group: one group has a size of its own."""


def synthetic(sizes, labels="abc", pieces=1):
    """Groups of recordings, their labels at random, without sound."""
    draw, items = np.random.default_rng(0), []
    for group, size in enumerate(sizes):
        for number in range(size):
            name, label = f"{group}-{number}", str(draw.choice(list(labels)))
            for piece in range(pieces):
                items.append(Item(Path(name), label, name, name, str(group), piece=piece))
    indices = torch.tensor([labels.index(item.label) for item in items])
    none = (0.0,) * len(items)
    return Clips(
        tuple(items), indices, none, (8000,) * len(items), (torch.zeros(1),) * len(items), {}
    )


def of_groups(clips):
    found = defaultdict(list)
    for item in {item.recording: item for item in clips.items}.values():
        found[item.group].append(item.label)
    return {group: tuple(sorted(labels)) for group, labels in found.items()}


def test_every_group_gets_the_labels_of_one_that_is_as_large():
    clips = synthetic(SIZES)
    permuted = [permute_labels(clips, "abc", seed) for seed in range(30)]
    before = of_groups(clips)
    for one in permuted:
        assert Counter(of_groups(one).values()) == Counter(before.values())
        assert {g: len(v) for g, v in of_groups(one).items()} == {
            g: len(v) for g, v in before.items()
        }
        assert [(i.recording, i.group) for i in one.items] == [
            (i.recording, i.group) for i in clips.items
        ]
        assert [("abc")[k] for k in one.labels] == [item.label for item in one.items]
        assert of_groups(one)["9"] == before["9"]  # none other has five
    assert len({tuple(item.label for item in one.items) for one in permuted}) > 20
    orders = {tuple(i.label for i in one.items if i.group == "9") for one in permuted}
    assert len(orders) > 1
    again = permute_labels(clips, "abc", 3)
    assert again.items == permuted[3].items


def test_every_group_is_as_likely_a_donor():
    clips = synthetic((2,) * 4, "wxyz")
    items = tuple(
        Item(i.path, "wxyz"[int(i.group)], i.recording, i.source, i.group) for i in clips.items
    )
    clips = Clips(items, clips.labels, clips.seconds, clips.rates, clips.waveforms, {})
    first = Counter(permute_labels(clips, "wxyz", seed).items[0].label for seed in range(400))
    assert all(70 < first[label] < 130 for label in "wxyz")  # 100 expected, deviation 9


def test_the_parts_of_a_recording_keep_one_label():
    permuted = permute_labels(synthetic(SIZES, pieces=3), "abc", 1)
    named = defaultdict(set)
    for item in permuted.items:
        named[item.recording].add(item.label)
    assert all(len(labels) == 1 for labels in named.values())


@pytest.mark.parametrize("protocol", ["clip", "recording"])
def test_scores_are_those_of_scikit_learn(clips, protocol):
    units = cut_before_splitting(clips, BEST.front_end) if protocol == "clip" else clips
    rows = np.random.default_rng(0).normal(size=(len(units.items), 6))
    rows[:, 0] += units.labels.numpy()
    found = scores(units, rows, LABELS, protocol, 3)
    machine = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    )
    parts = PredefinedSplit(split(units.items, protocol, 3, 0))
    told = cross_val_predict(machine, rows, units.labels, cv=parts, method="predict_proba")
    table = pd.DataFrame(told).assign(
        recording=[item.recording for item in units.items], label=units.labels
    )
    mean = table.groupby(["recording", "label"]).mean().reset_index()
    truth, share = mean["label"], mean[list(range(5))].to_numpy()
    assert found == {
        "accuracy": pytest.approx(accuracy_score(truth, share.argmax(1))),
        "macro_f1": pytest.approx(f1_score(truth, share.argmax(1), average="macro")),
        "balanced_accuracy": pytest.approx(balanced_accuracy_score(truth, share.argmax(1))),
        "macro_auc": pytest.approx(roc_auc_score(truth, share, multi_class="ovr"), abs=1e-3),
    }


def test_knowing_the_group_again_looks_like_knowledge_unless_groups_are_kept_apart():
    units = synthetic((4,) * 40)
    draw = np.random.default_rng(5)
    group = np.array([int(item.group) for item in units.items])
    rows = draw.normal(size=(40, 60))[group] + 0.1 * draw.normal(size=(len(group), 60))
    items = tuple(
        Item(i.path, "abc"[int(i.group) % 3], i.recording, i.source, i.group) for i in units.items
    )
    labels = torch.tensor(group % 3)
    units = Clips(items, labels, units.seconds, units.rates, units.waveforms, {})

    def permuted(protocol):
        found = [
            scores(permute_labels(units, "abc", s), rows, "abc", protocol, 5) for s in range(10)
        ]
        return np.mean([one["balanced_accuracy"] for one in found])

    assert permuted("recording") > 0.9
    assert permuted("baby") < 0.45


def test_the_statistics_are_the_mean_and_the_deviation_of_each_band(clips):
    front_end = FrontEnd(BEST.front_end)
    few = clips.subset([0, 7])
    rows = statistics(few, front_end)
    pieces = few.pieces(front_end, 1).waveforms
    bands = [front_end(wave[None])[0].double().numpy() for wave in pieces]
    mean = np.mean([band.mean(1) for band in bands], axis=0)
    spread = np.mean([band.std(1, ddof=1) for band in bands], axis=0)
    np.testing.assert_allclose(rows[1], np.concatenate([mean, spread]), atol=1e-4)


def test_the_true_labels_count_as_one_permutation():
    found = against(0.5, [0.1, 0.5, 0.6, 0.2])
    assert found.p == 3 / 5
    assert found.mean == pytest.approx(0.35)
    assert against(0.7, [0.1] * 19).p == 1 / 20


def rows_of_noise(monkeypatch, units, planted):
    """Recordings that sound like nothing, or like their label."""
    rows = np.random.default_rng(1).normal(size=(len(units.items), 4))
    if planted:
        rows[:, 0] += 3 * units.labels.numpy()
    monkeypatch.setattr("train.studies.permutation_test.statistics", lambda *_: rows)


@pytest.mark.parametrize(("planted", "least", "most"), [(True, 0, 0.05), (False, 0.1, 1)])
def test_what_is_there_to_learn_is_found(monkeypatch, planted, least, most):
    units = synthetic((1, 2) * 30)
    rows_of_noise(monkeypatch, units, planted)
    found = chance(units, "x", "abc", FrontEnd(BEST.front_end), "baby", 3, 30)
    assert all(least <= one.p <= most for one in found.scores.values())
    assert found.scores["accuracy"].mean < 0.55
    assert (found.seed, found.shuffles, found.folds, found.front_end) == (0, 30, 3, "log-mel")


def test_what_got_its_own_label_back_is_counted(monkeypatch):
    units = synthetic((2, 2, 2, 2, 9))
    items = tuple(
        replace(i, label="c" if i.group == "4" else "ab"[int(i.group) % 2]) for i in units.items
    )
    units = replace(units, items=items, labels=torch.tensor(["abc".index(i.label) for i in items]))
    rows_of_noise(monkeypatch, units, True)
    found = chance(units, "x", "abc", FrontEnd(BEST.front_end), "recording", 2, 200)
    assert found.kept["c"] == 1  # its group is alone in its size
    assert found.kept["a"] == pytest.approx(0.5, abs=0.1)  # two of four groups have it
    one = permute_labels(units, "abc", 0)
    same = [i.label == j.label for i, j in zip(units.items, one.items, strict=True)]
    a = [hit for hit, item in zip(same, units.items, strict=True) if item.label == "a"]
    assert kept_labels(units, one)["a"] == np.mean(a)


def test_one_label_alone_is_one_sentence(monkeypatch):
    units = synthetic((1,) * 6, labels="a")
    rows_of_noise(monkeypatch, units, True)
    with pytest.raises(DataError, match="one label alone"):
        chance(units, "x", "a", FrontEnd(BEST.front_end), "baby", 2, 20)


def test_the_command_writes_what_it_says(made_up_root, tmp_path, capsys):
    words = ["permutation-test", "--dataset", "donateacry", "--data-root", str(made_up_root)]
    words += ["--cache", str(made_up_root / "cache"), "--out", str(tmp_path), "--folds", "3"]
    assert main([*words, "--permutations", "20", "--protocols", "clip", "baby"]) == 0
    said = capsys.readouterr().out
    clips = find_corpus("donateacry", None, made_up_root / "cache", BEST.front_end).clips
    for protocol in ("clip", "baby"):
        path = tmp_path / "results" / "donateacry" / protocol / "chance.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        front_end = FrontEnd(BEST.front_end)
        found = chance(clips, "donateacry", LABELS, front_end, protocol, 3, 20)
        assert record["scores"] == asdict(found)["scores"]
        assert record["kept"] == found.kept
        value = record["scores"]["macro_auc"]["value"]
        assert f"donateacry, {protocol}, a linear classifier" in said
        assert f"macro auc: true labels {value:.3f}; permuted" in said
    assert not (tmp_path / "results" / "donateacry" / "recording").exists()


def test_a_folder_of_ones_own_is_asked_under_its_name(made_up_root, tmp_path):
    root = str(made_up_root / "donateacry")
    words = ["permutation-test", "--dataset", "folder", "--data-root", root]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path), "--folds", "2"]
    assert main([*words, "--permutations", "20", "--protocols", "recording"]) == 0
    (path,) = (tmp_path / "results").glob("*/recording/chance.json")
    name = path.parent.parent.name
    assert name.startswith("folder-")
    assert json.loads(path.read_text(encoding="utf-8"))["dataset"] == name


@pytest.fixture(scope="module")
def fit(made_up_root, tmp_path_factory):
    out = tmp_path_factory.mktemp("dealt")

    def run(*more):
        return small_fit.fit(
            made_up_root, out, "--protocol", "clip", "--permute-labels", "4", *more
        )

    return run, out


def test_a_system_is_fitted_to_labels_that_were_dealt_out(fit, clips, made_up_root):
    run, out = fit
    assert run("--save-folds") == 0
    place = out / "results" / "donateacry" / "clip" / SYSTEM
    table = pd.read_csv(place / "predictions.csv")
    told = dict(zip(table["recording"], table["label"], strict=True))
    permuted = {item.recording: item.label for item in permute_labels(clips, LABELS, 4).items}
    assert told == permuted
    assert told != {item.recording: item.label for item in clips.items}
    assert json.loads((place / "run.json").read_text())["configuration"]["permuted_labels"] == 4
    assert not (out / "checkpoints").exists()
    cell = Cell(out, "donateacry", "clip", SYSTEM)
    _, config = load_checkpoint(next(saved_folds(out, "donateacry", "clip", SYSTEM))[2])
    built = rebuild(cell, config, None, made_up_root / "cache", make_accelerator("cpu"))
    assert {item.recording: item.label for item in built.experiment.units.items} == permuted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--teacher", "somewhere"), "leave --permute-labels out"),
        (("--publish", "user/cry"), "leave out --no-checkpoint, --outer-fold and --permute-labels"),
    ],
)
def test_what_makes_no_sense_with_dealt_labels_is_one_sentence(fit, capsys, more, said):
    assert fit[0](*more) == 2
    assert said in capsys.readouterr().err


def test_too_few_dealings_say_nothing(capsys):
    assert main(["permutation-test", "--dataset", "esc10", "--permutations", "5"]) == 2
    assert "from 20 on" in capsys.readouterr().err
