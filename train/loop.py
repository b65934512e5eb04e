"""The training loop, readable top to bottom.

Everything runs on the device, in batches: waveforms, features, augmentation and the model, so no
Python loader is in the way. Under ``accelerate launch`` each process draws the same global batch
from the same generator and trains on its own part of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from cry_model.frontend import FrontEnd
from train.augmentation import augment_features, augment_waveforms, change_speed, mixup
from train.bank import Bank
from train.clips import Clips
from train.degradation import degrade, lay_under
from train.devices import as_found, of_main, prepare
from train.distillation import Teacher
from train.predicting import TrainingError
from train.presets import Preset
from train.state import Memory
from train.validation import Score, Watch
from train.weights import Weights

MAX_NORM = 5.0  # of the gradient


@dataclass(frozen=True)
class Lesson:
    """What a fit learns from.

    Attributes:
        clips: all of them; without a teacher every one has a label.
        classes: number of classes.
        validation: labelled recordings to watch the fit on; None for none.
        teacher: a source of soft labels.
    """

    clips: Clips
    classes: int
    validation: Clips | None = None
    teacher: Teacher | None = None


@dataclass(frozen=True)
class Epoch:
    """How an epoch, counted from 1, went."""

    number: int
    loss: float
    learning_rate: float
    score: Score | None


class Dice:
    """All randomness of one epoch, from seed and epoch alone: none has to be remembered."""

    def __init__(self, seed: int, epoch: int, device: torch.device) -> None:
        self.tensors = torch.Generator(device).manual_seed(seed * 100_003 + epoch)
        self.numbers = random.Random(f"{seed} {epoch}")  # on the host: asks the device nothing


@as_found()
def fit(
    model: nn.Module,
    front_end: FrontEnd,
    lesson: Lesson,
    preset: Preset,
    seed: int,
    accelerator: Accelerator,
    memory: Memory = Memory(),  # noqa: B008 (frozen)
    report: Callable[[Epoch], None] = lambda _: None,
) -> nn.Module:
    """Trains ``model`` and returns it, or the average of its weights, in eval mode.

    Args:
        model: a freshly built system, on the device to train on.
        front_end: on the same device.
        lesson: what to learn from.
        preset: how.
        seed: with the epoch, the source of all randomness in here.
        accelerator: the processes and the precision to train with.
        memory: keeps the state after each epoch; a fit that was cut off goes on from it.
        report: called after each epoch.

    Raises:
        TrainingError: if the loss is not a number.
    """
    device = accelerator.device
    if accelerator.num_processes > 1 and device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    bank = Bank(lesson.clips, lesson.classes, preset.balance, device)
    watch = Watch(lesson.validation, preset.patience)
    weights, start = Weights(model, preset, device), 0
    if (state := memory.recall()) is not None:
        start = state["epoch"]
        weights.restore(state["weights"])
        watch.restore(state["watch"])
    pupil, optimiser = prepare(accelerator, model, weights.optimiser)
    steps = max(1, round((preset.draws or len(lesson.clips.items)) / preset.batch))
    chooser = weights.averaged.eval() if preset.tries > 1 else None
    for epoch in range(start, preset.epochs):
        if watch.enough:
            break
        dice = Dice(seed, epoch, device)
        torch.manual_seed(dice.numbers.getrandbits(63))  # for a system with dropout
        pupil.train()
        loss_of = partial(
            step_loss, pupil, front_end, bank, lesson.teacher, preset, dice, accelerator, chooser
        )
        total = torch.zeros((), device=device)
        for step in range(epoch * steps, (epoch + 1) * steps):
            rate = preset.learning_rate * schedule(preset, step, preset.epochs * steps)
            total += take_step(loss_of, rate, pupil, optimiser, weights, accelerator)
        mean = accelerator.reduce(total, "mean").item() / steps
        if not (math.isfinite(mean) and weights.finite()):
            raise TrainingError(
                f"The loss is not a number after epoch {epoch + 1}; try a lower learning rate. "
                "The state of the epoch before is kept."
            )
        outcome = weights.outcome.eval()
        # Of one process, so that all stop together.
        score = of_main(accelerator, lambda model=outcome: watch.look(model, front_end))
        watch.note(score, outcome)
        memory.keep({"epoch": epoch + 1, "weights": weights.state(), "watch": watch.state()})
        report(Epoch(epoch + 1, mean, rate, score))
    accelerator.free_memory()
    if watch.best is not None:
        weights.outcome.load_state_dict(watch.best)
    return accelerator.unwrap_model(weights.outcome, keep_fp32_wrapper=False).eval()


def take_step(
    loss_of: Callable[[], Tensor],
    rate: float,
    pupil: nn.Module,
    optimiser: torch.optim.Optimizer,
    weights: Weights,
    accelerator: Accelerator,
) -> Tensor:
    """One step at this learning rate; the loss stays on the device: nothing waits for it."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    loss = loss_of()
    optimiser.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(pupil.parameters(), MAX_NORM)
    optimiser.step()
    weights.follow()
    return loss.detach()


def schedule(preset: Preset, step: int, steps: int) -> float:
    """Factor of the learning rate."""
    if preset.schedule == "constant":
        return 1.0
    warm = max(1, round(0.25 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))


def likeliest(chooser: nn.Module, front_end: FrontEnd, waves: Tensor, tries: int) -> Tensor:
    """Of each clip's pieces (count * tries, samples), the most like the first class: (count, ...).

    "Most" by its logit less the greatest of the others.
    """
    logits = chooser(front_end(waves)).float()
    margin = logits[:, 0] - logits[:, 1:].amax(1)
    best = margin.view(-1, tries).argmax(1)
    return waves.view(-1, tries, waves.shape[-1])[torch.arange(len(best), device=best.device), best]


def step_loss(
    model: nn.Module,
    front_end: FrontEnd,
    bank: Bank,
    teacher: Teacher | None,
    preset: Preset,
    dice: Dice,
    accelerator: Accelerator,
    chooser: nn.Module | None = None,
) -> Tensor:
    """The loss of one random batch, with everything that augmentation does to it.

    This process's part of the batch; the mean over the processes is the loss of the whole batch,
    also where the parts are not of equal size.
    """
    config, how = front_end.config, preset.augmentation
    # One length for the whole batch, another for the next: the model meets 3 to 5 s.
    seconds = dice.numbers.uniform(config.min_seconds, config.piece_seconds)
    frames = round(seconds * config.sample_rate) // config.hop
    length, faster = frames * config.hop, 0
    if how is not None and how.speed:
        faster = round(100 * dice.numbers.uniform(-how.speed, how.speed))
    drawn = length * (100 + faster) // 100 + 1 if faster else length
    waves, targets = bank.draw(preset.batch, drawn, dice.tensors, preset.tries)
    with torch.no_grad():
        if chooser is not None:
            waves = likeliest(chooser, front_end, waves, preset.tries)
        if config.level == "piece":
            waves = front_end.to_level(waves)
        if faster:
            waves = change_speed(waves, faster, length)
        if how is not None:
            if how.under is not None:
                under = waves[targets[:, how.under] == 1]
                waves = lay_under(waves, under, how.under_db, 0.5, dice.tensors)
            waves = augment_waveforms(waves, how, dice.tensors)
            if how.damage:
                waves = degrade(waves, config.sample_rate, how.damage, dice.tensors)
        if teacher is not None:
            targets = teacher.teach(waves, targets)
        features = front_end(waves)
        if how is not None:
            log_mel = config.kind == "log-mel" and not config.deltas
            features = augment_features(features, how, log_mel, dice.tensors)
            features, targets = mixup(features, targets, how.mixup, dice.tensors)
    mine, of = accelerator.process_index, accelerator.num_processes
    features, targets = features.tensor_split(of)[mine], targets.tensor_split(of)[mine]
    if teacher is not None and teacher.reused:  # the targets are features
        errors = (model(features).float() - targets).square().mean(-1)
        return errors.sum() * of / preset.batch
    losses = nn.functional.cross_entropy(
        model(features).float(), targets, label_smoothing=preset.label_smoothing, reduction="sum"
    )
    return losses * of / preset.batch
