"""Find and read the measured runs of a results folder: ``<dataset>/<protocol>/<system>/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cry_model.declared import read
from cry_model.metrics import METRICS
from cry_model.networks.registry import list_models
from cry_model.records import Calibration, Evaluation, dataset_order, words
from cry_model.results import (
    PREDICTIONS,
    RUN,
    DamagedFileError,
    label_numbers,
    probabilities_of,
    read_predictions,
    read_record,
    recording_means,
)

RESULTS = Path(__file__).parents[2] / "assets" / "results"
PROTOCOLS = ("clip", "recording", "baby")
"""From the loosest split to the strictest."""
OWN = "own"
"""Protocol of somebody else's table; only its author knows how it was split."""
SPLITS = {
    "clip": "random segments",
    "recording": "new recordings",
    "baby": "unseen babies",
    OWN: "their own split",
}
"""Protocol -> its title for a reader."""
LEAST = 5e-7
"""Least probability in the log loss: half of the last digit in predictions.csv."""


class ResultsError(ValueError):
    """Report a missing, malformed or partial results folder; one sentence says what to do."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MeasuredRun:
    """Store one system under one protocol, scored on held-out recordings.

    Equal only to itself, so that its statistics can be cached.
    """

    folder: Path = Path()  # location of the files, if there are any
    dataset: str
    protocol: str
    system: str
    labels: tuple[str, ...]  # in the order of the columns ``p_<label>``
    seeds: tuple[int, ...]  # those with all of their folds
    folds: int  # their number
    parameters: float = nan  # of the system; NaN if unknown, like the next two
    multiply_adds: float = nan  # for five seconds of audio
    wall_seconds: float = nan  # of training and testing all folds of all seeds
    # of the system, where they differ from the registry
    settings: Mapping[str, Any] = field(default_factory=dict)
    # how it was trained, from ``run.json``: ``name``, ``epochs``, ``batch``
    preset: Mapping[str, Any] = field(default_factory=dict)
    # ``device``, ``precision``, versions; several if seeds from several machines were joined
    environments: tuple[Mapping[str, Any], ...] = ()
    evaluation: Evaluation  # metrics per recording, with their intervals over groups
    calibration: Calibration | None = None  # of temperature scaling and prediction sets
    # whether it has probabilities; otherwise the predicted label has 1 and all others 0
    scored: bool = True
    table: pd.DataFrame | None = None  # its predictions, if they are not in the folder

    def fitted_with(self, name: str) -> str:
        """Return the values of ``name`` in the environments, each once; empty if unknown."""
        known = [str(one[name]) for one in self.environments if name in one]
        return ", ".join(dict.fromkeys(known))

    @property
    def settings_text(self) -> str:
        """Return settings that differ from the registry: "deviations=True"; empty if none do."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Return a row per piece: clip, recording, group, fold, seed, label, ``p_<label>``; raise
        ResultsError if the file is missing, malformed, or lacks folds or recordings."""
        if self.table is not None:
            return self.table
        path = self.folder / PREDICTIONS
        table = _undamaged(read_predictions, path, self.labels)
        table = table[table["seed"].isin(self.seeds)].reset_index(drop=True)
        count = table.groupby("seed")[["fold", "recording"]].nunique().reindex(self.seeds)
        lacking = count.index[count["fold"] != self.folds]
        if len(lacking):
            raise ResultsError(
                f"{path} lacks some of the {self.folds} folds of seed {lacking[0]}; fit the run "
                "again."
            )
        if (count["recording"] != self.evaluation.recordings).any():
            raise ResultsError(
                f"{path} does not have the {self.evaluation.recordings} recordings of {RUN}; fit "
                "the run again, or copy its folder."
            )
        return table

    @cached_property
    def recordings(self) -> pd.DataFrame:
        """Return a row per seed and recording, sorted by them: the mean of its pieces."""
        return recording_means(self.predictions, self.labels)

    @cached_property
    def with_errors(self) -> pd.DataFrame:
        """Return :attr:`recordings` with the columns of :func:`with_errors`."""
        return with_errors(self.recordings, self.labels)

    @cached_property
    def judged_over_seeds(self) -> pd.DataFrame:
        """Return the same with one row per recording, its probabilities averaged over seeds."""
        means = recording_means(self.recordings, self.labels, by=())
        return with_errors(means, self.labels)


def with_errors(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Add columns ``answer`` (the most probable label, the first of ties), ``confidence`` (its
    probability), ``true_probability`` (that of the true label), ``loss`` (minus its natural
    logarithm, with :data:`LEAST` as a lower bound) and ``wrong``."""
    p, label = probabilities_of(table, labels), label_numbers(table, labels)
    own, answer = p[np.arange(len(p)), label], p.argmax(1)
    return table.assign(
        answer=np.array(labels, dtype=object)[answer],
        confidence=p.max(1, initial=0.0),
        true_probability=own,
        loss=-np.log(np.maximum(own, LEAST)),
        wrong=answer != label,
    )


METRIC_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "expected_calibration_error": "expected calibration error",
}


class Chance(NamedTuple):
    """Store the score of a constant or random answer, 0 to 1, and its legend name."""

    value: float
    name: str


def chance_level(evaluation: Evaluation, metric: str) -> Chance | None:
    """Return the best score of an answer that ignores the sound; None if undefined. Accuracy and
    macro F1 are those of the most frequent label; the others are the same for every such answer."""
    share = evaluation.majority_accuracy
    always = f"always “{words(evaluation.majority_label)}”"
    levels = {
        "accuracy": Chance(share, always),
        # F1 of that label is 2 share / (1 + share); it is 0 for all others.
        "macro_f1": Chance(evaluation.chance * 2 * share / (1 + share), always),
        "balanced_accuracy": Chance(evaluation.chance, "chance"),
        "macro_auc": Chance(0.5, "chance"),
    }
    return levels.get(metric)


@dataclass(frozen=True, eq=False)
class FoundRuns:
    """Store what a results folder holds; equal only to itself."""

    runs: tuple[MeasuredRun, ...]  # scored against labels; ordered by dataset, protocol and system
    unfinished: tuple[Path, ...]  # folders with predictions, but no scores yet
    problems: tuple[str, ...] = ()  # a sentence for each unreadable run
    # The panels' figures, deleted with the runs: a visitor's data must not outlive the visit.
    drawn: dict[tuple[Any, ...], Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def cells(self) -> tuple[tuple[str, str], ...]:
        """Return each measured pair of dataset and protocol, in the order of the runs."""
        return tuple(dict.fromkeys((run.dataset, run.protocol) for run in self.runs))

    def of(self, dataset: str, protocol: str) -> dict[str, MeasuredRun]:
        """Return system -> its run on this dataset and protocol, in the order of the registry."""
        own = {r.system: r for r in self.runs if (r.dataset, r.protocol) == (dataset, protocol)}
        known = [name for name in list_models() if name in own]
        return {name: own[name] for name in (*known, *(own.keys() - set(known)))}

    @cached_property
    def readable(self) -> FoundRuns:
        """Read all predictions; return the runs that have them, and a problem for each other one.

        Always returns the same object, so that figures can be cached.
        """
        runs, problems = [], list(self.problems)
        for run in self.runs:
            try:
                _ = run.predictions
                runs.append(run)
            except ResultsError as error:
                problems.append(str(error))
        if len(runs) == len(self.runs):
            return self
        return FoundRuns(tuple(runs), self.unfinished, tuple(sorted(problems)))


NO_RUNS = FoundRuns((), ())
PAPER_RECIPE = "paper_recipe"
"""Results folder of runs with the paper's own settings, kept apart from the compared ones."""


def find_runs(root: Path) -> FoundRuns:
    """Read ``run.json`` of every run below ``root``, the results folder.

    Left out are students scored only against their teacher, and runs made for other questions:
    within a fold, or with permuted labels. Unreadable runs become a sentence in ``problems``;
    :attr:`FoundRuns.readable` reads the predictions.
    """
    missing = f"There is no results folder {root}; name another one with --results."
    runs, unfinished, problems = [], [], [] if root.is_dir() else [missing]
    for path in (own for name in PROTOCOLS for own in root.glob(f"*/{name}/*/{PREDICTIONS}")):
        try:
            record = _undamaged(read_record, path.parent / RUN)
            if _reported(record) and not record.get("metrics"):
                unfinished.append(path.parent)
            elif _reported(record):
                run = _measured(path.parent, record)
                named = (run.dataset, run.protocol, run.system)
                if path.parts[-4:-1] != named:
                    raise ResultsError(
                        f"{path.parent / RUN} belongs to {'/'.join(named)}; move it there."
                    )
                runs.append(run)
        except ResultsError as error:
            problems.append(str(error))
    runs.sort(key=_order)
    return FoundRuns(tuple(runs), tuple(sorted(unfinished)), tuple(sorted(problems)))


def join_runs(ours: FoundRuns, theirs: FoundRuns) -> FoundRuns:
    """Return both; if both have a model in a cell, theirs is renamed."""
    named = [
        replace(run, system=f"{run.system}-other")
        if run.system in ours.of(run.dataset, run.protocol)
        else run
        for run in theirs.runs
    ]
    runs = sorted([*ours.runs, *named], key=_order)
    unfinished = (*ours.unfinished, *theirs.unfinished)
    return FoundRuns(tuple(runs), unfinished, (*ours.problems, *theirs.problems))


def _order(run: MeasuredRun) -> tuple[tuple[int, str], int, str]:
    return dataset_order(run.dataset), list(SPLITS).index(run.protocol), run.system


def _reported(record: Mapping[str, Any]) -> bool:
    """Return whether a run was measured on true labels and whole folds."""
    ran = record["configuration"]
    return not ("agreement" in record or "within" in ran or "permuted_labels" in ran)


def read_run(folder: Path) -> MeasuredRun:
    """Read one run from its folder; raise ResultsError if ``run.json`` is missing or malformed, or
    the run is not scored yet."""
    return _measured(folder, _undamaged(read_record, folder / RUN))


def _undamaged(read_file: Callable[..., Any], path: Path, *more: Any) -> Any:
    try:
        return read_file(path, *more)
    except DamagedFileError as error:
        raise ResultsError(f"{path} {error}; fit the run again, or copy its folder.") from error


def _measured(folder: Path, record: dict[str, Any]) -> MeasuredRun:
    if not record.get("metrics"):
        raise ResultsError(f"The run in {folder} is not finished; start its fit again.")
    try:
        evaluation = read(Evaluation, record["metrics"]["recording"], "evaluation")
        configuration, labels = record["configuration"], tuple(record["labels"])
        if not {*evaluation.recall, evaluation.majority_label} <= {*labels}:
            raise ValueError("metrics of other labels")
        if not METRICS.keys() <= evaluation.metrics.keys() or not evaluation.seeds:
            raise ValueError("not all metrics and seeds")
        _positive(evaluation.recordings)
        return MeasuredRun(
            folder=folder,
            dataset=configuration["dataset"],
            protocol=configuration["protocol"],
            system=configuration["system"],
            labels=labels,
            seeds=tuple(map(int, evaluation.seeds)),
            folds=configuration["folds"],
            parameters=_positive(record["parameters"]),
            multiply_adds=_positive(record["multiply_adds_5s"]),
            wall_seconds=float(sum(record["wall_seconds"].values())),
            settings=dict(configuration.get("settings") or {}),
            preset=dict(configuration["preset"]),
            environments=(
                dict(record["environment"]),
                *(dict(part["environment"]) for part in record.get("joined", [])),
            ),
            evaluation=evaluation,
            calibration=read(Calibration | None, record.get("calibration"), "calibration"),
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{folder / RUN} is not as train fit writes it ({error!r}); fit the run again."
        ) from error


def _positive(count: Any) -> int:
    if not 0 < int(count) < 2**63:
        raise ValueError(f"{count} is no count")
    return int(count)
