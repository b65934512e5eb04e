"""Check scores and curves per class against scikit-learn on the same predictions."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from analysis.figures.theme import class_colour, class_dash, class_symbol
from analysis.panels.per_class import PER_CLASS
from analysis.stats.per_class import (
    MEASURES,
    UNSEEN,
    class_scores,
    precision_recall_curve,
    roc_curve,
    thinned,
)
from analysis.stats.runs import find_runs
from tests.analysis.synthetic_runs import BABY, LABELS, change_table, write_run
from tests.plain import bounds, rows_of


def by_sklearn(truth, p):
    """Compute the measures (rows) of the classes (columns) with scikit-learn."""
    classes = range(p.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample may lack a class
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            truth, p.argmax(1), labels=list(classes), zero_division=np.nan
        )
        here = [0 < (truth == c).sum() < len(truth) for c in classes]
        areas = [
            [of(truth == c, p[:, c]) if here[c] else np.nan for c in classes]
            for of in (sk.roc_auc_score, sk.average_precision_score)
        ]
    return np.array([recall, precision, f1, *areas])


def square(scores, value="value"):
    labels = scores["class"].unique()
    return scores.pivot(index="measure", columns="class", values=value).loc[list(MEASURES), labels]


@pytest.fixture
def run(found):
    return found.of(*BABY)["ecapa-tdnn"]


@pytest.mark.parametrize("digits", [1, 6])
def test_values_and_intervals_match_a_plain_loop(run, digits):
    means, truth, p = rows_of(run)
    columns = [f"p_{label}" for label in LABELS]
    rough = run.recordings.assign(**run.recordings[columns].round(digits))  # 1: with ties
    found, p = class_scores(rough, LABELS, draws=40), p.round(digits)
    ends = bounds(lambda rows: by_sklearn(truth[rows], p[rows]), means["group"], 40)
    for name, expected in zip(("value", "low", "high"), (by_sklearn(truth, p), *ends), strict=True):
        np.testing.assert_allclose(square(found, name), expected, atol=1e-9)
    assert (found["low"] < found["high"]).all()
    for c, (label, own) in enumerate(found.groupby("class", sort=False)):
        assert set(own["recordings"]) == {means[means["label"] == label]["recording"].nunique()}
        np.testing.assert_allclose(own["share"], (truth == c).mean())


def with_ties(seed, count=300):
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.2
    return positive, (rng.random(count) * 0.7 + 0.3 * positive).round(seed)


@pytest.mark.parametrize("digits", [1, 6])
def test_area_under_precision_recall_curve_is_average_precision(digits):
    positive, scores = with_ties(digits)
    recall, precision = precision_recall_curve(positive, scores)
    area = (np.diff(recall) * precision[1:]).sum()
    assert area == pytest.approx(sk.average_precision_score(positive, scores))
    assert (recall[0], recall[-1]) == (0, 1)


def test_thinned_curve_stays_close_to_the_original():
    positive, scores = with_ties(6, 20_000)
    for curve in (roc_curve(positive, scores), precision_recall_curve(positive, scores)):
        thin = np.transpose(thinned(curve))
        assert len(thin) < len(curve[0]) / 2
        assert thin[[0, -1]].tolist() == np.transpose(curve)[[0, -1]].tolist()
        for point in np.transpose(curve)[::50]:
            assert np.abs(thin - point).sum(1).min() <= UNSEEN + 1e-12


def test_panel_draws_and_tabulates_every_class(found, run):
    dots, roc, precision_recall = PER_CLASS.exhibits(found, BABY, {"system": run.system})
    _, truth, p = rows_of(run)
    expected = dict(zip(MEASURES, by_sklearn(truth, p), strict=True))
    assert list(dots.table["Class"]) == list(LABELS)
    for title, measure in (("F1", "f1"), ("ROC AUC", "auc"), ("Precision", "precision")):
        shown = dots.table[title].str.split(expand=True)[0].astype(float)
        np.testing.assert_allclose(shown, expected[measure], atol=0.005001)
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
    share = (truth == LABELS.index("hungry")).mean()
    at_random = square(dots.data, "at_random")["hungry"]
    f1 = 2 * share / 3 / (share + 1 / 3)
    np.testing.assert_allclose(at_random, [1 / 3, share, f1, 0.5, share])


def test_class_without_recordings_or_answers_is_undefined(tmp_path):
    def never(table):
        """Leave no recording labelled or predicted as burping."""
        rest = table["p_hungry"] + table["p_tired"]
        shares = {name: table[name] / rest for name in ("p_hungry", "p_tired")}
        label = table["label"].replace("burping", "tired")
        return table.assign(label=label, p_burping=0.0, **shares)

    change_table(write_run(tmp_path, "resnet18"), never)
    dots, roc, precision_recall = PER_CLASS.exhibits(find_runs(tmp_path), BABY)
    assert list(dots.table.set_index("Class").loc["burping"]) == [0, "–", "–", "–", "–", "–"]
    assert set(roc.data["class"]) == set(precision_recall.data["class"]) == {"hungry", "tired"}
    words = [list(trace.y) for trace in dots.figure.data if trace.mode == "text"]
    assert words == [["burping"]] * 3


def test_ten_classes_have_distinct_lines_and_markers():
    labels = tuple("abcdefghij")
    for other in (class_dash, class_symbol):
        assert len({(class_colour(labels, c), other(labels, c)) for c in labels}) == 10
