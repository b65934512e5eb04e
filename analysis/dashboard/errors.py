"""Recordings that are answered wrongly, to listen to: the most confident errors, and the labels
that every system contradicts."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from analysis.dashboard.error_tables import errors, suspects, verdicts
from analysis.dashboard.error_words import (
    MOST,
    errors_note,
    errors_title,
    suspects_note,
    suspects_title,
)
from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.panel import CellKey, Option, Panel, Selector, cells_with
from analysis.dashboard.systems import system_title, systems_there
from analysis.runs import FoundRuns
from cry_model.records import group_name, words

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
