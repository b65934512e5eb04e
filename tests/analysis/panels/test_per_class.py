"""The scores and curves of classes, against scikit-learn on the same predictions."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from analysis.figures.theme import class_colour, class_dash, class_symbol
from analysis.panels.base import CellKey
from analysis.panels.per_class import PER_CLASS
from analysis.stats.per_class import (
    MEASURES,
    UNSEEN,
    class_scores,
    precision_recall_curve,
    roc_curve,
    thinned,
)
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import NO_RUNS, RESULTS, find_runs, read_run
from tests.analysis.synthetic_runs import LABELS, write_run

CELL = CellKey("donateacry", "baby")


def by_sklearn(truth, p):
    """Measure -> its values, by class."""
    classes = range(p.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a draw may lack a class
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            truth, p.argmax(1), labels=list(classes), zero_division=np.nan
        )
        here = [0 < (truth == c).sum() < len(truth) for c in classes]
        areas = [
            [of(truth == c, p[:, c]) if here[c] else np.nan for c in classes]
            for of in (sk.roc_auc_score, sk.average_precision_score)
        ]
    return dict(zip(MEASURES, (recall, precision, f1, *areas), strict=True))


def read(folder, labels):
    """Truth, probabilities and groups of each seed and recording, out of the file itself."""
    table = pd.read_csv(folder / "predictions.csv", dtype={"group": str})
    columns = [f"p_{label}" for label in labels]
    keys = ["seed", "recording", "group", "label"]
    table = table.groupby(keys)[columns].mean().reset_index()
    truth = np.array([labels.index(label) for label in table["label"]])
    return truth, table[columns].to_numpy(), table["group"].to_numpy(), table


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    write_run(root, "ecapa-tdnn", seeds=(0, 1))
    return find_runs(root)


@pytest.fixture(scope="module")
def committed():
    return find_runs(RESULTS)


@pytest.mark.parametrize(
    ("cell", "system"),
    [
        (("donateacry", "baby"), "resnet18"),
        (("esc10", "recording"), "ecapa-tdnn"),
        (("challenge6-features-16khz", "recording"), "feature-mlp"),
    ],
)
def test_committed_scores_are_those_of_scikit_learn(committed, cell, system):
    run = committed.of(*cell)[system]
    truth, p, _, table = read(run.folder, run.labels)
    expected = by_sklearn(truth, p)
    for c, own in enumerate(run.class_scores):
        for measure, e in own.measures.items():
            assert e.value == pytest.approx(expected[measure][c], abs=1e-9, nan_ok=True)
        assert own.support == table[table["label"] == own.label]["recording"].nunique()
        assert own.share == pytest.approx((truth == c).mean())


def test_intervals_are_those_of_a_plain_loop(synthetic):
    run = synthetic.of(*CELL)["ecapa-tdnn"]
    truth, p, groups, _ = read(run.folder, LABELS)
    found = class_scores(run.recordings, LABELS, draws=40)
    names, rng, draws = np.unique(groups), np.random.default_rng(0), []
    rows_of = {name: np.flatnonzero(groups == name) for name in names}
    for _ in range(40):
        drawn = names[rng.integers(len(names), size=len(names))]
        rows = np.concatenate([rows_of[name] for name in drawn])
        draws.append(by_sklearn(truth[rows], p[rows]))
    for measure in MEASURES:
        low, high = np.nanpercentile([draw[measure] for draw in draws], [2.5, 97.5], axis=0)
        for c, own in enumerate(found):
            e = own.measures[measure]
            assert (e.low, e.high) == pytest.approx((low[c], high[c]), abs=1e-9)
            assert e.low < e.high


def with_ties(seed, count=300):
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.2
    return positive, (rng.random(count) * 0.7 + 0.3 * positive).round(seed)


@pytest.mark.parametrize("digits", [1, 2, 6])
def test_the_area_under_precision_over_recall_is_the_average_precision(digits):
    positive, scores = with_ties(digits)
    recall, precision = precision_recall_curve(positive, scores)
    theirs = sk.precision_recall_curve(positive, scores)
    points = set(zip(theirs[1].round(9), theirs[0].round(9), strict=True))
    assert set(zip(recall[1:].round(9), precision[1:].round(9), strict=True)) <= points
    area = (np.diff(recall) * precision[1:]).sum()
    assert area == pytest.approx(sk.average_precision_score(positive, scores))
    assert (recall[0], recall[-1]) == (0, 1)


def test_a_long_curve_keeps_its_look_with_fewer_points():
    positive, scores = with_ties(6, 20_000)
    for curve in (roc_curve(positive, scores), precision_recall_curve(positive, scores)):
        thin = thinned(curve)
        assert len(thin.x) < len(curve.x) / 2
        assert (thin.x[0], thin.y[0], thin.x[-1], thin.y[-1]) == (
            *(curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]),
        )
        for x, y in list(zip(*curve, strict=True))[::50]:
            assert (np.abs(thin.x - x) + np.abs(thin.y - y)).min() <= UNSEEN + 1e-12
    few = roc_curve(*with_ties(1))
    assert len(thinned(few).x) == len(few.x)


def test_without_a_class_or_without_others_there_is_no_curve():
    nobody, scores = np.zeros(5, dtype=bool), np.arange(5.0)
    assert roc_curve(nobody, scores) is None
    assert precision_recall_curve(nobody, scores) is None
    assert roc_curve(~nobody, scores) is None
    assert precision_recall_curve(~nobody, scores).y.tolist() == [1] * 6


def table_of(labels, p, classes="abc"):
    columns = {f"p_{c}": column for c, column in zip(classes, np.array(p).T, strict=True)}
    rows = {"seed": 0, "recording": [f"r{i}" for i in range(len(labels))], "label": list(labels)}
    return pd.DataFrame({**rows, "group": [f"g{i}" for i in range(len(labels))], **columns})


def test_what_is_undefined_is_nan_and_not_nothing():
    never, absent = [0.6, 0.1, 0.3], [0.1, 0.2, 0.7]  # b is never answered, c never occurs
    found = class_scores(table_of("aabb", [never, absent, never, never]), "abc", draws=50)
    values = {own.label: {m: e.value for m, e in own.measures.items()} for own in found}
    assert values["b"]["recall"] == values["b"]["f1"] == 0
    assert np.isnan(values["b"]["precision"])
    assert np.isnan([values["c"][m] for m in ("recall", "auc", "average_precision")]).all()
    assert values["c"]["precision"] == values["c"]["f1"] == 0
    assert (found[2].support, found[2].share) == (0, 0)
    lows = [e.low for own in found for e in own.measures.values() if np.isnan(e.value)]
    assert np.isnan(lows).all()


def test_the_panel_draws_and_tabulates_every_class(synthetic):
    dots, roc, precision_recall = PER_CLASS.exhibits(synthetic, CELL)
    run = synthetic.of(*CELL)["ecapa-tdnn"]
    truth, p, _, _ = read(run.folder, LABELS)
    assert list(dots.table["Class"]) == list(LABELS)
    expected = by_sklearn(truth, p)
    for title, measure in (("F1", "f1"), ("ROC AUC", "auc"), ("Precision", "precision")):
        shown = dots.table[title].str.split(expand=True)[0].astype(float)
        np.testing.assert_allclose(shown, expected[measure], atol=0.005001)
    assert len(dots.data) == len(LABELS) * len(MEASURES)
    assert "seeds 0, 1" in dots.note
    for exhibit, area, x, y in (
        (roc, "auc", "false_positive_rate", "true_positive_rate"),
        (precision_recall, "average_precision", "recall", "precision"),
    ):
        named = {line.name: line for line in exhibit.figure.data if line.legendgroup and line.name}
        assert len(named) == len(LABELS)
        for c, label in enumerate(LABELS):
            line = next(line for name, line in named.items() if name.startswith(label))
            assert f"{expected[area][c]:.2f} [" in line.name
            own = exhibit.data[exhibit.data["class"] == label]
            np.testing.assert_allclose(own[x], line.x, atol=1e-4)
            np.testing.assert_allclose(own[y], line.y, atol=1e-4)
    at_random = dots.data.set_index(["class", "measure"])["at_random"]
    share = (truth == LABELS.index("hungry")).mean()
    assert at_random["hungry", "recall"] == pytest.approx(1 / 3)
    assert at_random["hungry", "precision"] == pytest.approx(share)
    assert at_random["hungry", "f1"] == pytest.approx(2 * share / 3 / (share + 1 / 3))
    assert at_random["hungry", "average_precision"] == pytest.approx(share)
    assert at_random["hungry", "auc"] == 0.5


def test_a_class_without_recordings_or_answers_is_shown_as_undefined(tmp_path):
    folder = write_run(tmp_path, "resnet18")
    table = pd.read_csv(folder / "predictions.csv", dtype={"group": str})
    table = table[table["label"] != "burping"]
    rest = table["p_hungry"] + table["p_tired"]
    shares = {name: table[name] / rest for name in ("p_hungry", "p_tired")}
    table = table.assign(p_burping=0.0, **shares)
    table.to_csv(folder / "predictions.csv", index=False)
    record = json.loads((folder / "run.json").read_text())
    record["metrics"]["recording"]["recordings"] = table["recording"].nunique()
    (folder / "run.json").write_text(json.dumps(record))
    dots, roc, precision_recall = PER_CLASS.exhibits(find_runs(tmp_path), CELL)
    row = dots.table.set_index("Class").loc["burping"]
    assert list(row) == [0, "–", "–", "–", "–", "–"]
    assert set(roc.data["class"]) == set(precision_recall.data["class"]) == {"hungry", "tired"}
    words = [list(trace.y) for trace in dots.figure.data if trace.mode == "text"]
    assert words == [["burping"]] * 3


def test_long_runs_make_files_of_a_readable_size(committed):
    for cell in PER_CLASS.cells(committed):
        if cell.dataset.startswith("challenge6"):
            assert all(len(e.csv) < 300_000 for e in PER_CLASS.exhibits(committed, cell))


def test_damaged_predictions_are_named_and_no_runs_are_no_cells(tmp_path):
    folder = write_run(tmp_path, "resnet18")
    (folder / "predictions.csv").write_text("nothing that can be read\n")
    with pytest.raises(ResultsError, match="has no column"):
        PER_CLASS.exhibits(find_runs(tmp_path), CELL)
    assert PER_CLASS.cells(NO_RUNS) == ()


def test_ten_classes_look_different_in_lines_and_in_points():
    labels = tuple("abcdefghij")
    for other in (class_dash, class_symbol):
        assert len({(class_colour(labels, c), other(labels, c)) for c in labels}) == 10


def test_the_average_precision_knows_ties_and_seeds(synthetic):
    run = read_run(synthetic.runs[0].folder)
    rough = run.recordings.assign(
        **{f"p_{label}": run.recordings[f"p_{label}"].round(1) for label in LABELS}
    )
    truth = np.array([LABELS.index(label) for label in rough["label"]])
    p = rough[[f"p_{label}" for label in LABELS]].to_numpy()
    for c, own in enumerate(class_scores(rough, LABELS, draws=10)):
        expected = sk.average_precision_score(truth == c, p[:, c])
        assert own.measures["average_precision"].value == pytest.approx(expected)
