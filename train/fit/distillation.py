"""Distil a fitted system (Hinton et al. 2015) on audio with labels of its own and without.

The teacher hears the very pieces that the student hears, with everything that augmentation does to
the waveform, and its probabilities are the targets ("a good teacher is patient and consistent",
Beyer et al. 2022).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from cry_model.checkpoint import CheckpointConfig, load_checkpoint
from cry_model.hub import find_checkpoint
from cry_model.metrics import mean
from cry_model.networks.feature_mlp import FeatureMLP
from cry_model.networks.improved_ecapa_tdnn import EXTREME, ImprovedECAPATDNN
from cry_model.networks.registry import AnyConfig, AnyFrontEnd, get_system, make_front_end
from cry_model.records import Agreement
from cry_model.results import probability_columns
from cry_model.sound.acoustic_features import AcousticConfig
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import Clips, DataError, preparation, related
from train.fit.predict import digest
from train.scoring.results import TeacherPredictions


@dataclass(frozen=True, eq=False)
class Teacher:
    """Soft labels for waveforms."""

    name: str  # of the checkpoint: its folder's, or its repository
    config: CheckpointConfig  # its calibration leaves what is taught as it is
    model: nn.Module
    front_end: AnyFrontEnd
    weight: float  # in the target of a labelled clip; one without a label has the teacher's alone
    reused: bool  # whether the student answers with its classifier and learns its features

    @property
    def trained_on(self) -> str | None:
        """Name the corpus that it was fitted on, if its checkpoint says so."""
        return self.config.training.get("dataset")

    @property
    def settings(self) -> dict[str, Any]:
        """What a student that reuses its classifier is built with."""
        if not self.reused:
            return {}
        deep, kernel = self.model.deep.weights, self.model.kernel.weights
        members, hidden = len(deep[0]) + len(kernel[0]), deep[0].shape[-1]
        return {"reused_classifier": {"members": members, "hidden": hidden}}

    def facts(self) -> dict[str, Any]:
        how = {"reused": True} if self.reused else {"weight": self.weight}
        return {"name": self.name, **how, "digest": digest(self.model.state_dict())}

    def overlaps_training_data(self, *corpora: str | None) -> bool:
        """Return whether it was fitted on one of them, or on one with the same babies.

        Its labels then know the recordings that a fold holds out, and no number is honest.
        """
        return any(one and self.trained_on and related(self.trained_on, one) for one in corpora)

    @torch.no_grad()
    def teach(self, waves: Tensor, targets: Tensor) -> Tensor:
        """Mix its own answer to (batch, samples) into targets (batch, classes), zeros where there
        is no label.

        For a student that reuses the classifier of a FeatureMLP: the standardised features that
        this one answers by, (batch, 25).
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
    student: AnyConfig,
    device: torch.device,
) -> Teacher:
    """Load a checkpoint folder or Hub repository as the teacher of a system with the front end
    ``student`` on a corpus with ``labels``, or with none.

    An improved ECAPA-TDNN that learns from a FeatureMLP alone reuses its classifier. Raise
    CheckpointError if there is no such checkpoint; DataError if it knows other classes, or wants to
    hear something else than the student.
    """
    model, config = load_checkpoint(find_checkpoint(name))
    if labels and config.labels != labels:
        raise DataError(
            f"The teacher tells apart {', '.join(config.labels)}; this corpus has "
            f"{', '.join(labels)}."
        )
    if not can_hear(config.front_end, student):
        raise DataError(
            "The teacher wants its audio prepared in another way than the preset's; for one that "
            "hears acoustic features there is --preset distil."
        )
    improved = get_system(system).factory is ImprovedECAPATDNN
    reused = not labels and isinstance(model, FeatureMLP) and improved
    front_end = make_front_end(config.front_end).to(device).eval()
    return Teacher(known_as(name), config, model.to(device).eval(), front_end, weight, reused)


def can_hear(teacher: AnyConfig, student: AnyConfig) -> bool:
    """Return whether what was prepared for the student is what the teacher knows.

    Acoustic features as a FeatureMLP takes them do not depend on the level, so one that hears the
    rate and nearly the whole band hears enough.
    """
    if isinstance(teacher, AcousticConfig):
        wide = student.low_hz <= 30 and student.high_hz >= 0.95 * teacher.high_hz
        return wide and student.sample_rate == teacher.sample_rate
    return preparation(teacher) == preparation(student)


def predict_teacher(teacher: Teacher, clips: Clips) -> TeacherPredictions:
    """Answer clips, prepared for the teacher, as the classifier would, uncalibrated."""
    device, found = next(teacher.model.parameters()).device, {}
    for i, item in enumerate(clips.items):
        waves = clips.pieces(teacher.front_end, i).waveforms.to(device)
        with torch.no_grad():
            rows = teacher.model(teacher.front_end(waves)).float().softmax(-1)
        found[item.recording] = rows.mean(0).cpu().double().numpy()
    return found


def compare(
    table: pd.DataFrame, predicted: TeacherPredictions, labels: tuple[str, ...], **facts: object
) -> Agreement:
    """Return agreement and divergence per recording, with intervals over groups; ``table`` has the
    student's predictions per recording, each by a fit that had not heard its group."""
    student = table[probability_columns(labels)].to_numpy(dtype=np.float64)
    teacher = np.stack([predicted[name] for name in table["recording"]])
    # Of these very recordings, which no guess made on others could beat.
    usual, average = int(np.bincount(teacher.argmax(1)).argmax()), teacher.mean(0)
    same = student.argmax(1) == teacher.argmax(1)
    always = usual == teacher.argmax(1)
    groups = table["group"].tolist()
    return Agreement(
        recordings=table["recording"].nunique(),
        groups=len(set(groups)),
        seeds=tuple(int(seed) for seed in sorted(table["seed"].unique())),
        agreement=mean(same, groups),
        constant_label=labels[usual],
        constant=mean(always, groups),
        gain=mean(same.astype(float) - always, groups),
        divergence=mean(divergence(teacher, student), groups),
        constant_divergence=mean(divergence(teacher, average), groups),
        **facts,
    )


def divergence(teacher: NDArray[np.float64], student: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Kullback-Leibler divergences in nats, (recordings, classes) twice -> (recordings,)."""
    kept = teacher.clip(1e-9)
    return (kept * np.log(kept / student.clip(1e-6))).sum(1)


PENALTIES = np.logspace(0, 5, 11)  # on standardised embeddings


@torch.no_grad()
def solve_output_layer(
    model: nn.Module, front_end: FrontEnd, clips: Clips, teacher: Teacher
) -> None:
    """Replace a student's last layer before the reused classifier by a ridge regression."""
    device = next(model.parameters()).device
    layer: nn.Linear = model.classifier.features
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].cpu()))
    targets = []
    for i in range(len(clips.items)):
        waves = clips.pieces(front_end, i).waveforms.to(device)
        targets.append(teacher.teach(waves, torch.zeros(len(waves), 1, device=device)).cpu())
        model(front_end(waves))
    hook.remove()
    ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    ridge.fit(torch.cat(seen).double().numpy(), torch.cat(targets).double().numpy())
    scaler, solved = ridge[0], ridge[-1]
    weight = solved.coef_ / scaler.scale_
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(solved.intercept_ - weight @ scaler.mean_))


CLASSIFIER = "classifier."  # where classes were others, it begins anew


@dataclass(frozen=True)
class Start:
    """A fitted system as the beginning of another fit."""

    name: str  # of the checkpoint
    weights: Mapping[str, Tensor]  # name -> parameter or statistic, perhaps without the classifier

    def facts(self) -> dict[str, str]:
        return {"name": self.name, "digest": digest(self.weights)}

    def begin(self, model: nn.Module) -> None:
        """Put the weights into a freshly built system; raise DataError if they do not fit."""
        kept = {n: t for n, t in model.state_dict().items() if n.startswith(CLASSIFIER)}
        try:
            model.load_state_dict({**kept, **self.weights})
        except RuntimeError as error:
            raise DataError(
                f"The weights of {self.name} do not fit into this system; --start-from takes a "
                "checkpoint of the same system, front end and settings."
            ) from error


def load_start(name: str | os.PathLike, corpus: str, system: str, hears: AnyConfig) -> Start:
    """Load a checkpoint folder or Hub repository to begin with; raise CheckpointError if there is
    no such checkpoint; DataError if it is of another system or hears something else; or if it was
    fitted on recordings of the corpus, so that it knows what a fold would hold out."""
    model, config = load_checkpoint(find_checkpoint(name))
    if (config.system, config.front_end) != (system, hears):
        raise DataError(
            f"{name} is a {config.system}, or has another front end than the preset; --start-from "
            f"takes a {system} with the same."
        )
    trained_on = config.training.get("dataset")
    if trained_on is not None and related(trained_on, corpus):
        raise DataError(
            f"{name} was fitted on {trained_on}, so it knows what a fold of {corpus} would hold "
            "out; leave --start-from out."
        )
    weights = {n: t for n, t in model.state_dict().items() if not n.startswith(CLASSIFIER)}
    return Start(known_as(name), weights)


def known_as(name: str | os.PathLike) -> str:
    """Return a checkpoint's name as it will be published: of a folder without what is above it."""
    return Path(name).name if Path(name).is_dir() else str(name)
