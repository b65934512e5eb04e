"""Describe what decides the numbers of a fit, and where its outcome goes."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from cry_model.acoustic_features import AcousticConfig
from cry_model.checkpoint import CheckpointConfig
from cry_model.registry import AnyConfig, build_model, get_system
from train.data.clips import Clips, Prepared, cut_before_splitting
from train.data.corpus import ONLY_LEARNT, DataError, Item
from train.data.splits import OuterFold
from train.fit.distillation import Start, Teacher
from train.fit.predict import BATCH
from train.fit.presets import Preset
from train.fit.state import TrainingState
from train.scoring.calibration import PROMISED
from train.scoring.results import TeacherPredictions

REUSED = "reused_classifier"
"""The setting of a student that a teacher gives it, and nobody else."""


def settings_of(system: str) -> set[str]:
    """Return the names of the settings that a system's class takes."""
    _, _, *names = inspect.signature(get_system(system).factory).parameters
    return set(names)


def build(system: str, classes: int, bands: int, settings: Mapping[str, Any]) -> nn.Module:
    """Build a system on torch's device, with whatever weights; raise DataError if it cannot be
    built with the settings."""
    try:
        return build_model(system, classes, bands, **settings)
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        raise DataError(f"{system} cannot be built with {given}: {error}") from error


@dataclass(frozen=True)
class Experiment:
    """What decides the numbers of a fit, but for its seed and fold."""

    # system, settings: of the registry
    system: str
    data: Prepared  # the corpus; what is unlabelled in it is only learnt from, with a teacher
    # protocol, folds: of the split
    protocol: str
    preset: Preset  # how to train
    folds: int
    accelerator: Accelerator  # the processes, the device and the precision
    settings: Mapping[str, Any] = field(default_factory=dict)
    teacher: Teacher | None = None  # a source of soft labels
    # its answers, where nothing in the corpus has a label of its own
    teacher_predictions: TeacherPredictions | None = None
    # under the ``clip`` protocol, the features of the parts of the recordings, which cannot be cut
    # out of those of the whole ones
    parts: Clips | None = None
    # the one that unlabelled clips were taken from, for the record
    unlabelled_corpus: str | None = None
    start: Start | None = None  # the weights to begin with; None for fresh ones
    # only the training part of this fold is looked at, and divided into ``folds`` again (nested
    # cross-validation); for choices that must not see what the fold tests
    outer_fold: OuterFold | None = None
    # the seed by which the labels were permuted, for the record; None for the true ones
    permutation: int | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return self.data.corpus.labels

    @property
    def name(self) -> str:
        """Of the corpus."""
        return self.data.corpus.name

    @cached_property
    def units(self) -> Clips:
        """The clips that the protocol splits: the labelled ones.

        Where none is and a teacher has answered, all, under the teacher's labels; as targets they
        stay unlabelled.
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

    @property
    def tested(self) -> tuple[Item, ...]:
        """The units that some fold tests: all, unless the corpus has a test part of its own."""
        return tuple(item for item in self.units.items if item.fold != ONLY_LEARNT)

    @property
    def on_features(self) -> bool:
        """Whether recordings are rows of features, which nothing can cut."""
        return isinstance(self.preset.front_end, AcousticConfig)

    @cached_property
    def fingerprint(self) -> str:
        """Of the recordings."""
        return self.data.clips.fingerprint()

    @cached_property
    def unlabelled(self) -> Clips:
        """What only a teacher can label, beside the units."""
        if self.teacher_predictions is not None:
            return self.data.clips.subset([])
        return self.data.clips.labelled(False)

    def model(self, seed: int) -> nn.Module:
        """Build the system with weights drawn from ``seed``; raise DataError if the system has not
        all of the settings, or cannot be built with them."""
        torch.manual_seed(seed)
        model = self.build()
        if self.teacher is not None and self.teacher.reused:
            model.classifier.teacher.load_state_dict(self.teacher.model.state_dict())
        if self.start is not None:
            self.start.begin(model)
        return model.to(self.accelerator.device)

    def build(self) -> nn.Module:
        """Build the system on torch's device, with whatever weights."""
        bands = self.preset.front_end.num_bands
        return build(self.system, len(self.labels), bands, self.settings)

    def checkpoint_config(self, training: Mapping[str, Any]) -> CheckpointConfig:
        """Return what goes with fitted weights, still without any numbers."""
        front_end, settings = self.preset.front_end, dict(self.settings)
        return CheckpointConfig(self.system, self.labels, front_end, settings, training)

    def check(self) -> None:
        """Find what does not suit now, not after an hour; raise DataError as :meth:`model`; or if
        there is too little memory."""
        preset = self.preset
        with torch.device("meta"):
            needed = step_bytes(self.build(), preset.front_end, preset.batch)
        require_memory(needed, torch.device("cpu") if self.on_features else self.accelerator.device)
        self.model(0)

    @property
    def threads(self) -> int | None:
        """How many compute a fit, where that decides the last bit: on a CPU."""
        cpu = self.on_features or self.accelerator.device.type == "cpu"
        return torch.get_num_threads() if cpu else None

    def training(self) -> dict[str, Any]:
        """Return what decides the weights, besides seed and fold."""
        # With a part held back, what is learnt depends on how it is split off.
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
        """Return it for the record; two runs of the same configuration are the same run."""
        return {
            "system": self.system,
            "protocol": self.protocol,
            "folds": self.folds,
            **({} if self.outer_fold is None else {"within": asdict(self.outer_fold)}),
            **({} if self.permutation is None else {"permuted_labels": self.permutation}),
            **self.training(),
        }


GIB = 2**30
PER_WEIGHT = 20  # bytes: weight, gradient, Adam's two moments, moving average, float32 each
PER_SAMPLE = 28  # bytes: the sample, and int64 indices on the way to it
PER_BIN = 12  # bytes: a complex number and its power


def step_bytes(model: nn.Module, front_end: AnyConfig, batch: int) -> int:
    """Estimate the bytes that a training step takes in float32, of a model on the device "meta"."""
    frames = round(front_end.piece_seconds / front_end.hop_seconds)
    samples = round(front_end.piece_seconds * front_end.sample_rate)
    bins = getattr(front_end, "fft", 0) // 2 + 1
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(torch.empty(batch, front_end.num_bands, frames, device="meta"))
    weights = sum(tensor.numel() for tensor in model.parameters())
    for parameter in model.parameters():
        saved.pop(parameter.untyped_storage()._cdata, None)
    return (
        PER_WEIGHT * weights
        + PER_SAMPLE * batch * samples
        + PER_BIN * max(batch, BATCH) * bins * frames
        + sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    )


def require_memory(needed: int, device: torch.device) -> None:
    """Refuse what would fill the memory of a device; raise DataError if there is less."""
    cuda = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if cuda else psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"A step of this fit takes about {needed / GIB:.1f} GiB of memory, and "
            f"{free / GIB:.1f} GiB are free; take a smaller batch, or smaller settings."
        )


class BusyError(DataError):
    """Another process writes to the folder."""


@dataclass(frozen=True)
class Run:
    """An experiment under some seeds, with its folders."""

    experiment: Experiment  # what decides the numbers
    seeds: tuple[int, ...]  # each fits every fold once
    out: Path  # folder of results, states and checkpoints
    coverage: float = PROMISED  # what the prediction sets promise, 0 to 1
    resume: bool = True  # False fits the fold that was cut off from its beginning
    track: bool = False  # whether to write live curves
    checkpoint: bool = True  # whether to fit on everything at the end and save the weights
    save_folds: bool = False  # whether to save the weights of each fold

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
        """Keep other commands from fitting this system into a folder of this run meanwhile; raise
        BusyError if another one does, unless ``patient``, which waits for it."""
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
