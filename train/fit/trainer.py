"""Run the training loop.

Waveforms, features, augmentation and the model are all computed on the device, in batches, so no
data loader is needed. Under ``accelerate launch`` each process draws the same global batch from
the same generator and trains on its own shard.
"""

from __future__ import annotations

import copy
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from cry_model.metrics import balanced_accuracy
from cry_model.sound.frontend import FrontEnd
from train.data import augmentation
from train.data.corpus import Clips
from train.fit.devices import as_found, of_main
from train.fit.distillation import Teacher
from train.fit.predict import TrainingError, piece_probabilities
from train.fit.presets import Preset
from train.fit.state import TrainingState, Weights, schedule

LOSS, RECALL = "validation loss", "validation balanced accuracy"
Curves = Mapping[str, float]
"""Loss and learning rate of an epoch, with the validation scores."""


def score(model: nn.Module, front_end: FrontEnd, clips: Clips) -> dict[str, float]:
    """Score a model in eval mode on validation clips, per recording.

    The scores are balanced accuracy and class-balanced cross-entropy. Early stopping uses the
    latter, because it changes even in epochs where balanced accuracy does not.
    """
    pieces = piece_probabilities(model, front_end, clips)
    probabilities, labels = np.stack([rows.mean(0) for rows in pieces]), clips.labels.numpy()
    own = probabilities[np.arange(len(labels)), labels].clip(1e-7)
    loss = np.mean([-np.log(own[labels == label]).mean() for label in np.unique(labels)])
    recall = balanced_accuracy(labels, probabilities)
    return {LOSS: float(loss), RECALL: recall}


class EarlyStopping:
    """Track the weights with the lowest validation loss, and when to stop."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best: dict[str, Any] | None = None
        self.best_loss, self.waited = math.inf, 0

    def update(self, loss: float, model: nn.Module) -> None:
        """Keep the weights if their loss is the lowest so far."""
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            if self.patience:
                self.best = copy.deepcopy(model.state_dict())
        else:
            self.waited += 1

    @property
    def stop(self) -> bool:
        return 0 < self.patience <= self.waited


class DeviceDataset:
    """All clips, concatenated on the device, and their sampling distribution.

    Targets are (clips, classes) one-hot rows; those of unlabelled clips are zero. With ``balance``
    1 every class is drawn equally often, the unlabelled clips being one more class; with 0 every
    clip is. The class used for sampling is the item's label. In a corpus without labels this is
    the teacher's prediction, while the target row stays zero.
    """

    def __init__(self, clips: Clips, classes: int, balance: float, device: torch.device) -> None:
        lengths = torch.tensor([len(w) for w in clips.waveforms])
        self.samples = torch.cat(clips.waveforms).to(device)
        self.lengths = lengths.to(device)
        self.offsets = (lengths.cumsum(0) - lengths).to(device)
        padded = nn.functional.one_hot(clips.labels % (classes + 1), classes + 1)
        self.targets = padded[:, :classes].float().to(device)
        names = [item.label for item in clips.items]
        counts = Counter(names)
        frequency = torch.tensor([counts[name] for name in names], dtype=torch.float64)
        # Inverse-CDF sampling, because torch.multinomial's order of summation on CUDA is not
        # deterministic.
        self.distribution = frequency.pow(-balance).cumsum(0).to(device)

    def draw(self, count: int, length: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw random pieces (count, length) and their targets (count, classes).

        A clip shorter than a piece is repeated cyclically from a random offset.
        """
        place = torch.rand(count, generator=rng, device=rng.device, dtype=torch.float64)
        chosen = torch.searchsorted(self.distribution, place * self.distribution[-1], right=True)
        chosen = chosen.clamp_max(len(self.lengths) - 1)
        sizes = self.lengths[chosen].unsqueeze(1)
        room = torch.where(sizes > length, sizes - length + 1, sizes)
        starts = (augmentation.uniform(0, 1, (count, 1), rng) * room).long()
        at = (starts + torch.arange(length, device=rng.device)) % sizes
        return self.samples[self.offsets[chosen].unsqueeze(1) + at], self.targets[chosen]


@dataclass(frozen=True)
class TrainingData:
    """The training and validation data of a fit, and its teacher."""

    clips: Clips  # the training clips; without a teacher all are labelled
    classes: int  # number of classes
    validation: Clips | None = None  # labelled validation recordings, if any
    teacher: Teacher | None = None  # a source of soft labels


class EpochRng:
    """Random generators of one epoch, seeded by seed and epoch alone, so no state is saved."""

    def __init__(self, seed: int, epoch: int, device: torch.device) -> None:
        self.tensors = torch.Generator(device).manual_seed(seed * 100_003 + epoch)
        self.numbers = random.Random(f"{seed} {epoch}")  # on the host: no device synchronisation


@as_found()
def fit(
    model: nn.Module,
    front_end: FrontEnd,
    data: TrainingData,
    preset: Preset,
    seed: int,
    accelerator: Accelerator,
    state: TrainingState = TrainingState(),  # noqa: B008 (frozen)
    report: Callable[[int, Curves], None] = lambda *_: None,
) -> nn.Module:
    """Train ``model`` and return it, or its moving average, in eval mode.

    All randomness depends on ``seed`` and the epoch only. The state is saved after each epoch, and
    an interrupted fit resumes from it. ``report`` is called after each epoch, counted from 1. Raise
    TrainingError if the loss or a weight is not finite.
    """
    device = accelerator.device
    dataset = DeviceDataset(data.clips, data.classes, preset.class_balance, device)
    stopping = EarlyStopping(preset.patience)
    weights, start = Weights(model, preset, device), 0
    if (kept := state.load()) is not None:
        start = kept["epoch"]
        weights.restore(kept["weights"])
        vars(stopping).update(kept["watch"])
    student, optimiser = accelerator.prepare(model, weights.optimiser)
    steps = max(1, round((preset.samples_per_epoch or len(data.clips.items)) / preset.batch))
    for epoch in range(start, preset.epochs):
        if stopping.stop:
            break
        rng = EpochRng(seed, epoch, device)
        torch.manual_seed(rng.numbers.getrandbits(63))  # for a system with dropout
        student.train()
        total = torch.zeros((), device=device)  # on the device, so that steps do not synchronise
        how = data.teacher, preset, rng, accelerator
        for step in range(epoch * steps, (epoch + 1) * steps):
            rate = preset.learning_rate * schedule(preset, step, preset.epochs * steps)
            loss = step_loss(student, front_end, dataset, *how)
            weights.step(loss, rate, student, optimiser, accelerator)
            total += loss.detach()
        mean = accelerator.reduce(total, "mean").item() / steps
        if not (math.isfinite(mean) and weights.finite()):
            raise TrainingError(
                f"The loss is not a number after epoch {epoch + 1}; try a lower learning rate. The "
                "previous epoch's state is kept."
            )
        outcome, scores = weights.outcome.eval(), {}
        if (held := data.validation) is not None:  # from the main process, so all stop together
            scores = of_main(accelerator, lambda model=outcome: score(model, front_end, held))
            stopping.update(scores[LOSS], outcome)
        state.save({"epoch": epoch + 1, "weights": weights.state(), "watch": vars(stopping)})
        report(epoch + 1, {"loss": mean, "rate": rate, **scores})
    accelerator.free_memory()
    if stopping.best is not None:
        weights.outcome.load_state_dict(stopping.best)
    return accelerator.unwrap_model(weights.outcome, keep_fp32_wrapper=False).eval()


def step_loss(
    model: nn.Module,
    front_end: FrontEnd,
    dataset: DeviceDataset,
    teacher: Teacher | None,
    preset: Preset,
    rng: EpochRng,
    accelerator: Accelerator,
) -> Tensor:
    """Return this process's loss on its shard of one random, augmented batch.

    The mean over processes is the loss of the whole batch, even with shards of unequal size.
    """
    config, how = front_end.config, preset.augmentation
    # Each batch has its own length, so the model sees min_seconds to piece_seconds (3 to 5 s).
    seconds = rng.numbers.uniform(config.min_seconds, config.piece_seconds)
    frames = round(seconds * config.sample_rate) // config.hop
    length, faster = frames * config.hop, 0
    if how is not None and how.speed:
        faster = round(100 * rng.numbers.uniform(-how.speed, how.speed))
    drawn = length * (100 + faster) // 100 + 1 if faster else length
    waves, targets = dataset.draw(preset.batch, drawn, rng.tensors)
    with torch.no_grad():
        if config.level == "piece":
            waves = front_end.to_level(waves)
        if faster:
            waves = augmentation.change_speed(waves, faster, length)
        if how is not None:
            waves = augmentation.augment_waveforms(waves, how, rng.tensors)
            if how.damage:
                waves = augmentation.degrade(waves, config.sample_rate, how.damage, rng.tensors)
        if teacher is not None:
            targets = teacher.teach(waves, targets)
        features = front_end(waves)
        if how is not None:
            log_mel = config.kind == "log-mel" and not config.deltas
            features = augmentation.augment_features(features, how, log_mel, rng.tensors)
            features, targets = augmentation.mixup(features, targets, how.mixup, rng.tensors)
    mine, of = accelerator.process_index, accelerator.num_processes
    features, targets = features.tensor_split(of)[mine], targets.tensor_split(of)[mine]
    if teacher is not None and teacher.reused:  # the targets are features
        errors = (model(features).float() - targets).square().mean(-1)
        return errors.sum() * of / preset.batch
    losses = nn.functional.cross_entropy(
        model(features).float(), targets, label_smoothing=preset.label_smoothing, reduction="sum"
    )
    return losses * of / preset.batch
