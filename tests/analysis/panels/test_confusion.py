"""Confusion matrices against scikit-learn's, from the same predictions.csv."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from analysis.panels.base import CellKey
from analysis.panels.confusion import (
    CONFUSION,
    COUNTS,
    PAPER,
    SHARES,
    _largest,
    matrix_data,
    similar_order,
)
from analysis.stats.runs import find_runs
from analysis.tabs.analysis import cell_list, cell_options
from cry_model.registry import PAPER_REFERENCE
from tests.analysis.plain import rows_of
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


def expected(run, seeds=None, **options):
    """The matrix by scikit-learn."""
    _, truth, p = rows_of(run, seeds)
    labels = range(len(run.labels))
    return confusion_matrix(truth, p.argmax(1), labels=labels, **options)


def square(data, value, labels=LABELS):
    """A column of an exhibit's rows as a matrix in the order of the labels."""
    table = data.pivot(index="true", columns="answer", values=value)
    return table.loc[list(labels), list(labels)].to_numpy()


def test_matrices_and_difference_are_those_of_scikit_learn(found):
    first, second, difference = CONFUSION.exhibits(found, BABY)
    sums = []
    for exhibit, system in ((first, ONE), (second, OTHER)):
        run = found.of(*BABY)[system]
        shares = 100 * expected(run, normalize="true")
        np.testing.assert_array_equal(square(exhibit.data, "count"), expected(run))
        np.testing.assert_allclose(100 * square(exhibit.data, "share"), shares)
        np.testing.assert_allclose(square(exhibit.data, "drawn"), shares)
        np.testing.assert_allclose(np.array(exhibit.figure.data[0].z, float), shares, atol=1e-3)
        assert set(exhibit.data["system"]) == {system}
        sums.append(shares)
    np.testing.assert_allclose(square(difference.data, "difference"), sums[0] - sums[1])
    drawn = np.array(difference.figure.data[0].z, float)
    np.testing.assert_allclose(drawn, sums[0] - sums[1], atol=1e-3)
    scale = difference.figure.layout.coloraxis
    assert scale.cmin == -scale.cmax < 0


def test_counts_and_a_diagonal_of_zeros(found):
    exhibits = CONFUSION.exhibits(found, BABY, {"unit": "counts", "zero_diagonal": True})
    for exhibit, system in zip(exhibits, (ONE, OTHER), strict=False):
        counts = expected(found.of(*BABY)[system])
        np.fill_diagonal(counts, 0)
        np.testing.assert_array_equal(square(exhibit.data, "drawn"), counts)
        assert np.trace(square(exhibit.data, "count")) > 0  # the data keep the truth
        assert [row[i] for i, row in enumerate(exhibit.figure.data[0].text)] == [""] * len(LABELS)
    assert not square(exhibits[2].data, "difference").diagonal().any()


def test_a_difference_is_over_the_seeds_that_both_have(found):
    first, second, difference = CONFUSION.exhibits(found, BABY, {"beside": "resnet18"})
    runs = found.of(*BABY)  # of ResNet18 seed 0 alone
    one, other = (100 * expected(runs[name], [0], normalize="true") for name in (ONE, "resnet18"))
    np.testing.assert_allclose(square(difference.data, "difference"), one - other)
    for exhibit, seeds in ((first, 2), (second, 1), (difference, 1)):
        assert f"Seeds: {seeds}." in exhibit.note
    (alone,) = CONFUSION.exhibits(found, CLIP)
    assert "Seeds: 3." in alone.note
    assert len(CONFUSION.exhibits(found, BABY, {"beside": ONE})) == 1


def test_similar_classes_stand_together_in_all_three(found):
    counts = np.array([[9, 0, 0, 5], [0, 9, 4, 0], [0, 3, 9, 0], [6, 0, 1, 9]])
    labels = list("abcd")
    order = similar_order([pd.DataFrame(counts, index=labels, columns=labels)])
    assert {*order[:2]} in ({"a", "d"}, {"b", "c"})
    assert sorted(order) == labels
    plain, shown = (CONFUSION.exhibits(found, BABY, {"by_similarity": on}) for on in (False, True))
    assert len({tuple(exhibit.figure.data[0].x) for exhibit in shown}) == 1
    for before, after in zip(plain, shown, strict=True):
        value = "drawn" if "drawn" in before.data else "difference"
        assert tuple(after.figure.data[0].x) == tuple(after.figure.data[0].y)
        np.testing.assert_allclose(square(before.data, value), square(after.data, value))


def test_a_class_that_does_not_occur_is_no_number(tmp_path):
    path = write_run(tmp_path, ONE) / "predictions.csv"
    table = pd.read_csv(path, dtype={"group": str})
    table.assign(label=table["label"].replace("burping", "tired")).to_csv(path, index=False)
    (exhibit,) = CONFUSION.exhibits(find_runs(tmp_path), BABY)
    assert np.isnan(exhibit.figure.data[0].z[0]).all()
    assert exhibit.data["share"].isna().sum() == len(LABELS)
    assert CONFUSION.exhibits(find_runs(tmp_path), BABY, {"by_similarity": True})


def test_the_largest_confusion_is_that_of_the_unit_that_is_shown():
    labels = ["sea_waves", "rain", "rooster"]
    counts = pd.DataFrame([[8, 2, 0], [15, 300, 5], [0, 0, 40]], index=labels, columns=labels)
    shares, in_counts = (
        _largest(matrix_data(counts, labels, unit, False), 1) for unit in (SHARES, COUNTS)
    )
    assert "sea waves classified as rain, 2 of 10 (20%)" in shares
    assert "rain classified as sea waves, 15 of 320 (5%)" in in_counts


def test_the_values_of_the_paper_are_those_of_its_file():
    for printed in json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["confusion"]:
        assert f"{' and '.join(printed['labels'])} {100 * printed['value']:.4g}%" in PAPER


def test_a_cell_lists_its_recordings_the_surest_first_with_their_folds(tmp_path):
    path = write_run(tmp_path, ONE, protocol="clip", seeds=(0, 1)) / "predictions.csv"
    table = pd.read_csv(path, dtype={"group": str})
    second = table["clip"].str.endswith("#1")
    table.loc[second, "fold"] = (table["fold"] + 1) % 3
    table.to_csv(path, index=False)
    run = find_runs(tmp_path).of(*CLIP)[ONE]
    means, _, p = rows_of(run)
    own = means[(means["label"] == "hungry") & (p.argmax(1) == LABELS.index("tired"))]
    listed = cell_list(run, "hungry", "tired")
    assert len(listed) == len(own) > 2
    surest = {(row.seed, row.recording): round(100 * row.p_tired, 1) for row in own.itertuples()}
    shown = zip(listed["Seed"], listed["Recording"], listed["tired (%)"], strict=True)
    assert {(seed, recording): p for seed, recording, p in shown} == pytest.approx(surest)
    assert list(listed["tired (%)"]) == sorted(listed["tired (%)"], reverse=True)
    assert set(listed["True label"]) == {"hungry"}
    assert set(listed["Predicted label"]) == {"tired"}
    for row in listed.itertuples():
        folds = set(table.loc[table["recording"] == row.Recording, "fold"])
        assert row.Fold == ", ".join(map(str, sorted(folds)))
        assert len(folds) == 2


def test_each_cell_with_recordings_can_be_chosen(found):
    matrices = [exhibit.data for exhibit in CONFUSION.exhibits(found, BABY)[:2]]
    counts = {
        json.dumps([system, LABELS[true], LABELS[answer]]): count
        for system in (ONE, OTHER)
        for (true, answer), count in np.ndenumerate(expected(found.of(*BABY)[system]))
    }
    options = {value: title for title, value in cell_options(matrices)}
    assert set(options) == {value for value, count in counts.items() if count}
    value = json.dumps([ONE, "hungry", "tired"])
    assert options[value] == f"hungry → tired: {counts[value]} (Improved ECAPA-TDNN)"
