"""Confusion matrices against scikit-learn's, from the same predictions.csv."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from analysis.panels.base import CellKey
from analysis.panels.confusion import CONFUSION, COUNTS, PAPER, SHARES, _largest, matrix_data
from analysis.stats.confusion import Confusion, confusion_of, similar_order
from analysis.stats.paired import ComparisonError
from analysis.stats.paper import read_paper
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import RESULTS, find_runs
from analysis.tabs.analysis import cell_list, cell_options
from tests.analysis.synthetic_runs import LABELS, write_run

ONE, OTHER = "improved-ecapa-tdnn", "ecapa-tdnn"
BABY, CLIP = CellKey("donateacry", "baby"), CellKey("donateacry", "clip")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_run(root, "resnet18")
    write_run(root, ONE, 1.4, seeds=(0, 1))
    write_run(root, OTHER, 0.6, seeds=(0, 1))
    write_run(root, "feature-mlp", protocol="clip", seeds=(0, 1, 2))
    return find_runs(root)


def scored(folder, labels=LABELS, seeds=None):
    """True labels and answers of each seed and recording, out of the file."""
    table = pd.read_csv(folder / "predictions.csv", dtype={"recording": str, "group": str})
    if seeds is not None:
        table = table[table["seed"].isin(seeds)]
    columns = [f"p_{label}" for label in labels]
    means = table.groupby(["seed", "recording", "label"])[columns].mean()
    answers = means.to_numpy().argmax(1)
    return means.index.get_level_values("label").to_numpy(), np.array(labels)[answers]


def square(data, value, labels):
    """A column of an exhibit's rows as a matrix in the order of the labels."""
    table = data.pivot(index="true", columns="answer", values=value)
    return table.loc[list(labels), list(labels)].to_numpy()


def test_matrices_and_difference_are_those_of_scikit_learn(found):
    first, second, difference = CONFUSION.exhibits(found, BABY)
    sums = []
    for exhibit, system in ((first, ONE), (second, OTHER)):
        truth, answer = scored(found.of(*BABY)[system].folder)
        counts = confusion_matrix(truth, answer, labels=LABELS)
        shares = confusion_matrix(truth, answer, labels=LABELS, normalize="true")
        np.testing.assert_array_equal(square(exhibit.data, "count", LABELS), counts)
        np.testing.assert_allclose(square(exhibit.data, "share", LABELS), shares)
        np.testing.assert_allclose(square(exhibit.data, "drawn", LABELS), 100 * shares)
        np.testing.assert_allclose(
            np.array(exhibit.figure.data[0].z, float), 100 * shares, atol=1e-3
        )
        assert set(exhibit.data["system"]) == {system}
        sums.append(100 * shares)
    np.testing.assert_allclose(square(difference.data, "difference", LABELS), sums[0] - sums[1])
    drawn = difference.figure.data[0]
    np.testing.assert_allclose(np.array(drawn.z, float), sums[0] - sums[1], atol=1e-3)
    scale = difference.figure.layout.coloraxis
    assert scale.cmin == -scale.cmax < 0


def test_every_matrix_of_the_repository_is_that_of_scikit_learn():
    runs = find_runs(RESULTS).runs
    assert runs
    for run in runs:
        truth, answer = scored(run.folder, run.labels, run.seeds)
        expected = confusion_matrix(truth, answer, labels=run.labels)
        np.testing.assert_array_equal(confusion_of(run).counts, expected)


def test_counts_and_a_diagonal_of_zeros(found):
    exhibits = CONFUSION.exhibits(found, BABY, {"unit": "counts", "zero_diagonal": True})
    for exhibit, system in zip(exhibits, (ONE, OTHER), strict=False):
        expected = confusion_matrix(*scored(found.of(*BABY)[system].folder), labels=LABELS)
        assert np.trace(expected) > 0
        np.fill_diagonal(expected, 0)
        np.testing.assert_array_equal(square(exhibit.data, "drawn", LABELS), expected)
        assert np.trace(square(exhibit.data, "count", LABELS)) > 0  # the data keep the truth
        assert [row[i] for i, row in enumerate(exhibit.figure.data[0].text)] == [""] * len(LABELS)
    assert not square(exhibits[2].data, "difference", LABELS).diagonal().any()


def test_a_difference_is_over_the_seeds_that_both_have(found):
    chosen = {"beside": "resnet18"}  # which has seed 0 alone
    first, second, difference = CONFUSION.exhibits(found, BABY, chosen)
    one, other = (
        100
        * confusion_matrix(
            *scored(found.of(*BABY)[system].folder, seeds=[0]), labels=LABELS, normalize="true"
        )
        for system in (ONE, "resnet18")
    )
    np.testing.assert_allclose(square(difference.data, "difference", LABELS), one - other)
    assert "Seeds: 1." in difference.note
    assert "Seeds: 2." in first.note
    assert "Seeds: 1." in second.note


def test_one_system_stands_alone(found):
    (only,) = CONFUSION.exhibits(found, CLIP)
    assert set(only.data["system"]) == {"feature-mlp"}
    assert "Seeds: 3." in only.note
    assert len(CONFUSION.exhibits(found, BABY, {"beside": ONE})) == 1


def test_similar_classes_stand_together_in_all_three(found):
    counts = np.array([[9, 0, 0, 5], [0, 9, 4, 0], [0, 3, 9, 0], [6, 0, 1, 9]])
    order = similar_order([Confusion(tuple("abcd"), counts, 1)])
    assert abs(order.index(0) - order.index(3)) == abs(order.index(1) - order.index(2)) == 1
    assert sorted(order) == [0, 1, 2, 3]
    plain, shown = (CONFUSION.exhibits(found, BABY, {"by_similarity": on}) for on in (False, True))
    orders = {tuple(exhibit.figure.data[0].x) for exhibit in shown}
    assert len(orders) == 1
    for before, after in zip(plain, shown, strict=True):
        value = "drawn" if "drawn" in before.data else "difference"
        assert tuple(after.figure.data[0].x) == tuple(after.figure.data[0].y)
        np.testing.assert_allclose(
            square(before.data, value, LABELS), square(after.data, value, LABELS)
        )


def test_a_class_that_does_not_occur_is_no_number(tmp_path):
    folder = write_run(tmp_path, ONE)
    path = folder / "predictions.csv"
    table = pd.read_csv(path, dtype={"group": str})
    table.assign(label=table["label"].replace("burping", "tired")).to_csv(path, index=False)
    (exhibit,) = CONFUSION.exhibits(find_runs(tmp_path), BABY)
    assert np.isnan(exhibit.figure.data[0].z[0]).all()
    assert exhibit.data["share"].isna().sum() == len(LABELS)
    assert CONFUSION.exhibits(find_runs(tmp_path), BABY, {"by_similarity": True})


def test_damaged_and_unlike_runs_are_refused(tmp_path):
    write_run(tmp_path, ONE)
    folder = write_run(tmp_path, OTHER)
    path = folder / "predictions.csv"
    table = pd.read_csv(path, dtype={"group": str})
    table.assign(fold=(table["fold"] + 1) % 3).to_csv(path, index=False)
    with pytest.raises(ComparisonError, match="same folds"):
        CONFUSION.exhibits(find_runs(tmp_path), BABY)
    table.drop(columns="p_hungry").to_csv(path, index=False)
    with pytest.raises(ResultsError, match="p_hungry"):
        CONFUSION.exhibits(find_runs(tmp_path), BABY)
    partial = find_runs(tmp_path)
    path.unlink()
    with pytest.raises(ResultsError, match="copy its whole folder"):
        CONFUSION.exhibits(partial, BABY)


def test_a_cell_lists_its_recordings_the_surest_first(found):
    run = found.of(*CLIP)["feature-mlp"]
    pieces = pd.read_csv(run.folder / "predictions.csv", dtype={"group": str})
    columns = [f"p_{label}" for label in LABELS]
    keys = ["seed", "recording", "group", "label"]
    means = pieces.groupby(keys)[columns].mean().reset_index()
    answer = np.array(LABELS)[means[columns].to_numpy().argmax(1)]
    own = means[(means["label"] == "hungry") & (answer == "tired")]
    listed = cell_list(run, "hungry", "tired")
    assert len(listed) == len(own) > 2
    expected = {(row.seed, row.recording): round(100 * row.p_tired, 1) for row in own.itertuples()}
    shown = zip(listed["Seed"], listed["Recording"], listed["tired (%)"], strict=True)
    assert {(seed, recording): p for seed, recording, p in shown} == pytest.approx(expected)
    assert list(listed["tired (%)"]) == sorted(listed["tired (%)"], reverse=True)
    assert set(listed["True label"]) == {"hungry"}
    assert set(listed["Predicted label"]) == {"tired"}


def test_a_recording_in_pieces_lists_all_of_its_folds(tmp_path):
    folder = write_run(tmp_path, ONE, protocol="clip")
    path = folder / "predictions.csv"
    table = pd.read_csv(path, dtype={"group": str})
    second = table["clip"].str.endswith("#1")
    table.loc[second, "fold"] = (table["fold"] + 1) % 3
    table.to_csv(path, index=False)
    run = find_runs(tmp_path).of(*CLIP)[ONE]
    for row in cell_list(run, "hungry", "hungry").itertuples():
        folds = set(table.loc[table["recording"] == row.Recording, "fold"])
        assert row.Fold == ", ".join(map(str, sorted(folds)))
        assert len(folds) == 2


def test_the_largest_confusion_is_that_of_the_unit_that_is_shown():
    counts = np.array([[8, 2, 0], [15, 300, 5], [0, 0, 40]])
    confusion = Confusion(("sea_waves", "rain", "rooster"), counts, 1)
    shares, in_counts = (
        _largest(matrix_data(confusion, [0, 1, 2], unit, False), 1) for unit in (SHARES, COUNTS)
    )
    assert "sea waves classified as rain, 2 of 10 (20%)" in shares
    assert "rain classified as sea waves, 15 of 320 (5%)" in in_counts


def test_the_values_of_the_paper_are_those_of_its_file():
    for printed in read_paper().confusions:
        assert f"{' and '.join(printed.labels)} {100 * printed.value:.4g}%" in PAPER


def test_each_cell_with_recordings_can_be_chosen(found):
    matrices = [exhibit.data for exhibit in CONFUSION.exhibits(found, BABY)[:2]]
    counts = {
        json.dumps([system, LABELS[true], LABELS[answer]]): count
        for system in (ONE, OTHER)
        for (true, answer), count in np.ndenumerate(confusion_of(found.of(*BABY)[system]).counts)
    }
    options = {value: title for title, value in cell_options(matrices)}
    assert set(options) == {value for value, count in counts.items() if count}
    title = options[json.dumps([ONE, "hungry", "tired"])]
    count = counts[json.dumps([ONE, "hungry", "tired"])]
    assert title == f"hungry → tired: {count} (Improved ECAPA-TDNN)"
