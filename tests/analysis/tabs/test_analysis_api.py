"""The Analysis tab for programs."""

import json

import pandas as pd
import pytest

from analysis.panels.base import CellKey, Exhibit, Option, Panel, Selector, cells_with
from analysis.stats.runs import ResultsError, find_runs
from analysis.tabs.analysis import exhibits_of
from tests.analysis.synthetic_runs import write_run

CELL = CellKey("donateacry", "baby")


def draw(found, cell, metric):
    data = pd.DataFrame({"metric": [metric, "none"], "value": [0.5, float("nan")]})
    return (Exhibit("synthetic", "A finding", data, note="A note."),)


PANEL = Panel(
    "made",
    "Made up",
    "For tests.",
    draw,
    cells_with,
    selectors=(Selector("metric", "Metric", lambda *_: [Option(m, m) for m in ("f1", "auc")]),),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_run(root, "ecapa-tdnn")
    return find_runs(root)


def test_the_data_of_a_panel_is_json(found):
    told = exhibits_of(found, [PANEL], "made", CELL, {"metric": "auc"})
    assert json.loads(json.dumps(told, allow_nan=False)) == [
        {
            "name": "synthetic",
            "title": "A finding",
            "note": "A note.",
            "rows": [{"metric": "auc", "value": 0.5}, {"metric": "none", "value": None}],
        }
    ]
    (first,) = exhibits_of(found, [PANEL], "made", CELL, None)
    assert first["rows"][0]["metric"] == "f1"


@pytest.mark.parametrize(
    ("name", "cell", "choices", "sentence"),
    [
        ("other", CELL, {}, "There is no panel 'other'; take one of made."),
        ("made", CellKey("esc10", "clip"), {}, "nothing for esc10/clip; it has donateacry/baby."),
        ("made", CELL, {"seed": 1}, "has no choice seed, but metric."),
        ("made", CELL, {"metric": "loudness"}, "has no metric 'loudness'; take one of f1, auc."),
    ],
)
def test_what_is_not_there_is_one_sentence(found, name, cell, choices, sentence):
    with pytest.raises(ResultsError, match=sentence):
        exhibits_of(found, [PANEL], name, cell, choices)
