"""Show which labels are confused: confusion matrices side by side, and the recordings of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.figures.confusion import confusion_figure
from analysis.panels import base
from analysis.stats.paper import read_paper
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.networks.registry import list_models
from cry_model.records import counted, words

PAPERS, EVERY = "paper", "all"
SHARES, COUNTS = "shares", "counts"
UNITS = {SHARES: "% of true label", COUNTS: "recordings"}
CAPTION = (
    "Matrices: rows are true labels, columns predicted labels (the most probable label of each "
    "recording, from the mean over its segments). An empty cell is zero; a row without colour is a "
    "label without recordings. With several seeds each recording counts once per seed. "
    "List: the most confident first; probabilities in per cent."
)
PAPER = (
    "The paper prints three cells of its improved model, under a random 8:2 split (Figure 5): "
    "awake and hungry 12.15%, sleepy and diaper 0%, awake and uncomfortable 0%."
)


def confusion(
    found: FoundRuns,
    cell: base.CellKey,
    models: str,
    unit: str,
    zero_diagonal: bool,
    of: str,
    true: str,
    answer: str,
) -> tuple[base.Exhibit, ...]:
    """Draw the matrix of each model, then list the recordings in one cell of one matrix."""
    runs = list(_drawn(found, cell, models).values())
    labels, told = base.shown_classes(runs[0])
    exhibits = []
    matrices = [matrix_data(count_confusions(run), labels, unit, zero_diagonal) for run in runs]
    end = max(float(data["drawn"].max()) for data in matrices)
    for run, data in zip(runs, matrices, strict=True):
        figure = confusion_figure(data, UNITS[unit], end)
        cells = [[{"of": run.system, "true": t, "answer": a} for a in labels] for t in labels]
        exhibits.append(
            base.Exhibit(
                f"confusion-{cell.dataset}-{cell.protocol}-{run.system}-{unit}",
                base.system_title(run.system),
                pd.DataFrame({"system": run.system, **data.drop(columns="of")}),
                figure.update_traces(meta={"cell": cells}, selector={"type": "heatmap"}),
                note=_largest(data, len(run.with_errors), len(run.seeds)),
            )
        )
    listed = cell_list(found.of(*cell)[of], true, answer)
    paper = f" {PAPER}" if set(labels) == set(read_paper().labels) else ""
    return (
        *exhibits,
        base.Exhibit(
            f"recordings-{cell.dataset}-{cell.protocol}-{of}-{true}-as-{answer}",
            f"True {words(true)}, predicted {words(answer)}: {counted(len(listed), 'recording')}",
            listed,
            table=listed if len(listed) else None,
            note=f"{base.system_title(of)}.\n\n{told}{CAPTION}{paper}",
            plays=base.played(cell),
        ),
    )


def _drawn(found: FoundRuns, cell: base.CellKey, models: str) -> dict[str, MeasuredRun]:
    """Return the models of the paper's figures, or all; all if none of the former was measured."""
    runs, known = found.of(*cell), list_models()
    few = {name: runs[name] for name in base.COMPARED if name in runs}
    few |= {name: run for name, run in runs.items() if few and name not in known}  # from a visitor
    return few if few and models == PAPERS else few | runs


def cell_list(run: MeasuredRun, label: str, answer: str) -> pd.DataFrame:
    """Return a row per seed and recording of one cell, the most confident first, for a reader."""
    table = run.with_errors
    table = table[(table["label"] == label) & (table["answer"] == answer)]
    table = table.sort_values("confidence", ascending=False, kind="stable")
    columns = base.recording_columns(table, run.dataset)
    if len(run.seeds) > 1:
        columns["Seed"] = table["seed"]
    for name in base.shown_classes(run)[0]:
        columns[f"{words(name)} (%)"] = (100 * table[f"p_{name}"]).round(1)
    return pd.DataFrame(columns).reset_index(drop=True)


def count_confusions(run: MeasuredRun) -> pd.DataFrame:
    """Count how often each true label (rows) is predicted as each label (columns), over seeds."""
    counts = pd.crosstab(run.with_errors["label"], run.with_errors["answer"])
    return counts.reindex(index=run.labels, columns=run.labels, fill_value=0)


def row_shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts over those of the true label, 0 to 1; NaN if it does not occur."""
    return counts.div(counts.sum(axis=1), axis=0)


def matrix_data(
    counts: pd.DataFrame, labels: Sequence[str], unit: str, zero_diagonal: bool
) -> pd.DataFrame:
    """Return a row per cell, in row-major order: labels, count, count of the true label, share of
    it, drawn value (NaN if no recording has the true label); ``labels``: those to show."""
    of, shares = counts.sum(axis=1), row_shares(counts).loc[list(labels), list(labels)]
    counts = counts.loc[list(labels), list(labels)]
    drawn = np.array(counts if unit == COUNTS else 100 * shares, dtype=float)
    if zero_diagonal:
        np.fill_diagonal(drawn, 0)
    return pd.DataFrame(
        {
            "true": np.repeat(labels, len(labels)),
            "answer": np.tile(labels, len(labels)),
            "count": counts.to_numpy().ravel(),
            "of": np.repeat(of[list(labels)], len(labels)).to_numpy(),
            "share": shares.to_numpy().ravel(),
            "drawn": drawn.ravel(),
        }
    )


def _largest(data: pd.DataFrame, answers: int, seeds: int) -> str:
    """Name the largest off-diagonal cell; of ties, the one with the larger count."""
    wrong = data[data["true"] != data["answer"]]
    top = wrong.sort_values(["drawn", "count"], na_position="first").iloc[-1]
    return (
        f"Recordings: {answers // seeds}. Seeds: {seeds}. Largest confusion: "
        f"{words(top['true'])} classified as {words(top['answer'])}, {top['count']} of {top['of']} "
        f"({top['share']:.0%})."
    )


def _confused(place: int) -> Callable[[FoundRuns, base.CellKey], object]:
    """Return a function that finds the true (0) or predicted (1) label of the largest confusion."""

    def find(found: FoundRuns, cell: base.CellKey) -> object:
        run = next(iter(_drawn(found, cell, PAPERS).values()))
        counts = count_confusions(run).to_numpy(copy=True)
        np.fill_diagonal(counts, 0)
        return run.labels[divmod(int(counts.argmax()), len(counts))[place]]

    return find


CONFUSION = base.Panel(
    name="confusion",
    title="Figures 5-7",
    lead="Which labels are confused with which. Click a cell to list its recordings.",
    draw=confusion,
    cells=base.cells_with,
    abreast=3,
    selectors=(
        base.Selector(
            "models",
            "Models",
            lambda *_: (base.Option("the paper's", PAPERS), base.Option("all", EVERY)),
        ),
        base.Selector(
            "unit",
            "Show",
            lambda *_: (base.Option("shares", SHARES), base.Option("recordings", COUNTS)),
        ),
        base.Selector("zero_diagonal", "Hide the diagonal"),
        base.Selector("of", "Recordings of", base.systems_there),
        base.Selector("true", "True label", base.labels_there, first=_confused(0)),
        base.Selector("answer", "Predicted label", base.labels_there, first=_confused(1)),
    ),
)
