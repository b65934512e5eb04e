"""Describe what decides the numbers of a fit: system, recordings, split and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from cry_model.acoustic_features import AcousticConfig
from cry_model.registry import build_model
from train.data.cache import Prepared
from train.data.clips import Clips, cut_before_splitting
from train.data.corpus import ONLY_LEARNT, DataError, Item
from train.data.splits import OuterFold
from train.fit.distillation import Start, Teacher
from train.fit.memory import require_memory, step_bytes
from train.fit.presets import Preset
from train.scoring.results import TeacherPredictions


@dataclass(frozen=True)
class Experiment:
    """What decides the numbers of a fit, but for its seed and fold.

    Attributes:
        system, settings: of the registry.
        data: the corpus; what is unlabelled in it is only learnt from, with a teacher.
        protocol, folds: of the split.
        preset: how to train.
        accelerator: the processes, the device and the precision.
        teacher: a source of soft labels.
        teacher_predictions: its answers, where nothing in the corpus has a label of its own.
        parts: under the ``clip`` protocol, the features of the parts of the recordings, which
            cannot be cut out of those of the whole ones.
        unlabelled_corpus: the one that unlabelled clips were taken from, for the record.
        start: the weights to begin with; None for fresh ones.
        outer_fold: only the training part of this fold is looked at, and divided into ``folds``
            again (nested cross-validation); for choices that must not see what the fold tests.
        permutation: the seed by which the labels were permuted, for the record; None for the true
            ones.
    """

    system: str
    data: Prepared
    protocol: str
    preset: Preset
    folds: int
    accelerator: Accelerator
    settings: Mapping[str, Any] = field(default_factory=dict)
    teacher: Teacher | None = None
    teacher_predictions: TeacherPredictions | None = None
    parts: Clips | None = None
    unlabelled_corpus: str | None = None
    start: Start | None = None
    outer_fold: OuterFold | None = None
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
        if self.outer_fold is not None:
            return self.outer_fold.training_part(self.every_unit, self.protocol, self.folds)
        return self.every_unit

    @property
    def every_unit(self) -> Clips:
        """The units of all folds."""
        if self.teacher_predictions is not None:
            every, rows = self.data.clips, self.teacher_predictions.items()
            told = {name: self.labels[row.argmax()] for name, row in rows}
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
        if self.teacher_predictions is not None:
            return self.data.clips.subset([])
        return self.data.clips.labelled(False)

    def model(self, seed: int) -> nn.Module:
        """Build the system with weights drawn from ``seed``.

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
        """Build the system on torch's device, with whatever weights."""
        bands = self.preset.front_end.num_bands
        try:
            return build_model(self.system, len(self.labels), bands, **self.settings)
        except (TypeError, ValueError, RuntimeError) as error:
            settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
            raise DataError(f"{self.system} cannot be built with {settings}: {error}") from error

    def check(self) -> None:
        """Find what does not suit now, not after an hour.

        Raises:
            DataError: as :meth:`model`; or if there is too little memory.
        """
        preset = self.preset
        if "reused_classifier" in self.settings and (
            self.teacher is None or not self.teacher.reused
        ):
            raise DataError("reused_classifier comes with a --teacher; leave it out.")
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
