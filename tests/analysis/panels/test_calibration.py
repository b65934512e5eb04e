"""Check calibration, coverage and prediction sets against loops over the same predictions."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from analysis.figures.curves import AFTER, BEFORE
from analysis.panels.calibration import CALIBRATION, DRAWN, NOT_SCALED, coverage_of
from analysis.stats.calibration import (
    ALL,
    HALF,
    SHARES,
    coverage,
    crossed_temperatures,
    reliability,
    scaled,
)
from analysis.stats.runs import ResultsError, find_runs, read_run
from cry_model.calibration import apart
from cry_model.metrics import BINS
from cry_model.results import label_numbers, probabilities_of
from tests.analysis.synthetic_runs import (
    BABY,
    CLIP,
    LABELS,
    change_record,
    change_table,
    write_run,
)
from tests.plain import bounds, resamples
from train.scoring import results
from train.scoring.calibration import calibrate


@pytest.fixture(scope="module")
def run(found):
    return found.of(*BABY)["ecapa-tdnn"]


def arrays(run):
    rows = run.recordings
    return label_numbers(rows, LABELS), probabilities_of(rows, LABELS)


def by_scipy(probabilities, labels, weights):
    """Minimise the weighted log loss with another optimiser; return the temperature."""

    def loss(inverse):
        logs = log_softmax(np.log(probabilities) * inverse, axis=1)
        return -np.dot(weights, logs[np.arange(len(labels)), labels]) / np.sum(weights)

    return 1 / minimize(loss, [1.0], method="BFGS", tol=1e-10).x[0]


def test_temperature_is_fitted_on_other_groups_only(run):
    truth, p = arrays(run)
    rows = run.recordings.reset_index(drop=True)
    fold = run.predictions.drop_duplicates("recording").set_index("recording")["fold"]
    rows["fold"] = rows["recording"].map(fold)
    for _, tested in rows.groupby(["seed", "fold"]):
        others = rows[~rows["group"].isin(tested["group"])]
        assert set(others["seed"]) == {0, 1}
        weights = 1 / others["group"].map(others["group"].value_counts()).to_numpy()
        temperature = by_scipy(p[others.index], truth[others.index], weights)
        expected = softmax(np.log(p[tested.index]) / temperature, axis=1)
        np.testing.assert_allclose(scaled(run)[tested.index], expected, atol=2e-4)


@pytest.mark.parametrize("count", [5, 1])  # a single fold is halved
def test_temperature_of_a_fold_is_fitted_to_other_groups(count):
    rng = np.random.default_rng(4)
    labels, groups = rng.integers(3, size=150), rng.integers(40, size=150).astype(str)
    p = softmax(1.5 * np.eye(3)[labels] + rng.normal(0, 2, (150, 3)), axis=1)
    folds = np.split(rng.permutation(150), count)  # a group is in several folds
    found = crossed_temperatures(p, np.eye(3)[labels], groups, folds)
    parts = list(apart(groups, folds))
    assert sorted(np.concatenate([rows for rows, _ in parts])) == list(range(150))
    assert len(parts) == len(set(found)) == max(2, count)
    for rows, others in parts:
        outside = [i for i in range(150) if groups[i] not in set(groups[rows])]
        assert outside == np.flatnonzero(others).tolist()
        weights = [1 / np.sum(groups[outside] == groups[i]) for i in outside]  # equal for groups
        expected = by_scipy(p[outside], labels[outside], weights)
        assert found[rows] == pytest.approx(expected, rel=1e-3)


def test_temperature_is_one_without_other_groups():
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    folds = [np.array([0]), np.array([1])]
    assert crossed_temperatures(p, np.eye(2), np.array(["a", "a"]), folds).tolist() == [1, 1]


def test_reliability_bins_match_a_plain_loop(run):
    (truth, p), groups = arrays(run), run.recordings["group"].to_numpy()
    found = reliability(truth, p, groups.tolist(), draws=60)
    confidence, right = p.max(1), p.argmax(1) == truth
    inside = [(confidence * 10).astype(int) == k for k in range(BINS)]
    assert found["answers"].tolist() == [own.sum() for own in inside]
    assert found[found["answers"] == 0][["confidence", "accuracy", "low", "high"]].isna().all(None)
    occupied = found[found["answers"] > 0]
    assert len(occupied) >= 5
    for k, row in occupied.iterrows():
        own = inside[k]
        values = [right[r][own[r]].mean() for r in resamples(groups, 60) if own[r].any()]
        expected = [confidence[own].mean(), right[own].mean(), *np.percentile(values, [2.5, 97.5])]
        shown = row[["confidence", "accuracy", "low", "high"]].tolist()
        assert shown == pytest.approx(expected)


def surest(confidence, right):
    """Return the accuracy of the most confident 1 %, 2 %, ..., averaged over all orders of ties."""
    levels = [right[confidence == level] for level in np.unique(confidence)[::-1]]
    in_order = np.concatenate([np.full(len(tied), tied.mean()) for tied in levels])
    wanted = SHARES * len(right)
    hits = np.interp(wanted, np.arange(len(right) + 1), np.append(0, in_order.cumsum()))
    return hits / wanted


def test_coverage_and_its_intervals_match_a_plain_loop(run):
    truth, groups = label_numbers(run.recordings, LABELS), run.recordings["group"]
    p = scaled(run).round(2)  # creates ties
    found = coverage(run.recordings, LABELS, p, draws=10)
    confidence, right = p.max(1), p.argmax(1) == truth

    def curve(rows):
        points = surest(confidence[rows], right[rows])
        return np.append(points, points[HALF] - points[ALL])

    expected = np.transpose([curve(slice(None)), *bounds(curve, groups, 10)])
    np.testing.assert_allclose(found.curve[["accuracy", "low", "high"]], expected[:-1])
    assert tuple(asdict(found.gain).values()) == pytest.approx(tuple(expected[-1]))
    values = expected[:-1, 0]
    assert values[ALL] == pytest.approx(right.mean())
    assert found.error.value == pytest.approx(np.mean(1 - values))
    assert found.usual == "hungry"
    usual = surest(confidence, truth == LABELS.index("hungry"))
    np.testing.assert_allclose(found.curve["always_the_most_frequent"], usual)


def test_prediction_sets_match_run_json(tmp_path):
    folder = write_run(tmp_path, "resnet18", 0.6)
    table = results.existing_predictions(folder)
    own = calibrate(table, LABELS, dataset="donateacry", protocol="baby", folds=3)
    change_record(folder, calibration=asdict(own))
    before_after, _, sets = CALIBRATION.exhibits(find_runs(tmp_path), BABY)
    assert read_run(folder).calibration == own
    values = [f"{share:.2f}" for share in (own.coverage.value, *own.by_label.values())]
    assert list(sets.table["Label"]) == ["all", *own.by_label]
    assert list(sets.table["Measured"]) == values
    interval = f"[{own.coverage.low:.2f}, {own.coverage.high:.2f}]"
    assert sets.table.iloc[0, 2:].tolist() == ["0.80", values[0], interval]
    assert f"measured {own.coverage}, mean size {own.size.value:.1f}" in sets.note
    assert f"{own.error_before} before and {own.error_after} after" in before_after.note


def test_all_systems_are_drawn_and_the_chosen_one_is_emphasised(found):
    diagram, curves = CALIBRATION.exhibits(found, BABY, {"system": "resnet18"})
    lines = {line.name: line for line in curves.figure.data if line.name}
    assert lines["ResNet18"].line.width > lines["ECAPA-TDNN"].line.width
    run = found.of(*BABY)["resnet18"]
    values = coverage_of(run).curve["accuracy"][DRAWN]
    np.testing.assert_allclose(lines["ResNet18"].y, values, atol=1e-4)
    assert set(curves.data["system"]) == set(found.of(*BABY))
    assert set(diagram.data["probabilities"]) == {BEFORE, AFTER}


def test_random_segments_are_not_scaled_and_the_note_says_why(found):
    diagram, _ = CALIBRATION.exhibits(found, CLIP, {"system": "ecapa-tdnn"})
    assert set(diagram.data["probabilities"]) == {BEFORE}
    assert NOT_SCALED in diagram.note
    run = found.of(*CLIP)["ecapa-tdnn"]
    own = coverage(run.recordings, LABELS, arrays(run)[1])
    pd.testing.assert_frame_equal(own.curve, coverage_of(run).curve)


def test_damaged_system_is_left_out(tmp_path):
    write_run(tmp_path, "ecapa-tdnn")
    change_table(write_run(tmp_path, "resnet18"), lambda t: t.assign(fold=np.arange(len(t)) % 3))
    found = find_runs(tmp_path)
    _, curves = CALIBRATION.exhibits(found, BABY, {"system": "ecapa-tdnn"})
    assert set(curves.data["system"]) == {"ecapa-tdnn"}
    assert "ResNet18 is left out" in curves.note
    with pytest.raises(ResultsError, match="one recording in several folds"):
        CALIBRATION.exhibits(found, BABY, {"system": "resnet18"})
