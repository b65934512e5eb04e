"""What the runs of a results folder cost, as a table; from their ``run.json`` alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from math import fsum
from pathlib import Path
from statistics import median
from typing import Any

from train import results
from train.corpus import DataError

WORDS = ("dataset", "protocol", "system", "seeds", "device", "precision")  # are not numbers
PRECISIONS = {"no": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Row:
    """One system on one corpus under one protocol; None where there is no such number.

    Attributes:
        dataset, protocol, system: which.
        seeds: that were asked for and are whole.
        folds: of each seed.
        epochs: of each fit.
        draws: pieces in an epoch; 0 for as many as there are recordings.
        device: that it was fitted on last; several where seeds were joined.
        precision: of the model.
        jobs: fits that shared the device.
        resumed: folds whose fit went on from a kept state. What they cost in all is not known, so
            they are in no median, and no sum is given.
        seconds_per_fold: median, with the test.
        pieces_per_second: median over the folds.
        joules: of all fits, each with an even share of its device.
        gpu_seconds: of all folds on all GPUs, each with an even share of its own.
        total_seconds: of all folds.
        parameters: of the system.
    """

    dataset: str
    protocol: str
    system: str
    seeds: str | None
    folds: int
    epochs: int
    draws: int
    device: str | None
    precision: str | None
    jobs: int | None
    resumed: int
    seconds_per_fold: float | None
    pieces_per_second: float | None
    joules: float | None
    gpu_seconds: float | None
    total_seconds: float | None
    parameters: int | None


def read_costs(folder: Path) -> tuple[list[Row], list[str]]:
    """A row for every ``run.json`` below ``folder``, by the paths; a sentence for a damaged one.

    Raises:
        DataError: if there is none.
    """
    paths = sorted(folder.rglob(results.RUN))
    if not paths:
        raise DataError(
            f"There is no {results.RUN} below '{folder}'; name the folder of results that 'fit' "
            "or 'grid' wrote, OUT/results."
        )
    rows, problems = [], []
    for path in paths:
        try:
            with results.trusting(path):
                record = results.read_run(path.parent) or {}
                if "checked" not in record:  # answers of several fits, no fit of its own
                    rows.append(row_of(path.resolve(), record))
        except DataError as error:
            problems.append(str(error))
    return rows, problems


def row_of(path: Path, record: dict[str, Any]) -> Row:
    """The costs in one record.

    Args:
        path: of the file; its folders name the protocol, where other checks on the same folds
            stand beside it.
        record: what is in it.
    """
    asked, where = record["configuration"], record.get("environment", {})
    wall, costs = record.get("wall_seconds", {}), record.get("cost", {})
    resumed = [name for name, cost in costs.items() if cost["resumed"]]
    jobs = {name: costs[name]["jobs"] if name in costs else 1 for name in wall}
    whole = {} if resumed else wall
    first = {"environment": where, "precision": asked.get("precision")}
    parts = [first, *record.get("joined", [])]
    cuda = all(part["environment"].get("device") == "cuda" for part in parts)
    return Row(
        dataset=asked["dataset"],
        protocol=f"{asked['protocol']}, shuffled" if "shuffled" in asked else path.parents[1].name,
        system=asked["system"],
        seeds=" ".join(map(str, record["seeds"])) if "seeds" in record else None,
        folds=asked["folds"],
        epochs=asked["preset"]["epochs"],
        draws=asked["preset"].get("draws", 0),  # older than this field
        device=each(part["environment"].get("device_name") for part in parts),
        precision=each(PRECISIONS.get(part.get("precision")) for part in parts),
        jobs=max((cost["jobs"] for cost in costs.values()), default=None),
        resumed=len(resumed),
        seconds_per_fold=middle(s for name, s in wall.items() if name not in resumed),
        pieces_per_second=middle(cost["pieces_per_second"] for cost in costs.values()),
        joules=total(energy(costs.get(name)) for name in whole),
        gpu_seconds=total(
            seconds * where["processes"] / jobs[name] if cuda else None
            for name, seconds in whole.items()
        ),
        total_seconds=total(whole.values()),
        parameters=record.get("parameters"),
    )


def energy(cost: dict[str, Any] | None) -> float | None:
    """A fit's even share of what its device took, joules; None if nobody knows."""
    if cost is None or cost["fit_joules"] is None:
        return None
    return cost["fit_joules"] / cost["jobs"]


def each(words: Iterable[str | None]) -> str | None:
    """Each once, in their order; None if there is none."""
    return ", ".join(dict.fromkeys(filter(None, words))) or None


def middle(values: Iterable[float | None]) -> float | None:
    """The median of those that are known."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def total(values: Iterable[float | None]) -> float | None:
    """The sum; None if there is nothing, or one is not known."""
    every = list(values)
    return None if not every or None in every else fsum(every)


def markdown(rows: Sequence[Row]) -> str:
    """The table for people; a field without a number is empty."""
    names = [field.name for field in fields(Row)]
    marks = ["---" if name in WORDS else "---:" for name in names]
    lines = [[name.replace("_", " ") for name in names], marks]
    lines += [[readable(value) for value in astuple(row)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_csv(rows: Sequence[Row]) -> str:
    """The same with every digit."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(field.name for field in fields(Row))
    table.writerows(astuple(row) for row in rows)  # None is an empty field there
    return text.getvalue()


def readable(value: float | str | None) -> str:
    """With one decimal, or as it is."""
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
