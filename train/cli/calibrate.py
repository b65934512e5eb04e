"""``python -m train calibrate``."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cry_model.calibration import Calibration
from cry_model.checkpoint import (
    CONFIG,
    CheckpointConfig,
    load_checkpoint,
    read_evaluation,
    write_atomically,
)
from cry_model.hub import find_checkpoint
from cry_model.records import Evaluation
from cry_model.results import RUN, whole_seeds, write_record
from train.cli.options import Coverage, Options, option
from train.data.corpus import DataError
from train.scoring import results
from train.scoring.calibration import PROMISED, calibrate

SHARED = ("system", "dataset", "data", "settings", "preset")
"""What a checkpoint's weights and a run's predictions were made with, in both of their records."""


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """Calibrate probabilities and prediction sets on the held-out predictions of a run.

    That is the temperature that makes probabilities as sure as they are right, and the threshold
    above which an answer names a label, so that new babies get what is promised. 'fit' does this by
    itself; nothing is fitted again.
    """

    results: Annotated[
        Path, typer.Argument(help="folder with run.json, which gets the numbers, and predictions")
    ]
    checkpoint: Annotated[
        Path | None,
        option("folder of the weights of that run, to carry them and the metrics of all its seeds"),
    ] = None
    teacher: Annotated[
        str | None,
        option(
            "of a student's: its answers are calibrated as this says before the student's are",
            metavar="CHECKPOINT",
        ),
    ] = None
    coverage: Coverage = PROMISED


def run(options: CalibrateOptions) -> None:
    """Calibrate, and write it down."""
    record = results.read_run(options.results)
    if record is None or "labels" not in record:
        raise DataError(f"There is no finished run in '{options.results}'; 'fit' makes one.")
    config = None if options.checkpoint is None else config_of(options.checkpoint, record)
    evaluation = None if config is None else measured(config, record, options.results)
    found = calibrated(options, record)
    write_record(options.results, {**record, "calibration": asdict(found)})
    print(describe(found), f"Written to {options.results / RUN}.", sep="\n")
    if config is not None:
        carried = replace(config, calibration=found, evaluation=evaluation)
        write_atomically(options.checkpoint / CONFIG, carried.to_json().encode())
        print(f"Written to {options.checkpoint / CONFIG}.")


def config_of(folder: Path, record: dict[str, Any]) -> CheckpointConfig:
    """Read the config of a checkpoint.

    Raises:
        CheckpointError: if it cannot be loaded.
        DataError: if its weights are not those that the run of ``record`` is about.
    """
    _, config = load_checkpoint(folder)
    ran, made = record["configuration"], {**config.training, "system": config.system}
    measured = config.evaluation
    if any(made.get(name) != ran.get(name) for name in SHARED):
        raise DataError(f"'{folder}' was not fitted as this run was; name that of the same fit.")
    if measured is not None and measured.protocol != ran["protocol"]:
        raise DataError(
            f"'{folder}' carries the numbers of protocol {measured.protocol}; calibrate it on the "
            "results of that."
        )
    return config


def measured(config: CheckpointConfig, record: dict[str, Any], folder: Path) -> Evaluation | None:
    """Return what the checkpoint carries of its metrics: of all seeds that the run has by now.

    Raises:
        DataError: if they are damaged.
    """
    if config.evaluation is None:
        return None
    with results.trusting(folder / RUN):
        return read_evaluation(record["metrics"]["recording"])


def calibrated(options: CalibrateOptions, record: dict[str, Any]) -> Calibration:
    """Calibrate from the predictions of the run of ``record``."""
    ran, labels = record["configuration"], record["labels"]
    table = whole_seeds(results.read_predictions(options.results, labels), ran["folds"])
    predicted = results.read_teacher(options.results, labels)
    temperature = 1.0
    if options.teacher is not None:
        if predicted is None:
            raise DataError("This run learnt from labels; leave --teacher out.")
        _, teacher = load_checkpoint(find_checkpoint(options.teacher))
        if teacher.calibration is not None:
            temperature = teacher.calibration.temperature
    facts = {name: ran[name] for name in ("dataset", "protocol", "folds")}
    return calibrate(table, labels, options.coverage, predicted, temperature, **facts)


def describe(found: Calibration) -> str:
    """Put the numbers into a few lines."""
    coverage, size = found.coverage, found.size
    return (
        f"temperature {found.temperature:.3f}, threshold {found.threshold:.3f}, against "
        f"{found.against}; on held-out groups ({found.groups}):\n"
        f"  coverage {coverage}, "
        f"promised {found.promised:g}\n"
        f"  labels in a set {size.value:.2f} [{size.low:.2f}, {size.high:.2f}]; empty "
        f"{found.empty:.3f}, single {found.single:.3f}, full {found.full:.3f}\n"
        f"  expected calibration error {found.error_before.value:.3f} -> "
        f"{found.error_after.value:.3f}"
    )
