"""Recordings that are answered wrongly, to listen to: the most confident errors, and the labels
that every system contradicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.panels.base import (
    CellKey,
    Exhibit,
    Option,
    Panel,
    Selector,
    cells_with,
    system_title,
    systems_there,
)
from analysis.panels.error_words import (
    MOST,
    errors_note,
    errors_title,
    suspects_note,
    suspects_title,
)
from analysis.stats.paired import ComparisonError
from analysis.stats.recordings import probability_columns
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import group_name, words

KEYS = ["recording", "group", "label"]


def verdicts(runs: Mapping[str, MeasuredRun]) -> pd.DataFrame:
    """What each system answers to each recording, by the mean of its probabilities over seeds.

    Args:
        runs: system -> its run, all of one cell.

    Returns:
        Columns recording, group, label, system, answer, confidence, true_probability, loss and
        wrong, as :func:`analysis.stats.recordings.judged` has them.

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


ALL = "all"
GROUPS = 12  # to choose from


def errors_to_listen_to(
    found: FoundRuns, cell: CellKey, system: str, label: str, group: str
) -> tuple[Exhibit, ...]:
    """The most confident errors; and where there are several systems, the label suspects."""
    runs = found.of(*cell)
    first = next(iter(runs.values()))
    table = _chosen(verdicts(runs), label, group)
    whose = None if system == ALL else system
    wrong = errors(table, whose)
    seeds = max(len(run.seeds) for run in runs.values())
    note = errors_note(wrong, whose, len(first.labels), seeds)
    if len(runs) == 1:
        note += " Which labels every system contradicts is not shown: only one was run here."
    name = f"errors-{cell.dataset}-{cell.protocol}-{system}"
    shown = _error_table(wrong[:MOST], cell.dataset, whose is None, len(runs) > 1)
    exhibits = [Exhibit(name, errors_title(table, wrong, whose), wrong, table=shown, note=note)]
    if len(runs) > 1 and not table.empty:
        found_suspects = _chosen(suspects(runs), label, group)
        guessing = not any(run.evaluation.better_than_chance for run in runs.values())
        exhibits.append(
            Exhibit(
                f"suspects-{cell.dataset}-{cell.protocol}",
                suspects_title(len(found_suspects), table["recording"].nunique()),
                found_suspects,
                table=_suspect_table(found_suspects[:MOST], cell.dataset),
                note=suspects_note(len(runs), len(first.labels), guessing, len(found_suspects)),
            )
        )
    return tuple(exhibits)


def _chosen(table: pd.DataFrame, label: str, group: str) -> pd.DataFrame:
    if label != ALL:
        table = table[table["label"] == label]
    if group != ALL:
        table = table[table["group"] == group]
    return table


def _error_table(
    wrong: pd.DataFrame, dataset: str, any_system: bool, several: bool
) -> pd.DataFrame | None:
    """The rows as a reader sees them; None if there are none."""
    if wrong.empty:
        return None
    shown = _recordings(wrong, dataset)
    shown["Answer"] = wrong["answer"].map(words)
    shown["Confidence (%)"] = (100 * wrong["confidence"]).round(1)
    shown["True label (%)"] = (100 * wrong["true_probability"]).round(1)
    shown["Log loss"] = wrong["loss"].round(2)
    if any_system and several:
        shown["System"] = wrong["system"].map(system_title)
    if several:
        shown["Systems wrong"] = [
            f"{n} of {of}" for n, of in zip(wrong["wrong_systems"], wrong["systems"], strict=True)
        ]
        shown["Other systems"] = wrong["others"].map(words)
    return shown


def _suspect_table(found: pd.DataFrame, dataset: str) -> pd.DataFrame | None:
    if found.empty:
        return None
    shown = _recordings(found, dataset)
    shown["Most systems say"] = found["suggested"].map(words)
    shown["Agreeing"] = [
        f"{n} of {of}" for n, of in zip(found["votes"], found["systems"], strict=True)
    ]
    shown["True label (%)"] = (100 * found["true_probability"]).round(1)
    shown["Mean log loss"] = found["loss"].round(2)
    return shown


def _recordings(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The columns that every list begins with."""
    return pd.DataFrame(
        {
            "Recording": table["recording"],
            group_name(dataset).capitalize(): table["group"],
            "True label": table["label"].map(words),
        }
    )


def _systems(found: FoundRuns, cell: CellKey) -> list[Option]:
    there = list(systems_there(found, cell))
    return [Option("All systems", ALL), *there] if len(there) > 1 else there


def _labels(found: FoundRuns, cell: CellKey) -> list[Option]:
    runs = list(found.of(*cell).values())[:1]
    return [Option("All", ALL), *(Option(words(n), n) for run in runs for n in run.labels)]


def _groups(found: FoundRuns, cell: CellKey) -> list[Option]:
    """All, and those with the most wrong answers of any system."""
    count: Counter[str] = Counter()
    for run in found.of(*cell).values():
        table = run.judged_over_seeds
        count.update(table["group"].to_numpy()[table["wrong"].to_numpy()])
    ranked = sorted(count.items(), key=lambda item: (-item[1], item[0]))[:GROUPS]
    return [
        Option("All", ALL),
        *(Option(f"{_short(name)} ({n} wrong answers)", name) for name, n in ranked),
    ]


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:8]}…"


ERRORS = Panel(
    name="errors",
    title="Errors",
    lead="Errors to listen to: the recordings that are most confidently mistaken, and those whose "
    "label every system contradicts. Choose one to hear it.",
    grids=True,
    draw=errors_to_listen_to,
    cells=cells_with,
    places=2,
    selectors=(
        Selector("system", "System", _systems),
        Selector("label", "True label", _labels),
        Selector("group", "Baby or source", _groups),
    ),
)
