"""What every panel does: with nothing to show, with damaged files, with runs that do not fit."""

import pandas as pd
import pytest

from analysis.panels import PANELS
from analysis.panels.base import CellKey
from analysis.stats.comparison import ComparisonError
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.runs import NO_RUNS, RESULTS, ResultsError, find_runs
from tests.analysis.synthetic_runs import write_run

FOUND = find_runs(RESULTS)
BABY = CellKey("donateacry", "baby")
READING = [p for p in PANELS if p.name != "systems"]  # which shows what run.json has
PAIRING = [p for p in PANELS if p.name in ("compare", "leakage")]


def named(panels):
    return pytest.mark.parametrize("panel", panels, ids=lambda panel: panel.name)


@named(PANELS)
def test_every_committed_cell_is_drawn(panel):
    assert panel.cells(NO_RUNS) == ()
    cells = panel.cells(FOUND)
    assert cells
    for cell in cells:
        exhibits = panel.exhibits(FOUND, cell)
        assert exhibits is panel.exhibits(FOUND, cell, panel.settle(FOUND, cell))  # kept
        for exhibit in exhibits:
            assert exhibit.figure is not None or exhibit.table is not None
            assert exhibit.csv.count("\n") == len(exhibit.data) + 1
            assert len(exhibit.csv) < 300_000
            assert exhibit.note


@named(READING)
def test_damaged_predictions_are_named(panel, tmp_path):
    for protocol in ("clip", "baby"):
        write_run(tmp_path, NO_MCA, protocol=protocol)
        folder = write_run(tmp_path, FULL, protocol=protocol)
    (folder / "predictions.csv").write_text("nothing that can be read\n")
    with pytest.raises(ResultsError, match="has no column"):
        panel.exhibits(find_runs(tmp_path), BABY)


@named(PAIRING)
def test_runs_on_other_recordings_are_not_compared(panel, tmp_path):
    write_run(tmp_path, FULL)
    other = {"system": FULL, "protocol": "clip"} if panel.name == "leakage" else {"system": NO_MCA}
    path = write_run(tmp_path, **other) / "predictions.csv"
    table = pd.read_csv(path, dtype={"group": str})
    table.assign(recording=table["recording"].replace("r007", "x007")).to_csv(path, index=False)
    with pytest.raises(ComparisonError, match="not tested on the same recordings"):
        panel.exhibits(find_runs(tmp_path), panel.cells(find_runs(tmp_path))[0])
