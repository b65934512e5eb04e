"""Seeds that were fitted apart, on two machines say, as one run.

They may differ in precision, and in the samples that two machines decode from the same files; in
nothing else. ``run.json`` stays the record of the run that is joined to, and says of the others
under ``joined``: ``seeds``, ``precision``, ``data`` (the fingerprint) and ``environment``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cry_model.records import Evaluation
from train import results
from train.attention_effect import EFFECT
from train.corpus import DataError
from train.fit import check_split, finish
from train.run import Run

MAY_DIFFER = ("precision", "data")
"""Of two configurations; all else decides what is measured."""


@dataclass(frozen=True)
class Part:
    """Seeds in a results folder.

    Attributes:
        folder: which.
        record: its ``run.json``.
        table: the predictions of the seeds that have all of their folds.
        rest: those of seeds that were cut off.
    """

    folder: Path
    record: Mapping[str, Any]
    table: pd.DataFrame
    rest: pd.DataFrame

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those with all of their folds."""
        return tuple(int(seed) for seed in sorted(self.table["seed"].unique()))


def read_part(folder: Path) -> Part:
    """The whole seeds of a results folder.

    Raises:
        DataError: if it has none, or is damaged.
    """
    record = results.read_run(folder)
    table = results.read_predictions(folder, None if record is None else record.get("labels"))
    if record is None or table.empty:
        raise DataError(f"There is no run in {folder}.")
    whole = results.whole_seeds(table, record["configuration"]["folds"])
    if whole.empty:
        raise DataError(f"No seed in {folder} has all of its folds; finish its fit first.")
    return Part(folder, record, whole, table.drop(whole.index))


def check_alike(own: Part, other: Part) -> None:
    """Refuses to join what measures two things.

    Raises:
        DataError: if anything but precision and decoding differs, or both have a seed.
    """
    first, second = (part.record["configuration"] for part in (own, other))
    names = sorted({*first, *second} - set(MAY_DIFFER))
    if differ := [name for name in names if first.get(name) != second.get(name)]:
        raise DataError(
            f"{other.folder} was fitted otherwise than {own.folder}: {', '.join(differ)} differ."
        )
    begun = {*own.seeds, *own.rest["seed"].tolist()}
    if both := sorted(begun & {*other.seeds}):
        raise DataError(
            f"{own.folder} and {other.folder} both have seed {', '.join(map(str, both))}; "
            "join seeds that only one of them has."
        )


def join(run: Run, own: Part, other: Part) -> Evaluation:
    """Adds the seeds of ``other`` to ``own`` and scores all of them again.

    What attention does (``attention_effect.json``) comes along if ``own`` has none; it says itself
    which seeds it is of.

    Args:
        run: that both are of, with the recordings that are here.
        own: in the results folder of the run, which is replaced.
        other: in another one, which stays as it is.

    Raises:
        DataError: if they are not of the same run, recordings and folds; nothing is changed then.
    """
    check_alike(own, other)
    for part in (own, other):
        check_split(run, part.folder, part.table)
        if {*part.table["recording"]} != {item.recording for item in run.units.items}:
            raise DataError(f"{part.folder} was made from other recordings.")
    asked, earlier = other.record["configuration"], other.record.get("joined", [])
    elsewhere = {seed for part in earlier for seed in part["seeds"]}
    came = {
        "seeds": [seed for seed in other.seeds if seed not in elsewhere],
        **{key: asked[key] for key in MAY_DIFFER},
        "environment": other.record.get("environment", {}),
    }
    record = {
        **own.record,
        **{key: {**own.record.get(key, {}), **costs_of(other, key)} for key in COSTS},
        "joined": [*own.record.get("joined", []), came, *earlier],
    }
    table = pd.concat([own.table, other.table, own.rest], ignore_index=True)
    results.write_predictions(run.results_folder, results.ordered(table, run.labels))
    if (other.folder / EFFECT).exists() and not (own.folder / EFFECT).exists():
        shutil.copy2(other.folder / EFFECT, own.folder / EFFECT)
    return finish(run, record)


COSTS = ("wall_seconds", "cost")


def costs_of(part: Part, key: str) -> Mapping[str, Any]:
    """What the folds of its whole seeds cost."""
    whole = tuple(f"seed {seed}, " for seed in part.seeds)
    every = part.record.get(key, {})
    return {name: cost for name, cost in every.items() if name.startswith(whole)}
