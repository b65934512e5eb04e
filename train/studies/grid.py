"""Many fits as a list of cells: their order, which of them are done, what became of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cry_model.metrics import balanced_accuracy
from cry_model.results import RUN, label_numbers, probabilities_of, recording_means
from train.data.corpus import DataError, Item
from train.data.splits import split
from train.scoring import results

Place = tuple[str, str, str]
"""Dataset, protocol and system, which share a results folder."""


@dataclass(frozen=True)
class Cell:
    """All folds of a system under one seed."""

    dataset: str
    protocol: str
    system: str
    seed: int

    @property
    def place(self) -> Place:
        """What two cells that run at once must not have in common."""
        return self.dataset, self.protocol, self.system

    def __str__(self) -> str:
        return f"{self.dataset}, {self.protocol}, {self.system}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    cell: Cell  # which
    # "fitted", "there" (before), "busy" (another command is at it), or "failed"
    state: Literal["fitted", "there", "busy", "failed"]
    seconds: float = 0.0  # that it took
    # balanced accuracy of the seed's recordings; None if it was not measured
    score: float | None = None
    sentence: str = ""  # why it failed

    def __str__(self) -> str:
        found = "not measured" if self.score is None else f"balanced accuracy {self.score:.3f}"
        how = {
            "fitted": f"{duration(self.seconds)}, {found}",
            "there": f"was there, {found}",
            "busy": "skipped, another command is fitting it",
            "failed": f"failed after {duration(self.seconds)}: {self.sentence}",
        }
        return f"{self.cell}: {how[self.state]}"


def cells(places: Iterable[Place], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """All places under the first seed, then under the next: early on, each has one number."""
    places = tuple(places)
    return tuple(Cell(*place, seed) for seed in seeds for place in places)


def alike(
    items: Sequence[Item], protocols: Sequence[str], folds: int, seeds: Sequence[int]
) -> Mapping[str, str]:
    """Protocol -> an earlier one that splits the items in the same way under every seed.

    ``clip`` splits parts of the items, so it is like no other. One that cannot split them at all is
    left to the fit, which says why.
    """
    found: dict[str, str] = {}
    known: dict[bytes, str] = {}
    for protocol in protocols:
        if protocol == "clip":
            continue
        try:
            tested = np.stack([split(items, protocol, folds, seed) for seed in seeds])
        except DataError:
            continue
        first = known.setdefault(tested.tobytes(), protocol)
        if first != protocol:
            found[protocol] = first
    return found


def state(folder: Path, seed: int, folds: int, configuration: Mapping[str, Any]) -> str:
    """Tell how far the results of a system have come under one seed: "done", "to do", "3 of 5
    folds", or "other settings" if the folder's run.json lacks what ``configuration`` says. Raise
    DataError if a file is damaged."""
    record, table = results.read_run(folder), results.read_predictions(folder)
    if table.empty or record is None:
        return "to do"
    asked = json.loads(json.dumps(configuration))  # tuples are lists there
    if any(record["configuration"].get(name) != value for name, value in asked.items()):
        return "other settings"
    there = table.loc[table["seed"] == seed, "fold"].nunique()
    if there == folds and seed in record.get("seeds", []):
        return "done"
    return f"{there} of {folds} folds" if there else "to do"


def score(folder: Path, seed: int) -> float:
    """Balanced accuracy of the recordings under one seed; raise DataError if the results are
    damaged."""
    record = results.read_run(folder)
    with results.trusting(folder / RUN):
        labels = record["labels"]
    table = results.read_predictions(folder, labels)
    rows = recording_means(table[table["seed"] == seed], labels)
    probabilities = probabilities_of(rows, labels)
    return balanced_accuracy(label_numbers(rows, labels), probabilities, np.ones(len(rows)))


def duration(seconds: float) -> str:
    """For people: "42 s", "3 min 20 s", "2 h 5 min"."""
    minutes, left = divmod(round(seconds), 60)
    if not minutes:
        return f"{left} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"
