"""What one fit of a system on a corpus is asked to do, and where its outcome goes."""

from __future__ import annotations

import contextlib
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
from cry_model.registry import AnyConfig, build_model
from train.data.cache import Prepared
from train.data.clips import Clips, cut_before_splitting
from train.data.corpus import ONLY_LEARNT, DataError, Item
from train.data.splits import Outer
from train.fit.distillation import Start, Teacher
from train.fit.predict import BATCH
from train.fit.presets import Preset
from train.fit.state import Memory
from train.scoring.calibration import PROMISED
from train.scoring.results import Opinions

GIB = 2**30
PER_WEIGHT = 20  # bytes: weight, gradient, Adam's two moments, moving average, float32 each
PER_SAMPLE = 28  # bytes: the sample, and int64 indices on the way to it
PER_BIN = 12  # bytes: a complex number and its power


def of_step(model: nn.Module, front_end: AnyConfig, batch: int, tries: int) -> int:
    """Bytes that a training step takes, about, in float32.

    Args:
        model: on the device "meta", where nothing takes memory.
        front_end: of its input.
        batch: pieces in a step.
        tries: pieces drawn for each of them.
    """
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
    drawn = batch * tries
    return (
        PER_WEIGHT * weights
        + PER_SAMPLE * drawn * samples
        + PER_BIN * max(drawn, BATCH) * bins * frames
        + sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    )


def require_room(needed: int, device: torch.device) -> None:
    """Refuse what would fill the memory of a device.

    Raises:
        DataError: if there is less.
    """
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
    """One system under one protocol.

    Attributes:
        system, settings: of the registry.
        data: the corpus; what is unlabelled in it is only learnt from, with a teacher.
        parts: under the ``clip`` protocol, the features of the parts of the recordings, which
            cannot be cut out of those of the whole ones.
        opinions: the teacher's answers, where nothing in the corpus has a label of its own.
        coverage: what the prediction sets promise, 0 to 1.
        extra: the name of the corpus that unlabelled clips were taken from, for the record.
        start: the weights to begin with; None for fresh ones.
        within: only the training part of this fold is looked at, and divided into ``folds``
            again; for choices that must not see what the fold tests.
        shuffled: the seed by which labels were dealt out anew, for the record; None for the true
            ones.
        resume: False fits the fold that was cut off from its beginning.
        track: whether to write live curves.
        checkpoint: whether to fit on everything at the end and save the weights.
        keep_folds: whether to save the weights of each fold.
    """

    system: str
    data: Prepared
    protocol: str
    preset: Preset
    folds: int
    seeds: tuple[int, ...]
    accelerator: Accelerator
    out: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    teacher: Teacher | None = None
    parts: Clips | None = None
    opinions: Opinions | None = None
    coverage: float = PROMISED
    extra: str | None = None
    start: Start | None = None
    within: Outer | None = None
    shuffled: int | None = None
    resume: bool = True
    track: bool = False
    checkpoint: bool = True
    keep_folds: bool = False

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

        Where none is and a teacher has told its opinions, all, under the teacher's labels; as
        targets they stay unlabelled.
        """
        if self.within is not None:
            return self.within.training_part(self.every_unit, self.protocol, self.folds)
        return self.every_unit

    @property
    def every_unit(self) -> Clips:
        """The units of all folds."""
        if self.opinions is not None:
            told = {name: self.labels[row.argmax()] for name, row in self.opinions.items()}
            every = self.data.clips
            items = tuple(replace(item, label=told[item.recording]) for item in every.items)
            return replace(every, items=items)
        clips = self.data.clips.labelled()
        if self.parts is not None:
            return self.parts.labelled()
        if self.protocol == "clip" and not self.on_features:
            return cut_before_splitting(clips, self.preset.front_end)
        return clips

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
        if self.opinions is not None:
            return self.data.clips.subset([])
        return self.data.clips.labelled(False)

    @property
    def results_folder(self) -> Path:
        """Where ``run.json`` and ``predictions.csv`` go."""
        return self.results_of(self.protocol)

    def results_of(self, protocol: str) -> Path:
        """Where those of this system and corpus under any protocol go."""
        return self.out / "results" / self.name / protocol / self.system

    @property
    def checkpoint_folder(self) -> Path:
        """Where the weights fitted on everything go."""
        return self.out / "checkpoints" / f"{self.name}-{self.system}"

    def model(self, seed: int) -> nn.Module:
        """The system with weights drawn from ``seed``.

        Raises:
            DataError: if the system has not all of the settings, or cannot be built with them.
        """
        torch.manual_seed(seed)
        model = self.build()
        if self.teacher is not None and self.teacher.reused:
            model.classifier.teacher.load_state_dict(self.teacher.model.state_dict())
        if self.start is not None:
            self.start.begin(model)
        return model.to(self.accelerator.device)

    def build(self) -> nn.Module:
        """The system, on torch's device, with whatever weights."""
        bands = self.preset.front_end.num_bands
        try:
            return build_model(self.system, len(self.labels), bands, **self.settings)
        except (TypeError, ValueError, RuntimeError) as error:
            settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
            raise DataError(f"{self.system} cannot be built with {settings}: {error}") from error

    def check(self) -> None:
        """Find what does not suit now, not after an hour.

        Raises:
            DataError: as :meth:`model`; or if there is too little memory, or no class ``under``.
        """
        preset, how = self.preset, self.preset.augmentation
        if "reused_classifier" in self.settings and (
            self.teacher is None or not self.teacher.reused
        ):
            raise DataError("reused_classifier comes with a --teacher; leave it out.")
        if how is not None and how.under is not None and how.under >= len(self.labels):
            raise DataError(f"under={how.under}, but there are {len(self.labels)} classes, from 0.")
        with torch.device("meta"):
            needed = of_step(self.build(), preset.front_end, preset.batch, preset.tries)
        require_room(needed, torch.device("cpu") if self.on_features else self.accelerator.device)
        self.model(0)

    @contextlib.contextmanager
    def alone(self, in_folder: Path, patient: bool = False) -> Iterator[None]:
        """While no other command fits this system into a folder.

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

    def memory(self, seed: int, fold: int | None) -> Memory:
        """Where the fit of a fold, or (None) of everything, keeps its state."""
        which = f"seed{seed}-" + ("all" if fold is None else f"fold{fold}")
        folder = self.out / "state" / self.name / self.protocol / self.system
        identity = json.dumps([self.configuration(), which], sort_keys=True)
        writes = self.accelerator.is_main_process
        return Memory(folder / f"{which}.pt", identity, self.resume, writes, self.threads)

    @property
    def threads(self) -> int | None:
        """How many compute a fit, where that decides the last bit: on a CPU."""
        cpu = self.on_features or self.accelerator.device.type == "cpu"
        return torch.get_num_threads() if cpu else None

    def training(self) -> dict[str, Any]:
        """What decides the weights, besides seed and fold."""
        # With a part held back, what is learnt depends on how it is split off.
        held_back = self.protocol if self.preset.validation else None
        return {
            "dataset": self.name,
            "data": self.fingerprint,
            "unlabelled": self.extra,
            "settings": dict(self.settings),
            "teacher": self.teacher and self.teacher.facts(),
            **({} if self.start is None else {"start": self.start.facts()}),
            "precision": "no" if self.on_features else self.accelerator.mixed_precision,
            "validation_by": held_back,
            "preset": asdict(self.preset),
        }

    def configuration(self) -> dict[str, Any]:
        """What decides the numbers; two runs of the same configuration are the same run."""
        return {
            "system": self.system,
            "protocol": self.protocol,
            "folds": self.folds,
            **({} if self.within is None else {"within": asdict(self.within)}),
            **({} if self.shuffled is None else {"shuffled": self.shuffled}),
            **self.training(),
        }
