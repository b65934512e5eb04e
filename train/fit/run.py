"""Give the outcome of an experiment its folders, and keep others from writing there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from filelock import FileLock, Timeout

from train.data.corpus import DataError
from train.fit.experiment import Experiment
from train.fit.state import TrainingState
from train.scoring.calibration import PROMISED


class BusyError(DataError):
    """Another process writes to the folder."""


@dataclass(frozen=True)
class Run:
    """An experiment under some seeds, with its folders.

    Attributes:
        experiment: what decides the numbers.
        seeds: each fits every fold once.
        out: folder of results, states and checkpoints.
        coverage: what the prediction sets promise, 0 to 1.
        resume: False fits the fold that was cut off from its beginning.
        track: whether to write live curves.
        checkpoint: whether to fit on everything at the end and save the weights.
        save_folds: whether to save the weights of each fold.
    """

    experiment: Experiment
    seeds: tuple[int, ...]
    out: Path
    coverage: float = PROMISED
    resume: bool = True
    track: bool = False
    checkpoint: bool = True
    save_folds: bool = False

    @property
    def accelerator(self) -> Accelerator:
        """The processes and the device."""
        return self.experiment.accelerator

    @property
    def results_folder(self) -> Path:
        """Where ``run.json`` and ``predictions.csv`` go."""
        return self.results_of(self.experiment.protocol)

    def results_of(self, protocol: str) -> Path:
        """Return where those of this system and corpus under any protocol go."""
        return self.out / "results" / self.experiment.name / protocol / self.experiment.system

    @property
    def checkpoint_folder(self) -> Path:
        """Where the weights fitted on everything go."""
        return self.out / "checkpoints" / f"{self.experiment.name}-{self.experiment.system}"

    @contextlib.contextmanager
    def lock(self, in_folder: Path, patient: bool = False) -> Iterator[None]:
        """Keep other commands from fitting this system into a folder meanwhile.

        Args:
            in_folder: one of the folders of this run.
            patient: waits for the other one instead of giving up.

        Raises:
            BusyError: if another one does.
        """
        if not self.accelerator.is_main_process:
            yield
            return
        name = in_folder.relative_to(self.out).as_posix().replace("/", "-")
        path = self.out / "state" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=-1 if patient else 0)
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(
                f"Another process writes to {in_folder}; wait for it, or choose another --out."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def state(self, seed: int, fold: int | None) -> TrainingState:
        """Return the kept state of the fit of a fold, or (None) of everything."""
        one, which = self.experiment, f"seed{seed}-" + ("all" if fold is None else f"fold{fold}")
        folder = self.out / "state" / one.name / one.protocol / one.system
        identity = json.dumps([one.configuration(), which], sort_keys=True)
        writes = self.accelerator.is_main_process
        return TrainingState(folder / f"{which}.pt", identity, self.resume, writes, one.threads)
