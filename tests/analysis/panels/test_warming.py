"""Drawing ahead: everything once, whatever is wrong with some of it."""

import pandas as pd
import pytest

from analysis.panels.base import CellKey, Exhibit, Panel, cells_with
from analysis.panels.warming import Warming
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from tests.analysis.made_up_runs import write_run


@pytest.fixture
def found(tmp_path):
    write_run(tmp_path, "ecapa-tdnn", protocol="clip")
    write_run(tmp_path, "ecapa-tdnn", protocol="baby")
    return find_runs(tmp_path)


def panel(name, drawn, fails=False):
    def draw(found, cell):
        drawn.append((name, cell))
        if fails:
            raise ResultsError("It cannot be read.")
        return (Exhibit(name, "A finding", pd.DataFrame()),)

    return Panel(name, name.title(), "For tests.", draw, cells_with)


def test_every_panel_of_every_cell_is_drawn_once_and_the_first_cells_first(found):
    drawn = []
    one, two = panel("one", drawn, fails=True), panel("two", drawn)
    warming = Warming(found, [one, two])
    assert not warming.wait(0)
    warming.start()
    warming.start()
    assert warming.wait(60)
    first, second = CellKey("donateacry", "clip"), CellKey("donateacry", "baby")
    assert drawn == [("one", first), ("two", first), ("one", second), ("two", second)]
    shown = two.exhibits(found, second)
    assert len(drawn) == 4  # what was drawn is kept
    assert shown is two.exhibits(found, second)
    with pytest.raises(ResultsError, match="cannot be read"):
        one.exhibits(found, first)


def test_without_runs_there_is_nothing_to_draw(tmp_path):
    drawn = []
    warming = Warming(find_runs(tmp_path), [panel("one", drawn)])
    warming.start()
    assert warming.wait(60)
    assert drawn == []
