"""Finds and reads the measured runs of a results folder: ``<dataset>/<protocol>/<system>/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.measured_run import MeasuredRun
from analysis.run_tables import ResultsError
from cry_model.checkpoint import read_calibration, read_evaluation
from cry_model.metrics import METRICS
from cry_model.records import dataset_order
from cry_model.registry import list_models
from cry_model.run_files import PREDICTIONS, RUN, DamagedFileError
from cry_model.run_files import read_record as read

RESULTS = Path(__file__).parents[1] / "assets" / "results"
PROTOCOLS = ("clip", "recording", "baby")
"""From what is shared between training and test to what is not."""


class UnfinishedRunError(ResultsError):
    """The run has predictions and no scores yet: it was cut off, or is going on."""


@dataclass(frozen=True, eq=False)
class FoundRuns:
    """What a results folder holds; equal only to itself, so that figures of it can be kept.

    Attributes:
        runs: those that were scored against labels, by dataset, protocol and system.
        unfinished: folders that have predictions and no scores yet.
        problems: a sentence for each run that cannot be read, where such are passed over.
    """

    runs: tuple[MeasuredRun, ...]
    unfinished: tuple[Path, ...]
    problems: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[tuple[str, str], ...]:
        """Each dataset with each protocol that was measured, in the order of the runs."""
        return tuple(dict.fromkeys((run.dataset, run.protocol) for run in self.runs))

    def of(self, dataset: str, protocol: str) -> dict[str, MeasuredRun]:
        """System -> its run on this dataset under this protocol, in the order of the registry."""
        own = {r.system: r for r in self.runs if (r.dataset, r.protocol) == (dataset, protocol)}
        known = [name for name in list_models() if name in own]
        return {name: own[name] for name in (*known, *(own.keys() - set(known)))}


NO_RUNS = FoundRuns((), ())


def find_runs(root: Path, strict: bool = True) -> FoundRuns:
    """Reads ``run.json`` of every run below ``root``.

    Pupils of a teacher, whose answers nobody has checked against labels, are left out, and so is
    what was fitted to answer another question: within a fold, or to labels that were dealt out.

    Args:
        root: the results folder.
        strict: False reads the predictions, too, passes over what cannot be read and says so in
            ``problems``.

    Raises:
        ResultsError: if there is no such folder, or one of the files is malformed; never if not
            ``strict``.
    """
    if not root.is_dir():
        missing = f"There is no results folder {root}; name another one with --results."
        if strict:
            raise ResultsError(missing)
        return FoundRuns((), (), (missing,))
    runs, unfinished, problems = [], [], []
    for protocol in PROTOCOLS:
        for path in root.glob(f"*/{protocol}/*/{PREDICTIONS}"):
            try:
                record = read_record(path.parent)
                if reported(record):
                    run = _measured(path.parent, record)
                    if not strict:
                        _check(run)
                    runs.append(run)
            except UnfinishedRunError:
                unfinished.append(path.parent)
            except ResultsError as error:
                if strict:
                    raise
                problems.append(str(error))
    runs.sort(
        key=lambda run: (dataset_order(run.dataset), PROTOCOLS.index(run.protocol), run.system)
    )
    return FoundRuns(tuple(runs), tuple(sorted(unfinished)), tuple(sorted(problems)))


def reported(record: Mapping[str, Any]) -> bool:
    """Whether a ``run.json`` is of a system that was measured on true labels and whole folds."""
    ran = record.get("configuration") or {}
    return not ("agreement" in record or "within" in ran or "shuffled" in ran)


def _check(run: MeasuredRun) -> None:
    """Refuse a run that no card could show, or that its folder names otherwise."""
    named = (run.dataset, run.protocol, run.system)
    if run.folder.parts[-3:] != named:
        raise ResultsError(f"{run.folder / RUN} is of {'/'.join(named)}; move it there.")
    _ = run.predictions


def read_run(folder: Path) -> MeasuredRun:
    """One run, by its folder.

    Raises:
        ResultsError: if ``run.json`` is missing or malformed.
        UnfinishedRunError: if the run was not scored yet.
    """
    return _measured(folder, read_record(folder))


def _measured(folder: Path, record: dict[str, Any]) -> MeasuredRun:
    if not record.get("metrics"):
        raise UnfinishedRunError(f"The run in {folder} is not finished; start its fit again.")
    try:
        evaluation = read_evaluation(record["metrics"]["recording"])
        configuration, labels = record["configuration"], tuple(record["labels"])
        if evaluation is None or not {*evaluation.recall, evaluation.majority_label} <= {*labels}:
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
            calibration=read_calibration(record.get("calibration")),
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{folder / RUN} is not as train fit writes it ({error!r}); fit the run again."
        ) from error


def _positive(count: Any) -> int:
    if not 0 < int(count) < 2**63:
        raise ValueError(f"{count} is no count")
    return int(count)


def read_record(folder: Path) -> dict[str, Any]:
    """``run.json`` as it is.

    Raises:
        ResultsError: if it is missing or damaged.
    """
    path = folder / RUN
    if not path.exists():
        raise ResultsError(f"There is no readable {path}; name the folder of a run.")
    try:
        return read(path)
    except DamagedFileError as error:
        raise ResultsError(f"{path} {error}; fit the run again, or copy its folder.") from error
