"""Calibration, coverage and sets, against plain loops over the same predictions."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from analysis.figures.curves import AFTER, BEFORE
from analysis.panels.base import CellKey
from analysis.panels.calibration import CALIBRATION, DRAWN, NOT_SCALED, coverage_of
from analysis.stats.calibration import ALL, HALF, SHARES, coverage, reliability, scaled
from analysis.stats.runs import ResultsError, find_runs, read_run
from cry_model.metrics import BINS
from cry_model.results import label_numbers, probabilities_of
from tests.analysis.synthetic_runs import LABELS, change_record, change_table, write_run
from tests.plain import bounds, resamples
from train.scoring import results
from train.scoring.calibration import calibrate

CELL = CellKey("donateacry", "baby")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for system, skill in (("ecapa-tdnn", 1.0), ("resnet18", 0.3)):
        write_run(root, system, skill, seeds=(0, 1))
    write_run(root, "ecapa-tdnn", protocol="clip")
    return find_runs(root)


@pytest.fixture(scope="module")
def run(synthetic):
    return synthetic.of(*CELL)["ecapa-tdnn"]


def arrays(run):
    rows = run.recordings
    return label_numbers(rows, run.labels), probabilities_of(rows, run.labels)


def test_no_fold_has_a_part_in_its_own_temperature(run):
    truth, p = arrays(run)
    rows = run.recordings.reset_index(drop=True)
    fold = run.predictions.drop_duplicates("recording").set_index("recording")["fold"]
    rows["fold"] = rows["recording"].map(fold)
    for _, tested in rows.groupby(["seed", "fold"]):
        others = rows[~rows["group"].isin(tested["group"])]
        assert set(others["seed"]) == {0, 1}
        weights = 1 / others["group"].map(others["group"].value_counts()).to_numpy()
        logs, labels = np.log(p[others.index]), truth[others.index]

        def loss(inverse, logs=logs, labels=labels, weights=weights):
            chosen = log_softmax(logs * inverse, axis=1)[np.arange(len(labels)), labels]
            return -(weights * chosen).mean()

        inverse = minimize(loss, [1.0], method="BFGS", tol=1e-9).x[0]
        expected = softmax(np.log(p[tested.index]) * inverse, axis=1)
        np.testing.assert_allclose(scaled(run)[tested.index], expected, atol=2e-4)


def test_bins_and_their_intervals_are_counted_one_by_one(run):
    (truth, p), groups = arrays(run), run.recordings["group"].to_numpy()
    found = reliability(truth, p, groups.tolist(), draws=60)
    confidence, right = p.max(1), p.argmax(1) == truth
    occupied = 0
    for k in range(BINS):
        inside = (confidence * 10).astype(int) == k
        row = found.loc[k]
        assert row["answers"] == inside.sum()
        if not inside.any():
            assert row[["confidence", "accuracy", "low", "high"]].isna().all()
            continue
        occupied += 1
        assert row["confidence"] == pytest.approx(confidence[inside].mean())
        values = [right[r][inside[r]].mean() for r in resamples(groups, 60) if inside[r].any()]
        ends = np.percentile(values, [2.5, 97.5])
        expected = [right[inside].mean(), *ends]
        assert row[["accuracy", "low", "high"]].tolist() == pytest.approx(expected)
    assert occupied >= 5


def surest(confidence, right, share):
    """Accuracy of the surest answers, one after the other; ties in the mean of all their orders."""
    wanted, hits, left = share * len(right), 0.0, share * len(right)
    for level in np.unique(confidence)[::-1]:
        tied = right[confidence == level]
        taken = min(left, len(tied))
        hits, left = hits + taken * tied.mean(), left - taken
    return hits / wanted


def test_coverage_and_its_intervals_are_those_of_a_plain_loop(run):
    truth, groups = label_numbers(run.recordings, LABELS), run.recordings["group"]
    p = scaled(run).round(2)  # with some ties
    found = coverage(run.recordings, LABELS, p, draws=10)
    confidence, right = p.max(1), p.argmax(1) == truth
    hungry = truth == LABELS.index("hungry")

    def curve(rows):
        points = [surest(confidence[rows], right[rows], share) for share in SHARES]
        return np.array([*points, points[HALF] - points[ALL]])

    expected = np.transpose([curve(slice(None)), *bounds(curve, groups, 10)])
    curve_found = found.curve[["accuracy", "low", "high"]].to_numpy()
    np.testing.assert_allclose(curve_found, expected[:-1])
    assert tuple(asdict(found.gain).values()) == pytest.approx(tuple(expected[-1]))
    values = expected[:-1, 0]
    assert values[ALL] == pytest.approx(right.mean())
    assert found.error.value == pytest.approx(np.mean(1 - values))
    assert found.usual == "hungry"
    usual = [surest(confidence, hungry, share) for share in SHARES]
    np.testing.assert_allclose(found.curve["always_the_most_frequent"], usual)


def test_the_sets_are_shown_as_run_json_has_them(tmp_path):
    folder = write_run(tmp_path, "resnet18", 0.6)
    table = results.read_predictions(folder)
    found = calibrate(table, LABELS, dataset="donateacry", protocol="baby", folds=3)
    change_record(folder, calibration=asdict(found))
    before_after, _, sets = CALIBRATION.exhibits(find_runs(tmp_path), CELL)
    assert read_run(folder).calibration == found
    values = [found.coverage.value, *found.by_label.values()]
    assert list(sets.table["Label"]) == ["all", *found.by_label]
    assert list(sets.table["Measured"]) == [f"{share:.2f}" for share in values]
    interval = f"[{found.coverage.low:.2f}, {found.coverage.high:.2f}]"
    assert sets.table.iloc[0, 2:].tolist() == ["0.80", f"{values[0]:.2f}", interval]
    assert f"measured {found.coverage}, mean size {found.size.value:.1f}" in sets.note
    assert f"{found.error_before} before and {found.error_after} after" in before_after.note


def test_all_systems_are_drawn_and_the_chosen_one_stands_out(synthetic):
    diagram, curves = CALIBRATION.exhibits(synthetic, CELL, {"system": "resnet18"})
    lines = {line.name: line for line in curves.figure.data if line.name}
    assert lines["ResNet18"].line.width > lines["ECAPA-TDNN"].line.width
    assert set(curves.data["system"]) == {"ecapa-tdnn", "resnet18"}
    own = curves.data[curves.data["system"] == "resnet18"]
    run = synthetic.of(*CELL)["resnet18"]
    values = coverage_of(run).curve["accuracy"][DRAWN]
    np.testing.assert_allclose(own["accuracy"], values, atol=1e-5)
    np.testing.assert_allclose(lines["ResNet18"].y, values, atol=1e-4)
    level = lines["always “hungry”, all"].y[0]
    assert level == pytest.approx(run.evaluation.majority_accuracy, abs=1e-5)
    assert set(diagram.data["probabilities"]) == {BEFORE, AFTER}


def test_with_random_segments_nothing_is_scaled_and_the_note_says_why(synthetic):
    diagram, _ = CALIBRATION.exhibits(synthetic, CellKey("donateacry", "clip"))
    assert set(diagram.data["probabilities"]) == {BEFORE}
    assert NOT_SCALED in diagram.note
    run = synthetic.of("donateacry", "clip")["ecapa-tdnn"]
    (_, p), own = arrays(run), coverage_of(run)
    pd.testing.assert_frame_equal(coverage(run.recordings, LABELS, p).curve, own.curve)


def test_one_damaged_system_leaves_the_others(tmp_path):
    write_run(tmp_path, "ecapa-tdnn")
    change_table(
        write_run(tmp_path, "resnet18"), lambda table: table.assign(fold=np.arange(len(table)) % 3)
    )
    found = find_runs(tmp_path)
    _, curves = CALIBRATION.exhibits(found, CELL, {"system": "ecapa-tdnn"})
    assert set(curves.data["system"]) == {"ecapa-tdnn"}
    assert "ResNet18 is left out" in curves.note
    with pytest.raises(ResultsError, match="one recording in several folds"):
        CALIBRATION.exhibits(found, CELL, {"system": "resnet18"})
