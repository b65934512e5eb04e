"""A visitor's own table: beside ours, for the visit alone, and what is wrong with it in words."""

import gc
import weakref

import pandas as pd
import pytest

from analysis.panels import PANELS
from analysis.panels.html import view_html, view_of
from analysis.stats.runs import ResultsError, find_runs
from analysis.tabs.analysis import FULL, MOST_TABLES, add_results, your_results_html
from tests.analysis.synthetic_runs import write_run

ONE = "improved-ecapa-tdnn"


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_run(root, ONE)
    write_run(root, "ecapa-tdnn", 0.5)
    return find_runs(root).readable


@pytest.fixture
def same(tmp_path):
    """The predictions of another model on the same recordings."""
    table = pd.read_csv(write_run(tmp_path, "resnet18", 3.0) / "predictions.csv")
    table.to_csv(tmp_path / "upload.csv", index=False)
    return tmp_path / "upload.csv"


@pytest.fixture
def others(tmp_path):
    rows = [("dog", "dog"), ("dog", "<b>cat</b>"), ("<b>cat</b>", "dog")] * 5
    pd.DataFrame(rows, columns=["y_true", "y_pred"]).to_csv(tmp_path / "o.csv", index=False)
    return tmp_path / "o.csv"


def test_on_the_same_recordings_it_stands_beside_ours(ours, same):
    joined = add_results(ours, str(same), "my cnn.csv")
    html = your_results_html(ours, joined, PANELS)
    for view in ("systems", "confusion", "per-class", "calibration", "errors", "compare"):
        assert f"view={view}&amp;corpus=donateacry&amp;split=baby&amp;" in html
    compare = next(panel for panel in PANELS if panel.name == "compare")
    view = view_of(compare, joined, {"run_a": "my-cnn", "run_b": ONE})
    assert view.exhibits[0].title == "Difference of A (my-cnn) and B (Improved ECAPA-TDNN)"
    assert ours.of("donateacry", "baby").keys() == {ONE, "ecapa-tdnn"}  # as they were


def test_labels_alone_have_the_views_that_need_no_probabilities(ours, others):
    joined = add_results(ours, str(others), "animals.csv")
    html = your_results_html(ours, joined, PANELS)
    own = {panel.name for panel in PANELS if f"view={panel.name}&amp;corpus=animals" in html}
    assert own == {"systems", "confusion", "per-class", "errors"}
    errors = next(panel for panel in PANELS if panel.name == "errors")
    drawn = view_html(view_of(errors, joined, {"corpus": "animals", "split": "own"}))
    assert 'class="play-row"' not in drawn  # there is no sound


def test_what_was_shown_does_not_outlive_the_visit(ours, same):
    joined = add_results(ours, str(same), "my-cnn.csv")
    for panel in PANELS:
        for dataset, split in panel.cells(joined):
            view_of(panel, joined, {"corpus": dataset, "split": split, "system": "my-cnn"})
    (run,) = (weakref.ref(run) for run in joined.runs if run.table is not None)
    del joined
    gc.collect()
    assert run() is None


def test_what_is_wrong_is_a_sentence_and_nothing_is_lost(ours, others, tmp_path):
    joined = add_results(ours, str(others), "animals.csv")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="no column of true labels") as refused:
        add_results(joined, str(tmp_path / "bad.csv"), "bad.csv")
    html = your_results_html(ours, joined, PANELS, str(refused.value))
    assert "no column of true labels" in html
    assert "<h3>animals</h3>" in html
    for number in range(MOST_TABLES - 1):
        joined = add_results(joined, str(others), f"animals {number}.csv")
    with pytest.raises(ResultsError, match=FULL):
        add_results(joined, str(others), "more.csv")
