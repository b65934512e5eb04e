"""Which recordings the systems of a cell answer wrongly, and which of them all do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.measured_run import MeasuredRun
from analysis.pairing import ComparisonError
from analysis.run_tables import probability_columns

KEYS = ["recording", "group", "label"]


def verdicts(runs: Mapping[str, MeasuredRun]) -> pd.DataFrame:
    """What each system answers to each recording, by the mean of its probabilities over seeds.

    Args:
        runs: system -> its run, all of one cell.

    Returns:
        Columns recording, group, label, system, answer, confidence, true_probability, loss and
        wrong, as :func:`analysis.judged.judged` has them.

    Raises:
        ResultsError: if the predictions of a run cannot be read.
    """
    judged = ["answer", "confidence", "true_probability", "loss", "wrong"]
    parts = [run.judged_over_seeds[[*KEYS, *judged]].assign(system=s) for s, run in runs.items()]
    return pd.concat(parts, ignore_index=True)


def errors(table: pd.DataFrame, system: str | None) -> pd.DataFrame:
    """The recordings that a system answers wrongly, the most confident first.

    Args:
        table: of :func:`verdicts`.
        system: whose errors; None for those of any, each recording with the system that is the
            most confident of a wrong answer to it.

    Returns:
        Columns of ``table`` and ``wrong_systems`` and ``systems`` (how many of how many are
        wrong on the recording) and ``others`` (what the other systems answer, "tired ×2, hungry").
    """
    wrong = table[table["wrong"]]
    if system is not None:
        wrong = wrong[wrong["system"] == system]
    wrong = wrong.sort_values("confidence", ascending=False, kind="stable")
    wrong = wrong.drop_duplicates("recording").drop(columns="wrong")
    count = table.groupby("recording")["wrong"].agg(["sum", "size"])
    said: dict[str, dict[str, int]] = {}
    for (recording, answer), number in table.groupby(["recording", "answer"]).size().items():
        said.setdefault(recording, {})[answer] = number
    others = [
        _others(said[recording], answer)
        for recording, answer in zip(wrong["recording"], wrong["answer"], strict=True)
    ]
    return wrong.assign(
        wrong_systems=wrong["recording"].map(count["sum"]).astype(int),
        systems=wrong["recording"].map(count["size"]).astype(int),
        others=pd.Series(others, index=wrong.index, dtype=object),
    ).reset_index(drop=True)


def suspects(runs: Mapping[str, MeasuredRun]) -> pd.DataFrame:
    """Recordings whose label every system contradicts: wrong in all seeds, at a high loss.

    High is a mean log loss, over the seeds of each system and then over the systems, above that
    of guessing, which is the logarithm of the number of classes.

    Args:
        runs: system -> its run, all of one cell.

    Returns:
        Columns recording, group, label, ``suggested`` (what most systems answer; of equally many,
        what is more probable in the mean), ``votes`` (how many), ``systems``,
        ``true_probability`` and ``loss`` (means), the highest loss first.

    Raises:
        ResultsError: if the predictions of a run cannot be read.
        ComparisonError: if the runs have not the same labels.
    """
    if len({run.labels for run in runs.values()}) > 1:
        raise ComparisonError("The systems here have not the same labels; fit them all again.")
    means = [_over_seeds(run) for run in runs.values()]
    first = next(iter(runs.values()))
    by_all = sorted(set.intersection(*(set(own.index[own["wrong"] == 1]) for own in means)))
    values = np.mean([own.loc[by_all, ["true_probability", "loss"]] for own in means], axis=0)
    suggested, votes = _suggested(runs, by_all)
    table = first.judged_over_seeds[KEYS].set_index("recording").loc[by_all].reset_index()
    table = table.assign(suggested=suggested, votes=votes, systems=len(runs))
    table = table.assign(true_probability=values[:, 0], loss=values[:, 1])
    table = table[table["loss"] > log(len(first.labels))]
    return table.sort_values("loss", ascending=False, kind="stable").reset_index(drop=True)


def _over_seeds(run: MeasuredRun) -> pd.DataFrame:
    """Recording -> the means of what each seed makes of it."""
    table = run.judged.set_index("recording")[["true_probability", "loss", "wrong"]]
    return table if len(run.seeds) == 1 else table.groupby(level=0).mean()


def _suggested(
    runs: Mapping[str, MeasuredRun], recordings: Sequence[str]
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """For each recording the label that most systems answer, and how many of them."""
    labels = next(iter(runs.values())).labels
    columns = probability_columns(labels)
    tables = [run.judged_over_seeds.set_index("recording") for run in runs.values()]
    p = np.stack([table.loc[list(recordings), columns].to_numpy() for table in tables])
    votes = np.eye(len(labels), dtype=np.int64)[p.argmax(2)].sum(0)
    best = (votes + p.mean(0) / 2).argmax(1)  # the half keeps it below a vote
    return np.array(labels, dtype=object)[best], votes[np.arange(len(best)), best]


def _others(said: Mapping[str, int], own: str) -> str:
    """Answers with how many systems give them, without the one that gives ``own``."""
    rest = {answer: number - (answer == own) for answer, number in said.items()}
    ranked = sorted((answer for answer in rest if rest[answer]), key=lambda answer: -rest[answer])
    return ", ".join(
        answer if rest[answer] == 1 else f"{answer} ×{rest[answer]}" for answer in ranked
    )
