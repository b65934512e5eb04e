"""Read anyone's table of predictions as a run, and place it beside runs on the same recordings.

Each row is a clip, with the probability of each label (``clip, label, p_<label>...``), or with
its label and the predicted one (``y_true, y_pred``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.comparison import ComparisonError, pair
from analysis.stats.runs import OWN, FoundRuns, MeasuredRun, ResultsError, join_runs
from analysis.stats.table_file import (
    MOST_PARTS,
    ROUNDING,
    WHOLE,
    clean,
    quoted,
    read_table,
    refuse,
    require_few,
)
from cry_model.networks.registry import get_system, list_models
from cry_model.records import DATASETS, dataset_title
from cry_model.results import ordered, probability_columns, recording_means, score

ROW = "row "  # precedes its number, as the name of a recording that the file does not name


def read_own_results(path: Path, name: str) -> MeasuredRun:
    """Read a table of predictions that somebody made with a model of their own.

    Raise ResultsError if it is no such table; one sentence says what is wrong, and where. ``path``:
    a CSV file in UTF-8, separated by commas, semicolons or tabs. Optional columns are ``clip``,
    ``recording`` (default: each clip), ``group`` (default: each recording), ``fold`` and ``seed``
    (default: 0); others are ignored. ``name``: of the model, and of the dataset, until
    :func:`place` finds its recordings.
    """
    table, known = read_table(path)
    table, labels = _predictions(table, known)
    called = re.sub(r"[^\w.-]+", "-", clean(name)).strip("-.")[:40] or "your-model"
    ours = {n.casefold() for m in list_models() for n in (m, get_system(m).title.replace(" ", "-"))}
    system = f"{called}-own" if called.casefold() in ours else called
    dataset = f"{called}-own" if called in DATASETS else called
    return _measured(table, labels, bool(known), dataset=dataset, protocol=OWN, system=system)


def place(run: MeasuredRun, found: FoundRuns) -> FoundRuns:
    """Place a run of :func:`read_own_results` beside those on the same recordings.

    It joins the strictest split whose runs were tested on exactly its recordings, with the same
    labels and, if it has several folds, the same folds. With one fold it takes over theirs; groups
    are always theirs. If no split fits, it becomes a dataset of its own; if it still shares
    recordings with one of ours, a sentence in ``problems`` says why.
    """
    why = ""
    for cell in reversed(found.readable.cells):
        other = next(iter(found.readable.of(*cell).values()))  # same recordings in all runs
        try:
            return join_runs(found, FoundRuns((_moved(run, other),), ()))
        except ComparisonError as error:
            if str(error) and not why:
                why = (
                    f"{run.system} has recordings of {dataset_title(other.dataset)} but is shown "
                    f"separately: {error}."
                )
    taken = {own.dataset for own in found.runs}
    own = replace(run, dataset=f"{run.dataset}-own") if run.dataset in taken else run
    return join_runs(found, FoundRuns((own,), (), (why,) if why else ()))


def _moved(run: MeasuredRun, other: MeasuredRun) -> MeasuredRun:
    """Return the run in another one's cell, with the groups there, and the folds if it has none;
    raise ComparisonError if they differ, without a reason if they share no recording."""
    names, known = (set(one.predictions["recording"]) for one in (run, other))
    if names != known:
        both = sum(not name.startswith(ROW) for name in names & known)
        few = f"{both} of its {len(names)} are among their {len(known)}"
        raise ComparisonError(few if both else "")
    if sorted(run.labels) != sorted(other.labels):
        raise ComparisonError("the classes differ")
    table = run.predictions
    if not set(run.seeds) & set(other.seeds):  # seeds that mean nothing outside the file
        numbers = dict(zip(run.seeds, range(len(run.seeds)), strict=True))
        table = table.assign(seed=table["seed"].map(numbers))
    theirs = other.predictions
    groups = theirs.drop_duplicates("recording").set_index("recording")["group"]
    table = table.assign(group=table["recording"].map(groups))
    if run.folds == 1 < other.folds:
        folds = theirs.drop_duplicates(["seed", "recording", "fold"])
        if folds.duplicated(["seed", "recording"]).any():
            raise ComparisonError("recordings are in several folds, and no column fold says which")
        # Seeds that the others lack get the folds of their first seed.
        seeds = table["seed"].where(table["seed"].isin(other.seeds), other.seeds[0])
        keys = pd.MultiIndex.from_arrays([seeds, table["recording"]])
        own = folds.set_index(["seed", "recording"])["fold"].reindex(keys)
        table = table.assign(fold=own.to_numpy())
    facts = {"dataset": other.dataset, "protocol": other.protocol, "system": run.system}
    moved = _measured(ordered(table, other.labels), other.labels, run.scored, **facts)
    try:
        pair(moved, other, draws=1)
    except ComparisonError:
        raise ComparisonError("their labels or folds differ") from None
    return moved


def _predictions(
    table: pd.DataFrame, labels: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the checked table with all columns of a ``predictions.csv``, and the labels."""
    if labels:
        values = table[probability_columns(labels)].to_numpy()
        _require_probabilities(values, labels)
        true = table["label"]
        refuse(
            ~true.isin(labels),
            lambda row: (
                f"the label {quoted(true[row])}, and there is no column {quoted(f'p_{true[row]}')}"
            ),
        )
    else:
        labels, values = _one_hot(table)
    if table["label"].nunique() < 2:
        only = quoted(table["label"].iloc[0])
        raise ResultsError(f"Every row has the label {only}; at least two labels are needed.")
    facts = {name: _whole(table, name) for name in WHOLE}
    clip = table.get("clip")
    recording = table.get("recording", clip)
    if recording is None:
        clip = recording = ROW + pd.Series(np.arange(2, len(table) + 2)).astype(str)
    group = table.get("group", recording)
    if clip is None:
        number = recording.groupby([facts["seed"], recording], sort=False).cumcount()
        clip = recording + "#" + number.astype(str)
    words = {"clip": clip, "recording": recording, "group": group, "label": table["label"]}
    facts_table = pd.DataFrame({**words, **facts})
    twice = facts_table.duplicated(["seed", "clip"])
    refuse(twice, lambda row: f"the clip {quoted(clip[row])} for the second time")
    for name in ("label", "group"):
        own = facts_table[name]
        first = own.groupby(recording, sort=False).transform("first")
        texts = [quoted(column[(own != first).argmax()]) for column in (recording, own, first)]
        another = "a recording, {}, with another {name} ({}) than before ({})"
        refuse(own != first, another.format(*texts, name=name))
    numbers = pd.DataFrame(values, columns=probability_columns(labels))
    return ordered(pd.concat([facts_table, numbers], axis=1), labels), labels


def _require_probabilities(values: NDArray[np.float64], labels: Sequence[str]) -> None:
    finite = np.isfinite(values)
    for wrong, what in ((~finite, "no finite number"), (values < 0, "a negative number")):
        row, at = divmod(int(wrong.argmax()), len(labels))
        refuse(
            wrong.any(1),
            f"{what} ({values[row, at]:g}) in the column {quoted('p_' + labels[at])}; give "
            "probabilities from 0 to 1 (softmax of logits)",
        )
    sums = values.sum(1)
    refuse(
        np.abs(sums - 1) > ROUNDING,
        lambda row: (
            f"probabilities that add up to {sums[row]:.4g}, not 1; give shares (1% is 0.01), "
            "not logits"
        ),
    )


def _one_hot(table: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the labels, and the predicted ones as one-hot probabilities."""
    true, predicted = set(table["label"].unique()), set(table["predicted"].unique())
    if not true & predicted:
        pairs = quoted(min(predicted)), quoted(min(true))
        raise ResultsError(
            f"No predicted label is among the true ones ({pairs[0]} against {pairs[1]}); write "
            "both the same way."
        )
    labels = sorted(true | predicted, key=lambda n: (float(n) if n.isdecimal() else inf, n))
    require_few(labels, len(table))
    return tuple(labels), np.eye(len(labels))[pd.Categorical(table["predicted"], labels).codes]


def _whole(table: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """Return folds or seeds, (n,); zeros if the file has none."""
    if name not in table:
        return np.zeros(len(table), dtype=np.int64)
    values = table[name].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0) & (values < 2**31) & (values % 1 == 0))
    refuse(wrong, lambda row: f"the {name} {values[row]:g}; it must be a whole number, 0 or more")
    if (number := len(np.unique(values))) > MOST_PARTS:
        raise ResultsError(
            f"The file has {number:,} {name}s; at most {MOST_PARTS} can be shown. Leave the column "
            f"{name} out if it is something else."
        )
    return values.astype(np.int64)


def _measured(
    table: pd.DataFrame, labels: tuple[str, ...], scored: bool, *, system: str, **cell: str
) -> MeasuredRun:
    """Return the run; ``cell``: its dataset and protocol."""
    facts: dict[str, Any] = {**cell, "folds": table["fold"].nunique()}
    return MeasuredRun(
        **facts,
        system=system,
        labels=labels,
        seeds=tuple(map(int, sorted(table["seed"].unique()))),
        evaluation=score(recording_means(table, labels), labels, **facts),
        scored=scored,
        table=table,
    )
