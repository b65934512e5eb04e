"""Test the label check: models scored on cuts by fits that never saw their recordings."""

import copy
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from cry_model import CheckpointConfig
from cry_model.checkpoint import load_checkpoint, save_checkpoint
from cry_model.networks.feature_mlp import FeatureMLP
from cry_model.results import ordered, read_record, write_predictions
from tests.conftest import ROOT
from tests.stand_ins import CALIBRATION
from tests.train.folders import clips_of
from train.data.corpus import DataError, Item
from train.data.datasets import challenge6
from train.fit.presets import WIDE_FRONT_END
from train.scoring.results import Cell
from train.studies import label_check
from train.studies.adaptation import (
    PARTNER,
    Pieces,
    adapt,
    adapted,
    answer,
    fit_layer,
    saved_partners,
    student_with,
    with_partner,
    without_additions,
)
from train.studies.label_check import (
    LEAVE_OUT,
    Cut,
    calibration_without,
    clean_folds,
    describe,
    read_cuts,
)

MLP = {"members": 2, "hidden": 8}
LABELS = ("a", "b", "c")
SETTINGS = {"channels": 16, "reused_classifier": MLP}
METRIC = "balanced_accuracy"
CONFIG = CheckpointConfig("improved-ecapa-tdnn", LABELS, WIDE_FRONT_END, settings=SETTINGS)


@pytest.fixture
def student():
    torch.manual_seed(0)
    return CONFIG.build().eval()


@torch.no_grad()
def at(layer, model, sound):
    """Return a layer's inputs and output during a forward pass of the model."""
    seen = []
    hook = layer.register_forward_hook(lambda _, given, told: seen.append((*given, told)))
    model(sound)
    hook.remove()
    return seen[0]


def item(name, label, group):
    return Item(Path(name), label, name, group, group)


@pytest.mark.parametrize("which", LEAVE_OUT)
def test_no_fold_learns_from_a_recording_that_it_tests(monkeypatch, which):
    learnt, numbered = [], [*product(("awake", "hug"), range(10))]
    # 0 and 1, 2 and 3, ... have equal lengths, so they share a group.
    table = [item(f"{label}_{n}", label, f"{label}-{n // 2}") for label, n in numbered]
    clips = clips_of(table, [torch.zeros(26)] * 20, ("awake", "hug"), 16_000)
    cuts = [
        Cut(item(f"cut_{label}{n}", label, f"{label}{n}"), Path(), f"{label}_{n}", (n - 1, n + 1))
        for label, n in numbered[::2]
    ]

    def fit(model, clips, *_):
        learnt.append({one.recording for one in clips.items})
        return model

    monkeypatch.setattr(label_check, "fit_table", fit)
    found = list(clean_folds(cuts, clips, table, MLP, 2, which, 5, [0, 1]))
    assert [(fold.seed, fold.number) for fold in found] == [*product((0, 1), range(5))]
    for seed in (0, 1):
        tested = [cut.original for fold in found if fold.seed == seed for cut in fold.tested]
        assert sorted(tested) == sorted(cut.original for cut in cuts)
    for fold, known in zip(found, learnt, strict=True):
        assert fold.rows == len(known) > 0
        for one in fold.tested:
            label, number = one.original.split("_")
            assert not known & {f"{label}_{number}", f"{label}_{int(number) + 1}"}


def test_a_student_can_use_another_classifier_on_its_features(student):
    own, other = student.classifier.teacher, FeatureMLP(3, **MLP).eval()
    for model in (own, other):
        model.mean.normal_()
        model.scale.uniform_(0.5, 2.0)
    sound = torch.randn(4, 64, 200)
    _, standardised = at(student.classifier.features, student, sound)
    features = standardised * own.scale + own.mean  # before standardisation
    with torch.no_grad():
        expected = other.answer((features - other.mean) / other.scale)
        found = student_with(student, other)(sound)
    assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_calibration_ignores_the_tested_groups():
    rng, labels, away = np.random.default_rng(0), ("a", "b"), frozenset({"g0", "g7"})
    rows = [(f"r{i}", f"g{i // 2}", i % 5, 0, rng.choice(labels)) for i in range(200)]
    table = pd.DataFrame(rows, columns=["recording", "group", "fold", "seed", "label"])
    table["p_a"] = rng.uniform(0.01, 0.99, 200)
    table["p_b"] = 1 - table["p_a"]
    wrong = table.copy()  # other predictions for the held-out groups
    wrong.loc[wrong["group"].isin(away), ["p_a", "p_b"]] = [0.999, 0.001]
    found = calibration_without(CALIBRATION, table, labels, away)
    assert calibration_without(CALIBRATION, wrong, labels, away) == found
    assert calibration_without(CALIBRATION, wrong, labels, frozenset()) != found


def test_description_matches_counts_by_hand():
    rows = [("1", "a", 0.8, 0.1, 0.1), ("1", "a", 0.3, 0.3, 0.4), ("2", "b", 0.5, 0.3, 0.2)]
    table = pd.DataFrame(rows, columns=["group", "label", "p_a", "p_b", "p_c"])
    sets = np.array([[True, False, False], [False, True, True], [True, True, False]])
    found = describe(table, sets, LABELS)
    assert found["by_label"] == {"a": 0.5, "b": 1.0}
    assert found["coverage"].value == pytest.approx((0.5 + 1.0) / 2)  # groups have equal weight
    assert found["size"].value == pytest.approx((1.5 + 2) / 2)
    assert found["answered"] == pytest.approx({"a": 2 / 3, "b": 0, "c": 1 / 3})
    too_often = {"a": 1.6 / 3 - 2 / 3, "b": 0.7 / 3 - 1 / 3, "c": 0.7 / 3}
    assert found["confidence"] == pytest.approx(too_often)


@pytest.mark.parametrize(
    ("name", "before"), [("adapted-student", "student"), ("ensemble", "adapted-student")]
)
def test_each_step_to_the_bundled_network_was_an_improvement(name, before):
    folder = ROOT / "assets/results/challenge6_cuts/checked/probable"
    one, other = (read_record(folder / model / "run.json") for model in (name, before))
    better, worse = (run["metrics"]["recording"]["metrics"][METRIC] for run in (one, other))
    ahead = one[f"ahead_of_{before.replace('-', '_')}"]
    assert ahead["value"] == pytest.approx(better["value"] - worse["value"])
    assert ahead["low"] > 0


def test_a_doubtful_cut_lies_between_its_neighbours(data_root):
    items = challenge6.read_cuts(data_root).items
    cuts = {one.item.recording: one for one in read_cuts(data_root, items)}
    assert len(cuts) == 220
    assert sum(one.original is None for one in cuts.values()) == 31
    assert cuts["awake_08"].original is None
    assert cuts["awake_08"].between == (7, 13)  # awake_07 is from awake_7, awake_09 from awake_13
    assert cuts["awake_09"].between[0] == 7


def pieces(head, labels, seed=0, per=2):
    """Build recordings of ``per`` pieces, embeddings shifted by label; None is unlabelled."""
    numbers = torch.arange(len(labels)).repeat_interleave(per)
    targets = torch.tensor([[float(one == label) for one in LABELS] for label in labels])
    targets = targets.view(-1, len(LABELS))[numbers]
    rng, width = torch.Generator().manual_seed(seed), head.features.in_features
    embeddings = torch.randn(len(numbers), width, generator=rng)
    embeddings[:, : len(LABELS)] += 3 * targets
    names = tuple(f"{seed}-{i}" for i in range(len(labels)))
    return Pieces(embeddings, targets, torch.full((len(numbers),), 1 / per), numbers, names)


def test_adaptation_learns_labels_and_keeps_the_other_class(student):
    head, labels = student.classifier, ["a", "b"] * 20
    others, new = pieces(head, [None] * 40, seed=1), pieces(head, labels, seed=2)
    layer = adapt(head, pieces(head, labels), others)

    def before(of):
        return head.log_probabilities(of.embeddings).exp().detach().view(40, 2, 3).mean(1)

    wanted = torch.tensor([0, 1] * 20)
    assert (answer(head, layer, new).argmax(1) == wanted).float().mean() > 0.9
    assert (before(new).argmax(1) == wanted).float().mean() < 0.7
    told = answer(head, layer, others)[:, 2].mean()
    assert told == pytest.approx(float(before(others)[:, 2].mean()), abs=0.1)


def test_adaptation_matches_ridge_logistic_regression(student):
    """Compare with scikit-learn, under a uniform offset and without soft labels."""

    class Even(torch.nn.Module):
        def log_probabilities(self, embeddings):
            return torch.full((len(embeddings), 3), 1 / 3).log()

    labels = ["a", "b", "c"] * 10
    labelled = pieces(student.classifier, labels, per=1)
    layer = fit_layer(Even(), labelled, pieces(student.classifier, [], seed=1), 30.0)
    x = labelled.embeddings.numpy()
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    other = LogisticRegression(C=1 / 60, max_iter=5000, tol=1e-8).fit(x, labels)
    found = answer(Even(), layer, labelled).numpy()
    np.testing.assert_allclose(found, other.predict_proba(x), atol=5e-3)


def test_an_adapted_student_applies_the_layer_and_can_be_restored(student):
    head, sound = student.classifier, torch.randn(3, 64, 200)
    layer = adapt(head, pieces(head, ["a", "b", "c"] * 8), pieces(head, [None] * 10, seed=1))
    model, config = adapted(student, CONFIG, layer)
    embeddings, _ = at(head.features, student, sound)
    with torch.no_grad():
        assert (head.ood_score(embeddings) <= 1).all()
        shift = embeddings @ layer.weight.T + layer.bias
        expected = (head.log_probabilities(embeddings) + shift).softmax(-1)
        assert_close(model(sound).softmax(-1), expected, atol=1e-5, rtol=1e-4)
        undone, own = without_additions(model, config)
        assert own == CONFIG
        assert_close(undone(sound), student(sound))


SMALL = {"channels": 8, "mfa_channels": 16, "bottleneck": 4, "embedding": 8, "scale": 2}


def partner(labels=("c", "a"), **changes):
    """Return an ECAPA-TDNN for some labels, in another order, on features shifted by -1.5."""
    lower = replace(WIDE_FRONT_END, centre=WIDE_FRONT_END.centre + 1.5)
    config = replace(CheckpointConfig(PARTNER, labels, lower, settings=SMALL), **changes)
    torch.manual_seed(3)
    return config.build().eval(), config


def test_student_and_partner_are_averaged_geometrically(student, tmp_path):
    sound = torch.randn(3, 64, 200)
    other, theirs = partner()
    save_checkpoint(tmp_path, *with_partner(student, CONFIG, other, theirs))
    model, config = load_checkpoint(tmp_path)
    with torch.no_grad():
        p, q = student(sound).softmax(-1).numpy(), other(sound - 1.5).softmax(-1).numpy()
        found = model(sound).softmax(-1).numpy()
        undone, own = without_additions(model, config)
        assert own == CONFIG
        assert_close(undone(sound), student(sound))
    product = np.sqrt(p[:, [2, 0]] * q)
    share = product / product.sum(1, keepdims=True) * p[:, [2, 0]].sum(1, keepdims=True)
    np.testing.assert_allclose(found, np.stack([share[:, 1], p[:, 1], share[:, 0]], 1), rtol=1e-4)


def test_out_of_distribution_input_is_uniform_despite_a_partner(student):
    far = copy.deepcopy(student)
    far.classifier.teacher.limit.fill_(1e-6)
    model, _ = with_partner(far, CONFIG, *partner())
    with torch.no_grad():
        found = model(torch.randn(3, 64, 200)).softmax(-1)
    assert_close(found, torch.full((3, 3), 1 / 3))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("a", "d")},
        {"front_end": replace(WIDE_FRONT_END, kind="pcen")},
        {"system": "improved-ecapa-tdnn", "settings": {"channels": 8}},
    ],
    ids=["label", "features", "system"],
)
def test_an_incompatible_partner_is_refused(student, changes):
    with pytest.raises(DataError, match=PARTNER):
        with_partner(student, CONFIG, *partner(**changes))


@pytest.mark.parametrize("known", [[0], [0, 0], [0, 3]])
def test_a_partner_needs_two_valid_and_distinct_classes(known):
    reused = {**CONFIG.settings["reused_classifier"], "partner": {"known": known, **SMALL}}
    with pytest.raises(ValueError, match="partner"):
        replace(CONFIG, settings={**CONFIG.settings, "reused_classifier": reused}).build()


@pytest.mark.parametrize("tested", [{"r1", "r2"}, {"r1"}, {"r1", "r3"}])
def test_partners_were_not_fitted_on_the_tested_recordings(tmp_path, tested):
    cell = Cell(tmp_path, "challenge6_cuts", "recording", PARTNER)
    saved = cell.fold_folder(0, 1)
    save_checkpoint(saved, *partner())
    rows = [("r1", 1), ("r2", 1), ("r3", 0)]
    table = pd.DataFrame(rows, columns=["recording", "fold"])
    table = table.assign(clip=table["recording"], group="g", seed=0, label="a", p_a=1.0)
    write_predictions(cell.results_folder, ordered(table, ("a",)))
    if tested == {"r1", "r2"}:
        assert saved_partners(cell, {(0, 1): tested}) == {(0, 1): saved}
    else:
        with pytest.raises(DataError, match="same --seeds"):
            saved_partners(cell, {(0, 1): tested})
