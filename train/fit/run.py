"""Describe an experiment and the folders of its results."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout
from torch import nn

from cry_model.checkpoint import CheckpointConfig
from cry_model.networks.registry import build_model
from cry_model.sound.front_end_config import AcousticConfig
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import (
    Clips,
    DataError,
    Prepared,
    TableFrontEnd,
    cut_before_splitting,
)
from train.data.splits import OuterFold, learnt_from, split
from train.fit.distillation import Start, Teacher
from train.fit.predict import TrainingFrontEnd
from train.fit.presets import Preset
from train.fit.state import TrainingState
from train.scoring.calibration import PROMISED
from train.scoring.results import Cell, TeacherPredictions

REUSED = "reused_classifier"
"""The setting that only a teacher may give its student."""


def build(system: str, classes: int, bands: int, settings: Mapping[str, Any]) -> nn.Module:
    """Build a system on torch's default device; raise DataError if it rejects the settings."""
    try:
        return build_model(system, classes, bands, **settings)
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        raise DataError(f"{system} cannot be built with {given}: {error}") from error


@dataclass(frozen=True)
class Experiment:
    """Everything that determines the result of a fit, except seed and fold."""

    system: str
    data: Prepared  # unlabelled recordings are used for training only, with a teacher
    protocol: str
    preset: Preset
    folds: int
    accelerator: Accelerator  # the processes, the device and the precision
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the system
    teacher: Teacher | None = None
    teacher_predictions: TeacherPredictions | None = None  # for a corpus without labels
    parts: Clips | None = None  # feature rows of parts, for ``clip``; whole rows cannot be cut
    unlabelled_corpus: str | None = None  # for the record
    start: Start | None = None  # initial weights
    outer_fold: OuterFold | None = None  # nested cross-validation: use its training part alone
    permutation: int | None = None  # seed of the label permutation, for the record

    @property
    def labels(self) -> tuple[str, ...]:
        return self.data.corpus.labels

    @property
    def name(self) -> str:
        return self.data.corpus.name

    @cached_property
    def units(self) -> Clips:
        """Return the clips that the protocol splits: the labelled ones.

        With teacher predictions, for a corpus without labels, return all clips with the teacher's
        labels. These serve the split; the training targets stay unlabelled.
        """
        if self.teacher_predictions is not None:
            rows = self.teacher_predictions
            told = {name: self.labels[row.argmax()] for name, row in rows.items()}
            items = (replace(item, label=told[item.recording]) for item in self.data.clips.items)
            units = replace(self.data.clips, items=tuple(items))
        elif self.parts is not None:
            units = self.parts.labelled()
        else:
            units = self.data.clips.labelled()
            if self.protocol == "clip" and not self.on_features:
                units = cut_before_splitting(units, self.preset.front_end)
        if self.outer_fold is not None:
            units = self.outer_fold.training_part(units, self.protocol, self.folds)
        return units

    def fold(self, seed: int, fold: int) -> tuple[Clips, Clips]:
        """Return the training units and the held-out units of a fold."""
        fold_of = split(self.units.items, self.protocol, self.folds, seed)
        learnt, tested = learnt_from(fold_of, fold), np.flatnonzero(fold_of == fold)
        return self.units.subset(learnt), self.units.subset(tested)

    @property
    def on_features(self) -> bool:
        """Return whether recordings are rows of features, which cannot be cut into pieces."""
        return isinstance(self.preset.front_end, AcousticConfig)

    @cached_property
    def fingerprint(self) -> str:
        return self.data.clips.fingerprint()

    @property
    def everything(self) -> Clips:
        """Return the training clips of the final fit, labelled for sampling as in the folds."""
        return self.data.clips if self.teacher_predictions is None else self.units

    def front_end(self) -> TrainingFrontEnd:
        """Return the front end for prepared recordings, on the device."""
        config = self.preset.front_end
        made = TableFrontEnd(config) if self.on_features else FrontEnd(config)
        return made.to(self.accelerator.device)

    @cached_property
    def unlabelled(self) -> Clips:
        """Return the unlabelled clips besides the units, which only a teacher can label."""
        if self.teacher_predictions is not None:
            return self.data.clips.subset([])
        return self.data.clips.labelled(False)

    def model(self, seed: int) -> nn.Module:
        """Build the system, initialised by ``seed``; raise DataError as :func:`build`."""
        torch.manual_seed(seed)
        model = self.build()
        if self.teacher is not None and self.teacher.reused:
            model.classifier.teacher.load_state_dict(self.teacher.model.state_dict())
        if self.start is not None:
            self.start.begin(model)
        return model.to(self.accelerator.device)

    def build(self) -> nn.Module:
        bands = self.preset.front_end.num_bands
        return build(self.system, len(self.labels), bands, self.settings)

    def checkpoint_config(self, training: Mapping[str, Any]) -> CheckpointConfig:
        """Return the config to save with the weights, still without scores."""
        front_end, settings = self.preset.front_end, dict(self.settings)
        return CheckpointConfig(self.system, self.labels, front_end, settings, training)

    @property
    def threads(self) -> int | None:
        """Return the number of threads of a CPU fit, which affects rounding; None on a GPU."""
        cpu = self.on_features or self.accelerator.device.type == "cpu"
        return torch.get_num_threads() if cpu else None

    def training(self) -> dict[str, Any]:
        """Return everything that determines the weights, besides seed and fold."""
        # The validation part is split off under the protocol, so the weights depend on it.
        held_back = self.protocol if self.preset.validation else None
        return {
            "dataset": self.name,
            "data": self.fingerprint,
            "unlabelled": self.unlabelled_corpus,
            "settings": dict(self.settings),
            "teacher": self.teacher and self.teacher.facts(),
            **({} if self.start is None else {"start": self.start.facts()}),
            "precision": "no" if self.on_features else self.accelerator.mixed_precision,
            "validation_by": held_back,
            "preset": asdict(self.preset),
        }

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for ``run.json``, which identifies a run."""
        return {
            "system": self.system,
            "protocol": self.protocol,
            "folds": self.folds,
            **({} if self.outer_fold is None else {"within": asdict(self.outer_fold)}),
            **({} if self.permutation is None else {"permuted_labels": self.permutation}),
            **self.training(),
        }


class BusyError(DataError):
    """Another process writes to the folder."""


@dataclass(frozen=True)
class Run:
    """An experiment with its seeds and output folders."""

    experiment: Experiment
    seeds: tuple[int, ...]  # each fits every fold once
    out: Path  # folder of results, states and checkpoints
    coverage: float = PROMISED  # target coverage of the prediction sets, 0 to 1
    resume: bool = True  # False restarts an interrupted fold from its first epoch
    track: bool = False  # whether to log training curves
    checkpoint: bool = True  # whether to fit on all recordings at the end and save the weights
    save_folds: bool = False  # whether to save the weights of each fold

    @property
    def accelerator(self) -> Accelerator:
        return self.experiment.accelerator

    @property
    def results_folder(self) -> Path:
        return self.cell().results_folder

    def cell(self, protocol: str | None = None) -> Cell:
        """Return the folders of this system and corpus under its own or another protocol."""
        one = self.experiment
        return Cell(self.out, one.name, protocol or one.protocol, one.system)

    @property
    def checkpoint_folder(self) -> Path:
        return self.cell().checkpoint_folder

    @contextlib.contextmanager
    def lock(self, in_folder: Path, patient: bool = False) -> Iterator[None]:
        """Lock a folder of this run; if it is taken, wait if ``patient``, else raise BusyError."""
        name = in_folder.relative_to(self.out).as_posix().replace("/", "-")
        path = self.out / "state" / f"{name}.lock"
        with contextlib.ExitStack() as held:
            if self.accelerator.is_main_process:
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    held.enter_context(FileLock(path, timeout=-1 if patient else 0))
                except Timeout:
                    raise BusyError(
                        f"Another process is writing to {in_folder}; wait, or choose another --out."
                    ) from None
            yield

    def state(self, seed: int, fold: int | None) -> TrainingState:
        """Return the saved training state of a fold, or with ``fold`` None of the final fit."""
        one, which = self.experiment, f"seed{seed}-" + ("all" if fold is None else f"fold{fold}")
        folder = self.out / "state" / one.name / one.protocol / one.system
        identity = json.dumps([one.configuration(), which], sort_keys=True)
        writes = self.accelerator.is_main_process
        return TrainingState(folder / f"{which}.pt", identity, self.resume, writes, one.threads)
