"""Six-class models against the labels of cuts, by fits that never saw their recordings."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import cry_model
from cry_model import CheckpointConfig
from cry_model.networks.feature_mlp import FeatureMLP
from cry_model.results import read_record
from tests.conftest import ROOT
from tests.stand_ins import CALIBRATION
from tests.train.folders import clips_of
from train.data.corpus import Item
from train.data.datasets import challenge6
from train.fit.presets import FEATURES, WIDE_FRONT_END
from train.studies import label_check
from train.studies.adaptation import (
    PENALTIES,
    Pieces,
    adapt,
    adapted,
    answer,
    fit_layer,
    without_layer,
)
from train.studies.label_check import (
    NEIGHBOURS,
    PROBABLE,
    Cut,
    calibration_without,
    clean_folds,
    describe,
    read_cuts,
    student_with,
)

MLP = {"members": 2, "hidden": 8}


def item(name, label, group):
    return Item(Path(name), label, name, group, group)


TABLE = tuple(
    item(f"{label}_{n}", label, f"{label}-{n // 2}")  # 0 and 1, 2 and 3, ... have one length
    for label in ("awake", "hug")
    for n in range(10)
)


@pytest.mark.parametrize("which", [PROBABLE, NEIGHBOURS])
def test_no_fold_learns_from_a_recording_that_it_tests(monkeypatch, which):
    learnt, rng = [], torch.Generator().manual_seed(0)
    rows = [torch.randn(26, generator=rng).abs() + 0.1 for _ in TABLE]
    table = clips_of(TABLE, rows, ("awake", "hug"), 16_000)
    monkeypatch.setattr(label_check, "FEATURES", replace(FEATURES, epochs=1, batch=4))
    monkeypatch.setattr(
        label_check,
        "fit_table",
        lambda model, clips, *_: (learnt.append({i.recording for i in clips.items}), model)[1],
    )
    cuts = [
        Cut(
            item(f"{label}_{n:02}", label, f"{label}{n}"),
            Path(label),
            f"{label}_{n}",
            between=(max(0, n - 1), n + 1),
        )
        for label in ("awake", "hug")
        for n in range(0, 10, 2)
    ]
    found = list(clean_folds(cuts, table, TABLE, MLP, 2, which, 5, [0, 1]))
    assert [(fold.seed, fold.number) for fold in found] == [*product((0, 1), range(5))]
    for seed in (0, 1):
        tested = [c.item.recording for fold in found if fold.seed == seed for c in fold.tested]
        assert sorted(tested) == sorted(c.item.recording for c in cuts)
    for fold, known in zip(found, learnt, strict=True):
        assert fold.rows == len(known) > 0
        for one in fold.tested:
            label, number = one.original.split("_")
            halves = {f"{label}_{int(number) // 2 * 2 + k}" for k in (0, 1)}
            assert not halves & known


def test_a_student_answers_as_the_other_classifier_does_with_its_features():
    torch.manual_seed(0)
    student = cry_model.build_model(
        "improved-ecapa-tdnn", 3, 64, channels=16, reused_classifier=MLP
    ).eval()
    own, other = student.classifier.teacher, FeatureMLP(3, **MLP).eval()
    for model in (own, other):
        model.mean.normal_()
        model.scale.uniform_(0.5, 2.0)
    sound = torch.randn(4, 64, 200)
    seen = []
    hook = student.classifier.features.register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.no_grad():
        student(sound)
        hook.remove()
        features = seen[0] * own.scale + own.mean  # in the units of the sound
        expected = other.answer((features - other.mean) / other.scale)
        found = student_with(student, other)(sound)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_calibration_knows_nothing_of_the_groups_that_are_tested():
    rng = np.random.default_rng(0)
    labels = ("a", "b")
    table = pd.DataFrame(
        {
            "recording": [f"r{i}" for i in range(200)],
            "group": [f"g{i // 2}" for i in range(200)],
            "fold": [i % 5 for i in range(200)],
            "seed": 0,
            "label": rng.choice(labels, 200),
            "p_a": rng.uniform(0.01, 0.99, 200),
        }
    )
    table["p_b"] = 1 - table["p_a"]
    stored = replace(CALIBRATION, threshold=0.5)
    away = frozenset({"g0", "g7"})
    found = calibration_without(stored, table, labels, away)
    wrong = table.copy()  # whatever these groups say
    wrong.loc[wrong["group"].isin(away), ["p_a", "p_b"]] = [0.999, 0.001]
    assert calibration_without(stored, wrong, labels, away) == found
    assert calibration_without(stored, wrong, labels, frozenset()) != found


def test_sets_and_shares_are_counted():
    table = pd.DataFrame(
        {
            "group": ["1", "1", "2"],
            "label": ["a", "a", "b"],
            "p_a": [0.8, 0.3, 0.5],
            "p_b": [0.1, 0.3, 0.3],
            "p_c": [0.1, 0.4, 0.2],
        }
    )
    found = describe(table, [("a",), ("c", "b"), ("a", "b")], ("a", "b", "c"))
    assert found["by_label"] == {"a": 0.5, "b": 1.0}
    assert found["coverage"].value == pytest.approx((0.5 + 1.0) / 2)  # groups count alike
    assert found["size"].value == pytest.approx((1.5 + 2) / 2)
    assert found["answered"] == pytest.approx({"a": 2 / 3, "b": 0, "c": 1 / 3})
    assert found["confidence"] == pytest.approx(
        {"a": 1.6 / 3 - 2 / 3, "b": 0.7 / 3 - 1 / 3, "c": 0.7 / 3}
    )


def test_the_network_that_is_shipped_was_shown_to_be_better_than_the_one_before():
    folder = ROOT / "assets/results/challenge6_cuts/checked/probable"
    new, old = (read_record(folder / name / "run.json") for name in ("adapted-student", "student"))
    better, worse = (
        one["metrics"]["recording"]["metrics"]["balanced_accuracy"]["value"] for one in (new, old)
    )
    assert new["ahead_of_student"]["value"] == pytest.approx(better - worse)
    assert new["ahead_of_student"]["low"] > 0


def test_a_doubtful_cut_lies_between_its_neighbours(data_root):
    items = challenge6.read_cuts(data_root).items
    cuts = {one.item.recording: one for one in read_cuts(data_root, items)}
    assert len(cuts) == 220
    assert sum(one.original is None for one in cuts.values()) == 31
    assert cuts["awake_08"].original is None
    assert cuts["awake_08"].between == (7, 13)  # awake_07 is from awake_7, awake_09 from awake_13
    assert cuts["awake_09"].between[0] == 7


LABELS = ("a", "b", "c")
CONFIG = CheckpointConfig(
    "improved-ecapa-tdnn",
    LABELS,
    WIDE_FRONT_END,
    settings={"channels": 16, "reused_classifier": {"members": 2, "hidden": 8}},
)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return CONFIG.build().eval()


def pieces(head, count, labels=(), seed=0, per=2):
    """``count`` recordings of ``per`` pieces, those of a label moved its own way."""
    width = head.features.in_features
    rng = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(count * per, width, generator=rng)
    targets = torch.zeros(count * per, len(LABELS))
    for i, label in enumerate(labels):
        rows = slice(i * per, (i + 1) * per)
        targets[rows, LABELS.index(label)] = 1
        embeddings[rows, LABELS.index(label)] += 3
    names = tuple(f"{seed}-{i}" for i in range(count))
    numbers = torch.arange(count).repeat_interleave(per)
    return Pieces(embeddings, targets, torch.full((count * per,), 1 / per), numbers, names)


def test_labels_are_learnt_and_the_other_class_stays(student):
    head = student.classifier
    labelled = pieces(head, 40, ["a", "b"] * 20)
    others = pieces(head, 40, seed=1)
    layer = adapt(head, labelled, others)
    assert layer.penalty in PENALTIES
    new = pieces(head, 40, ["a", "b"] * 20, seed=2)
    found = answer(head, layer, new)
    wanted = torch.tensor([0, 1] * 20)
    before = head.log_probabilities(new.embeddings).exp().view(40, 2, 3).mean(1)
    assert (found.argmax(1) == wanted).float().mean() > 0.9
    assert (before.argmax(1) == wanted).float().mean() < 0.7
    unlabelled = answer(head, layer, others)
    taught = head.log_probabilities(others.embeddings).exp().detach().view(40, 2, 3).mean(1)
    assert unlabelled[:, 2].mean() == pytest.approx(float(taught[:, 2].mean()), abs=0.1)


def test_the_layer_is_ridge_logistic_regression(student):
    """With an offset of nothing and no soft labels, scikit-learn finds the same probabilities."""

    class Even(torch.nn.Module):
        def log_probabilities(self, embeddings):
            return torch.full((len(embeddings), 3), 1 / 3).log()

    labelled = pieces(student.classifier, 30, ["a", "b", "c"] * 10, per=1)
    none = pieces(student.classifier, 0, seed=1)
    layer = fit_layer(Even(), labelled, none, 30.0)
    x = labelled.embeddings.numpy()
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    other = LogisticRegression(C=1 / 60, max_iter=5000, tol=1e-8).fit(x, ["a", "b", "c"] * 10)
    found = answer(Even(), layer, labelled).numpy()
    np.testing.assert_allclose(found, other.predict_proba(x), atol=5e-3)


def test_an_adapted_student_answers_as_the_layer_says_and_can_be_undone(student):
    torch.manual_seed(1)
    head = student.classifier
    layer = adapt(head, pieces(head, 24, ["a", "b", "c"] * 8), pieces(head, 10, seed=1))
    model, config = adapted(student, CONFIG, layer)
    sound = torch.randn(3, 64, 200)
    seen = []
    hook = student.classifier.features.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        student(sound)
        hook.remove()
        shift = seen[0] @ layer.weight.T + layer.bias
        near = head.ood_score(seen[0]) <= 1
        expected = (head.log_probabilities(seen[0]) + shift).softmax(-1)
        found = model(sound).softmax(-1)
    assert near.all()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    undone, own = without_layer(model, config)
    assert own == CONFIG
    with torch.no_grad():
        torch.testing.assert_close(undone(sound), student(sound))
