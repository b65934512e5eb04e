"""The recordings of one cell of a confusion matrix."""

from __future__ import annotations

import pandas as pd

from analysis.dashboard.systems import system_title
from analysis.measured_run import MeasuredRun
from analysis.run_tables import probability_columns
from cry_model.records import group_name, words

MOST = 200  # rows; nobody listens to more


def cell_list(run: MeasuredRun, label: str, answer: str) -> pd.DataFrame:
    """Recordings of a true label that were answered alike, the surest first; titles for a reader.

    Returns:
        Recording, its group, the folds in which its pieces were tested, seed, true label, answer
        and the probability of each label in per cent; a row per seed and recording.

    Raises:
        ResultsError: if the predictions of the run cannot be read.
    """
    table = run.judged
    table = table[(table["label"] == label) & (table["answer"] == answer)]
    table = table.sort_values("confidence", ascending=False, kind="stable")
    shares = (100 * table[probability_columns(run.labels)]).round(1)
    shown = pd.DataFrame(
        {
            "Recording": table["recording"],
            group_name(run.dataset).capitalize(): table["group"],
            "Fold": _folds(run, table),
            "Seed": table["seed"],
            "True label": table["label"].map(words),
            "Answer": table["answer"].map(words),
        }
    )
    shown[[f"{words(name)} (%)" for name in run.labels]] = shares
    return shown.reset_index(drop=True)


def list_title(run: MeasuredRun, label: str, answer: str, count: int) -> str:
    """What is listed, as a heading."""
    what = f"{words(label)} answered rightly"
    if label != answer:
        what = f"{words(label)} taken for {words(answer)}"
    seeds = f" over {len(run.seeds)} seeds" if len(run.seeds) > 1 else ""
    only = f", the {MOST} surest of them" if count > MOST else ""
    return f"{system_title(run.system)}, {what}: {count} of its recordings{seeds}{only}"


def _folds(run: MeasuredRun, table: pd.DataFrame) -> pd.Series:
    """Of each row, in which folds its pieces were tested, as "0" or "0, 3"."""
    pieces = run.predictions[run.predictions["recording"].isin(table["recording"])]
    folds = pieces.groupby(["seed", "recording"])["fold"].agg(
        lambda own: ", ".join(map(str, sorted(set(own))))
    )
    keys = pd.MultiIndex.from_frame(table[["seed", "recording"]])
    return pd.Series(folds.reindex(keys).to_numpy(), index=table.index)
