"""Distil a trained system (Hinton et al. 2015) on labelled and unlabelled audio.

The teacher receives the same pieces as the student, including all waveform augmentation. Its
probabilities are the targets ("a good teacher is patient and consistent", Beyer et al. 2022).
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
from cry_model.networks.registry import AnyFrontEnd, get_system, make_front_end
from cry_model.records import Agreement
from cry_model.results import probability_columns
from cry_model.sound.front_end_config import AcousticConfig, AnyConfig
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import Clips, DataError, preparation, related
from train.fit.predict import digest
from train.scoring.results import TeacherPredictions


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model that provides soft labels for waveforms."""

    name: str  # checkpoint folder name or Hub repository
    config: CheckpointConfig  # its calibration is not applied to the soft labels
    model: nn.Module
    front_end: AnyFrontEnd
    weight: float  # share of the soft label in a labelled clip's target; 1 for unlabelled clips
    reused: bool  # whether the student reuses its classifier and learns to predict its features

    @property
    def trained_on(self) -> str | None:
        """Return the corpus that the teacher was trained on, if its checkpoint names one."""
        return self.config.training.get("dataset")

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of a student that reuses the teacher's classifier."""
        if not self.reused:
            return {}
        deep, kernel = self.model.deep.weights, self.model.kernel.weights
        members, hidden = len(deep[0]) + len(kernel[0]), deep[0].shape[-1]
        return {"reused_classifier": {"members": members, "hidden": hidden}}

    def facts(self) -> dict[str, Any]:
        how = {"reused": True} if self.reused else {"weight": self.weight}
        return {"name": self.name, **how, "digest": digest(self.model.state_dict())}

    def overlaps_training_data(self, *corpora: str | None) -> bool:
        """Return whether the teacher was trained on one of ``corpora``, or on one with its babies.

        Its soft labels then leak the held-out recordings of a fold, so scores would be too high.
        """
        return any(one and self.trained_on and related(self.trained_on, one) for one in corpora)

    @torch.no_grad()
    def teach(self, waves: Tensor, targets: Tensor) -> Tensor:
        """Mix soft labels for ``waves`` (batch, samples) into ``targets`` (batch, classes).

        Rows of zeros in ``targets`` are unlabelled. For a student that reuses the classifier of a
        FeatureMLP, return that model's standardised input features, (batch, 25), instead.
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
    """Load a checkpoint folder or Hub repository as a teacher.

    ``system`` and ``student`` are the student's system and front end; ``labels`` may be empty. An
    improved ECAPA-TDNN that learns from a FeatureMLP without labels reuses its classifier. Raise
    CheckpointError if there is no such checkpoint; DataError if its classes or its audio
    preparation differ.
    """
    model, config = load_checkpoint(find_checkpoint(name))
    if labels and config.labels != labels:
        raise DataError(
            f"The teacher has labels {', '.join(config.labels)}; this corpus has "
            f"{', '.join(labels)}."
        )
    if not can_hear(config.front_end, student):
        raise DataError(
            "The teacher needs audio prepared differently from the preset's; for one on acoustic "
            "features, use --preset distil."
        )
    improved = get_system(system).factory is ImprovedECAPATDNN
    reused = not labels and isinstance(model, FeatureMLP) and improved
    front_end = make_front_end(config.front_end).to(device).eval()
    return Teacher(known_as(name), config, model.to(device).eval(), front_end, weight, reused)


def can_hear(teacher: AnyConfig, student: AnyConfig) -> bool:
    """Return whether audio prepared for the student suits the teacher.

    A FeatureMLP's acoustic features do not depend on level. So the same sample rate and nearly the
    whole frequency band are enough for it.
    """
    if isinstance(teacher, AcousticConfig):
        wide = student.low_hz <= 30 and student.high_hz >= 0.95 * teacher.high_hz
        return wide and student.sample_rate == teacher.sample_rate
    return preparation(teacher) == preparation(student)


def predict_teacher(teacher: Teacher, clips: Clips) -> TeacherPredictions:
    """Return the teacher's uncalibrated probabilities, (classes,) per clip: means over pieces."""
    device, found = next(teacher.model.parameters()).device, {}
    for i, item in enumerate(clips.items):
        waves = clips.pieces(teacher.front_end, i).to(device)
        with torch.no_grad():
            rows = teacher.model(teacher.front_end(waves)).float().softmax(-1)
        found[item.recording] = rows.mean(0).cpu().double().numpy()
    return found


def compare(
    table: pd.DataFrame, predicted: TeacherPredictions, labels: tuple[str, ...], **facts: object
) -> Agreement:
    """Measure per-recording agreement and divergence, with confidence intervals over groups.

    ``table`` has the student's predictions per recording, each by a fit without its group."""
    student = table[probability_columns(labels)].to_numpy(dtype=np.float64)
    teacher = np.stack([predicted[name] for name in table["recording"]])
    # The best constant baselines: they are chosen on these very recordings.
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
    """Return KL divergences in nats; inputs (recordings, classes), output (recordings,)."""
    kept = teacher.clip(1e-9)
    return (kept * np.log(kept / student.clip(1e-6))).sum(1)


PENALTIES = np.logspace(0, 5, 11)  # on standardised embeddings


@torch.no_grad()
def solve_output_layer(
    model: nn.Module, front_end: FrontEnd, clips: Clips, teacher: Teacher
) -> None:
    """Replace a student's last layer before the reused classifier by a ridge regression fit."""
    device = next(model.parameters()).device
    layer: nn.Linear = model.classifier.features
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].cpu()))
    targets = []
    for i in range(len(clips.items)):
        waves = clips.pieces(front_end, i).to(device)
        targets.append(teacher.teach(waves, torch.zeros(len(waves), 1, device=device)).cpu())
        model(front_end(waves))
    hook.remove()
    ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    ridge.fit(torch.cat(seen).double().numpy(), torch.cat(targets).double().numpy())
    scaler, solved = ridge[0], ridge[-1]
    weight = solved.coef_ / scaler.scale_
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(solved.intercept_ - weight @ scaler.mean_))


CLASSIFIER = "classifier."  # not transferred to a new fit, whose classes may differ


@dataclass(frozen=True)
class Start:
    """Pretrained weights that initialise a fit."""

    name: str  # of the checkpoint
    weights: Mapping[str, Tensor]  # name -> parameter or buffer; may lack the classifier

    def facts(self) -> dict[str, str]:
        return {"name": self.name, "digest": digest(self.weights)}

    def begin(self, model: nn.Module) -> None:
        """Load the weights into a freshly built system; raise DataError if they do not match."""
        kept = {n: t for n, t in model.state_dict().items() if n.startswith(CLASSIFIER)}
        try:
            model.load_state_dict({**kept, **self.weights})
        except RuntimeError as error:
            raise DataError(
                f"The weights of {self.name} do not fit this system; --start-from takes a "
                "checkpoint of the same system, front end and settings."
            ) from error


def load_start(name: str | os.PathLike, corpus: str, system: str, hears: AnyConfig) -> Start:
    """Load initial weights from a checkpoint folder or Hub repository.

    Raise CheckpointError if there is none; DataError if its system or front end differs, or if its
    training data overlaps the corpus, which would leak the held-out folds."""
    model, config = load_checkpoint(find_checkpoint(name))
    if (config.system, config.front_end) != (system, hears):
        raise DataError(
            f"{name} is a {config.system} or has another front end; --start-from takes a {system} "
            "with the preset's."
        )
    trained_on = config.training.get("dataset")
    if trained_on is not None and related(trained_on, corpus):
        raise DataError(
            f"{name} was fitted on {trained_on}, so it has seen held-out folds of {corpus}; "
            "leave --start-from out."
        )
    weights = {n: t for n, t in model.state_dict().items() if not n.startswith(CLASSIFIER)}
    return Start(known_as(name), weights)


def known_as(name: str | os.PathLike) -> str:
    """Return a checkpoint's name for publication: a folder's own name without its parents."""
    return Path(name).name if Path(name).is_dir() else str(name)
