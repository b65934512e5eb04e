"""A fitted system as a source of labels (Hinton et al. 2015), for audio with and without its own.

The teacher hears the very pieces that the pupil hears, with everything that augmentation does to
the waveform, and its probabilities are the targets ("a good teacher is patient and consistent",
Beyer et al. 2022).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cry_model.acoustic_features import AcousticConfig
from cry_model.calibration import Calibration
from cry_model.checkpoint import load_checkpoint
from cry_model.feature_mlp import FeatureMLP
from cry_model.hub import find_checkpoint
from cry_model.improved_ecapa_tdnn import EXTREME, ImprovedECAPATDNN
from cry_model.records import Evaluation
from cry_model.registry import AnyConfig, AnyFrontEnd, get_system, make_front_end
from train.cache import preparation
from train.corpus import DataError, related
from train.weights import digest


class Teacher:
    """Soft labels for waveforms.

    Attributes:
        name: of the checkpoint: its folder's, or its repository.
        labels: its classes.
        learnt_from: the corpus that it was fitted on, if its checkpoint says so.
        weight: share of the teacher in the target of a labelled clip; one without a label has
            the teacher's alone.
        evaluation: how often it is right, if that was measured.
        calibration: how sure it is, if that was settled; what it teaches is left as it is.
        reused: whether the pupil answers with the teacher's classifier and learns its features.
    """

    def __init__(
        self,
        name: str,
        labels: tuple[str, ...],
        weight: float,
        model: nn.Module,
        front_end: AnyFrontEnd,
        learnt_from: str | None = None,
        evaluation: Evaluation | None = None,
        reused: bool = False,
        calibration: Calibration | None = None,
    ) -> None:
        self.name, self.labels, self.weight = name, labels, weight
        self.learnt_from, self.evaluation, self.reused = learnt_from, evaluation, reused
        self.calibration = calibration
        self.model, self.front_end = model.eval(), front_end.eval()

    @property
    def settings(self) -> dict[str, Any]:
        """What a pupil that reuses its classifier is built with."""
        if not self.reused:
            return {}
        deep, kernel = self.model.deep.weights, self.model.kernel.weights
        members, hidden = len(deep[0]) + len(kernel[0]), deep[0].shape[-1]
        return {"reused_classifier": {"members": members, "hidden": hidden}}

    def facts(self) -> dict[str, Any]:
        """For the record: which one it is, whatever its name."""
        how = {"reused": True} if self.reused else {"weight": self.weight}
        return {"name": self.name, **how, "digest": digest(self.model.state_dict())}

    def has_heard(self, *corpora: str | None) -> bool:
        """Whether it was fitted on one of them, or on one with the same babies.

        Its labels then know the recordings that a fold holds out, and no number is honest.
        """
        return self.learnt_from is not None and any(
            name is not None and related(self.learnt_from, name) for name in corpora
        )

    @torch.no_grad()
    def teach(self, waves: Tensor, targets: Tensor) -> Tensor:
        """Mixes its own opinion into the targets.

        Args:
            waves: (batch, samples), prepared and augmented.
            targets: (batch, classes); rows of zeros where there is no label.

        Returns:
            (batch, classes); or, for a pupil that reuses the classifier of a FeatureMLP, the
            standardised features that this one makes its opinion of, (batch, 25).
        """
        if self.reused:
            return self.model.inputs(self.front_end(waves)).clamp(-EXTREME, EXTREME)
        soft = self.model(self.front_end(waves)).float().softmax(-1)
        labelled = targets.sum(-1, keepdim=True) > 0
        return torch.where(labelled, torch.lerp(targets, soft, self.weight), soft)


def load_teacher(
    name: str | os.PathLike,
    weight: float,
    labels: tuple[str, ...],
    system: str,
    pupil: AnyConfig,
    device: torch.device,
) -> Teacher:
    """A checkpoint folder or Hub repository as the teacher.

    Args:
        name: the checkpoint.
        weight: see :class:`Teacher`.
        labels: of the corpus; none if nothing in it has a label.
        system: the pupil's. An improved ECAPA-TDNN that learns from a FeatureMLP alone reuses its
            classifier.
        pupil: the pupil's front end.
        device: where both are.

    Raises:
        CheckpointError: if there is no such checkpoint.
        DataError: if it knows other classes, or wants to hear something else than the pupil.
    """
    model, config = load_checkpoint(find_checkpoint(name))
    if labels and config.labels != labels:
        raise DataError(
            f"The teacher tells apart {', '.join(config.labels)}; this corpus has "
            f"{', '.join(labels)}."
        )
    if not can_hear(config.front_end, pupil):
        raise DataError(
            "The teacher wants its audio prepared in another way than the preset's; for one that "
            "hears acoustic features there is --preset distil."
        )
    known_as = Path(name).name if Path(name).is_dir() else str(name)  # it will be published
    front_end = make_front_end(config.front_end).to(device)
    learnt_from = config.training.get("dataset")
    return Teacher(
        known_as,
        config.labels,
        weight,
        model.to(device),
        front_end,
        learnt_from,
        config.evaluation,
        not labels
        and isinstance(model, FeatureMLP)
        and get_system(system).factory is ImprovedECAPATDNN,
        config.calibration,
    )


def can_hear(teacher: AnyConfig, pupil: AnyConfig) -> bool:
    """Whether what was prepared for the pupil is what the teacher knows.

    Acoustic features as a FeatureMLP takes them do not depend on the level, so one that hears the
    rate and nearly the whole band hears enough.
    """
    if isinstance(teacher, AcousticConfig):
        wide = pupil.low_hz <= 30 and pupil.high_hz >= 0.95 * teacher.high_hz
        return wide and pupil.sample_rate == teacher.sample_rate
    return preparation(teacher) == preparation(pupil)
