"""Calibration, coverage and sets, against plain loops over the same predictions."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from analysis.figures.curves import AFTER, BEFORE
from analysis.panels.base import CellKey
from analysis.panels.calibration import CALIBRATION, NOT_SCALED
from analysis.stats.calibration import (
    ALL,
    DRAWN,
    HALF,
    SHARES,
    coverage,
    reliability,
)
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import RESULTS, find_runs, read_run
from cry_model.metrics import BINS
from cry_model.results import label_numbers, probabilities_of
from tests.analysis.synthetic_runs import LABELS, write_run
from train.scoring import results
from train.scoring.calibration import calibrate

CELL = CellKey("donateacry", "baby")


@pytest.fixture(scope="module")
def committed():
    return find_runs(RESULTS)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for system, skill in (("ecapa-tdnn", 1.0), ("resnet18", 0.3)):
        write_run(root, system, skill, seeds=(0, 1))
    write_run(root, "ecapa-tdnn", protocol="clip")
    return find_runs(root)


def arrays(run):
    rows = run.recordings
    return label_numbers(rows, run.labels), probabilities_of(rows, run.labels)


def plain_error(truth, p, weights):
    """The expected calibration error, bin by bin."""
    confidence, right = p.max(1), p.argmax(1) == truth
    total = 0.0
    for k in range(10):
        last = confidence <= 1 if k == 9 else confidence < (k + 1) / 10
        inside = (confidence >= k / 10) & last
        if inside.any():
            w = weights[inside]
            gap = np.average(confidence[inside], weights=w) - np.average(right[inside], weights=w)
            total += w.sum() * abs(gap)
    return total / weights.sum()


def test_the_error_before_is_that_of_run_json_with_its_interval(committed):
    for run in committed.runs:
        found = reliability(*arrays(run), run.recordings["group"].tolist())
        expected = run.evaluation.metrics["expected_calibration_error"]
        for end in ("value", "low", "high"):
            assert getattr(found.error, end) == pytest.approx(getattr(expected, end), abs=1e-9)


def test_the_error_after_is_that_of_run_json_if_groups_count_alike(committed):
    calibrated = [run for run in committed.runs if run.calibration is not None]
    assert len(calibrated) >= 10
    for run in calibrated:
        truth, p = arrays(run)
        groups = run.recordings["group"]
        weights = (1 / groups.map(groups.value_counts())).to_numpy()
        before, after = (plain_error(truth, q, weights) for q in (p, run.scaled))
        assert before == pytest.approx(run.calibration.error_before.value, abs=1e-9)
        assert after == pytest.approx(run.calibration.error_after.value, abs=1e-9)


def test_no_fold_has_a_part_in_its_own_temperature(synthetic):
    run = synthetic.of(*CELL)["ecapa-tdnn"]
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
        np.testing.assert_allclose(run.scaled[tested.index], expected, atol=2e-4)


def test_bins_and_their_intervals_are_counted_one_by_one(synthetic):
    run = synthetic.of(*CELL)["ecapa-tdnn"]
    (truth, p), groups = arrays(run), run.recordings["group"].to_numpy()
    found = reliability(truth, p, groups.tolist(), draws=60)
    confidence, right = p.max(1), p.argmax(1) == truth
    names, rng = np.unique(groups), np.random.default_rng(0)
    drawn = [names[rng.integers(len(names), size=len(names))] for _ in range(60)]
    samples = [np.concatenate([np.flatnonzero(groups == n) for n in own]) for own in drawn]
    occupied = 0
    for k in range(BINS):
        inside = (confidence * 10).astype(int) == k
        assert found.answers[k] == inside.sum()
        if not inside.any():
            assert np.isnan(found.confidence[k])
            assert np.isnan(found.accuracy[k].value)
            continue
        occupied += 1
        assert found.confidence[k] == pytest.approx(confidence[inside].mean())
        assert found.accuracy[k].value == pytest.approx(right[inside].mean())
        values = [right[rows][inside[rows]].mean() for rows in samples if inside[rows].any()]
        ends = np.percentile(values, [2.5, 97.5])
        assert (found.accuracy[k].low, found.accuracy[k].high) == pytest.approx(tuple(ends))
    assert occupied >= 5
    excess = [(confidence[rows] - right[rows]).mean() for rows in samples]
    assert found.excess.value == pytest.approx(confidence.mean() - right.mean())
    ends = np.percentile(excess, [2.5, 97.5])
    assert (found.excess.low, found.excess.high) == pytest.approx(tuple(ends))
    errors = [plain_error(truth[rows], p[rows], np.ones(len(rows))) for rows in samples]
    np.testing.assert_allclose(found.errors, errors)


def surest(confidence, right, share):
    """Accuracy of the surest answers, one after the other; ties in the mean of all their orders."""
    wanted, hits, left = share * len(right), 0.0, share * len(right)
    for level in np.unique(confidence)[::-1]:
        tied = right[confidence == level]
        taken = min(left, len(tied))
        hits, left = hits + taken * tied.mean(), left - taken
    return hits / wanted


@pytest.mark.parametrize("digits", [1, 6])
def test_coverage_and_its_intervals_are_those_of_a_plain_loop(synthetic, digits):
    run = synthetic.of(*CELL)["ecapa-tdnn"]
    truth, groups = label_numbers(run.recordings, LABELS), run.recordings["group"].to_numpy()
    p = run.scaled.round(digits)
    found = coverage(run.recordings, LABELS, p, draws=30)
    confidence, right = p.max(1), p.argmax(1) == truth
    hungry = truth == LABELS.index("hungry")
    names, rng = np.unique(groups), np.random.default_rng(0)
    curves = []
    for _ in range(30):
        drawn = names[rng.integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        curves.append([surest(confidence[rows], right[rows], share) for share in SHARES])
    plain = [surest(confidence, right, share) for share in SHARES]
    np.testing.assert_allclose([e.value for e in found.accuracy], plain)
    low, high = np.percentile(curves, [2.5, 97.5], axis=0)
    np.testing.assert_allclose([e.low for e in found.accuracy], low)
    np.testing.assert_allclose([e.high for e in found.accuracy], high)
    assert plain[ALL] == pytest.approx(right.mean())
    assert found.gain.value == pytest.approx(plain[HALF] - plain[ALL])
    gains = np.percentile([c[HALF] - c[ALL] for c in curves], [2.5, 97.5])
    assert (found.gain.low, found.gain.high) == pytest.approx(tuple(gains))
    assert found.error.value == pytest.approx(np.mean(1 - np.array(plain)))
    assert found.usual == "hungry"
    usual = [surest(confidence, hungry, share) for share in SHARES]
    np.testing.assert_allclose(found.usual_accuracy, usual)


def test_the_order_of_rows_says_nothing_even_of_ties(synthetic):
    table = synthetic.of(*CELL)["ecapa-tdnn"].recordings
    columns = [f"p_{label}" for label in LABELS]
    rough = table.assign(**{c: table[c].round(1) for c in columns})
    one = coverage(rough, LABELS, None, draws=20)
    other = coverage(rough.sample(frac=1, random_state=3), LABELS, None, draws=20)
    assert rough[columns].max(axis=1).nunique() < 10
    for name in ("gain", "error"):
        assert asdict(getattr(one, name)) == pytest.approx(asdict(getattr(other, name)))
    values = ([(e.value, e.low, e.high) for e in found.accuracy] for found in (one, other))
    np.testing.assert_allclose(*values)


@pytest.fixture
def calibrated(tmp_path):
    """A folder of a run with the calibration that ``train fit`` writes."""
    folder = write_run(tmp_path, "resnet18", 0.6)
    table = results.read_predictions(folder)
    found = calibrate(table, LABELS, dataset="donateacry", protocol="baby", folds=3)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "calibration": asdict(found)}))
    return tmp_path, found


def test_the_sets_are_shown_as_run_json_has_them(calibrated):
    root, found = calibrated
    before_after, _, sets = CALIBRATION.exhibits(find_runs(root), CELL)
    assert read_run(root / "donateacry" / "baby" / "resnet18").calibration == found
    assert list(sets.table["Label"]) == ["all", *found.by_label]
    assert list(sets.table["Measured"]) == [
        f"{share:.2f}" for share in (found.coverage.value, *found.by_label.values())
    ]
    assert list(sets.table["Target"]) == ["0.80", *"–" * len(found.by_label)]
    assert sets.data["measured"].tolist() == [found.coverage.value, *found.by_label.values()]
    assert sets.data["mean_size"][0] == found.size.value
    assert f"measured {found.coverage}, mean size {found.size.value:.1f}" in sets.note
    assert f"{found.error_before} before and {found.error_after} after" in before_after.note


def test_a_damaged_calibration_is_named(calibrated):
    root, found = calibrated
    folder = root / "donateacry" / "baby" / "resnet18"
    record = json.loads((folder / "run.json").read_text())
    record["calibration"]["by_label"] = {"hungry": 2}
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ResultsError, match="not as train fit writes it"):
        read_run(folder)
    assert found.by_label["hungry"] <= 1


def test_all_systems_are_drawn_and_the_chosen_one_stands_out(synthetic):
    diagram, curves = CALIBRATION.exhibits(synthetic, CELL, {"system": "resnet18"})
    lines = {line.name: line for line in curves.figure.data if line.name}
    assert lines["ResNet18"].line.width > lines["ECAPA-TDNN"].line.width
    assert set(curves.data["system"]) == {"ecapa-tdnn", "resnet18"}
    own = curves.data[curves.data["system"] == "resnet18"]
    run = synthetic.of(*CELL)["resnet18"]
    values = [e.value for e in run.coverage.accuracy[DRAWN]]
    np.testing.assert_allclose(own["accuracy"], values, atol=1e-5)
    np.testing.assert_allclose(lines["ResNet18"].y, values, atol=1e-4)
    assert own["answered"].tolist() == SHARES[DRAWN].tolist()
    assert lines["always “hungry”, all"].y[0] == pytest.approx(
        run.evaluation.majority_accuracy, abs=1e-5
    )
    assert set(diagram.data["probabilities"]) == {
        BEFORE,
        AFTER,
    }
    assert diagram.data.groupby("probabilities")["answers"].sum().tolist() == [180, 180]
    assert diagram.name == "reliability-donateacry-baby-resnet18"


def test_under_clip_nothing_is_scaled_and_the_note_says_why(synthetic):
    diagram, _ = CALIBRATION.exhibits(synthetic, CellKey("donateacry", "clip"))
    assert set(diagram.data["probabilities"]) == {BEFORE}
    assert NOT_SCALED in diagram.note
    run = synthetic.of("donateacry", "clip")["ecapa-tdnn"]
    plain = coverage(run.recordings, LABELS, None)
    assert plain.accuracy == run.coverage.accuracy


def test_one_damaged_system_leaves_the_others(tmp_path):
    write_run(tmp_path, "ecapa-tdnn")
    folder = write_run(tmp_path, "resnet18")
    (folder / "predictions.csv").write_text("nothing that can be read\n")
    found = find_runs(tmp_path)
    _, curves = CALIBRATION.exhibits(found, CELL, {"system": "ecapa-tdnn"})
    assert set(curves.data["system"]) == {"ecapa-tdnn"}
    assert "ResNet18 is left out" in curves.note
    with pytest.raises(ResultsError, match="has no column"):
        CALIBRATION.exhibits(found, CELL, {"system": "resnet18"})


def test_pieces_of_a_recording_in_several_folds_are_refused(tmp_path):
    folder = write_run(tmp_path, "ecapa-tdnn")
    table = pd.read_csv(folder / "predictions.csv", dtype={"group": str})
    table["fold"] = np.arange(len(table)) % 3
    table.to_csv(folder / "predictions.csv", index=False)
    with pytest.raises(ResultsError, match="one recording in several folds"):
        CALIBRATION.exhibits(find_runs(tmp_path), CELL)
