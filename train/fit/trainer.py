"""The training loop, readable top to bottom.

Everything runs on the device, in batches: waveforms, features, augmentation and the model, so no
Python loader is in the way. Under ``accelerate launch`` each process draws the same global batch
from the same generator and trains on its own part of it.
"""

from __future__ import annotations

import copy
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from cry_model.frontend import FrontEnd
from cry_model.metrics import balanced_accuracy
from train.data.augmentation import (
    augment_features,
    augment_waveforms,
    change_speed,
    degrade,
    lay_under,
    mixup,
    uniform,
)
from train.data.clips import Clips
from train.data.feature_tables import TableFrontEnd
from train.data.splits import PROTOCOLS, require_two_labels, split
from train.fit.devices import as_found, of_main, prepare
from train.fit.distillation import Teacher, solve_readout
from train.fit.feature_mlp import fit_table
from train.fit.predict import TrainingError, TrainingFrontEnd, piece_probabilities
from train.fit.presets import Preset
from train.fit.run import Run
from train.fit.state import Memory
from train.fit.weights import Weights


@dataclass(frozen=True)
class Score:
    """Of the held-back recordings: mean recall, and cross-entropy with every class counting alike.

    The fit is steered by the second, which moves with every epoch where the first stands still.
    """

    balanced_accuracy: float
    loss: float


def score(model: nn.Module, front_end: FrontEnd, clips: Clips) -> Score:
    """Scores labelled clips per recording, by a model in eval mode."""
    pieces = piece_probabilities(model, front_end, clips)
    probabilities = np.stack([rows.mean(0) for rows in pieces])
    labels = clips.labels.numpy()
    own = probabilities[np.arange(len(labels)), labels].clip(1e-7)
    loss = np.mean([-np.log(own[labels == label]).mean() for label in np.unique(labels)])
    weights = np.ones(len(labels))
    return Score(balanced_accuracy(labels, probabilities, weights), float(loss))


class Watch:
    """The score after each epoch, the best weights so far, and when to stop."""

    def __init__(self, clips: Clips | None, patience: int) -> None:
        self.clips, self.patience = clips, patience
        self.best: dict[str, Any] | None = None
        self.best_loss, self.waited = math.inf, 0

    def look(self, model: nn.Module, front_end: FrontEnd) -> Score | None:
        """Scores ``model``, in eval mode; None if there is nothing to look at."""
        return None if self.clips is None else score(model, front_end, self.clips)

    def note(self, found: Score | None, model: nn.Module) -> None:
        """Remembers the weights if their score is the best so far."""
        if found is None:
            return
        if found.loss < self.best_loss:
            self.best_loss, self.waited = found.loss, 0
            if self.patience:
                self.best = copy.deepcopy(model.state_dict())
        else:
            self.waited += 1

    @property
    def enough(self) -> bool:
        """Whether the fit should end here."""
        return 0 < self.patience <= self.waited

    def state(self) -> dict[str, Any]:
        """To go on with later."""
        return {"best": self.best, "best_loss": self.best_loss, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state`."""
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.waited = state["waited"]


class Bank:
    """All clips on the device, one after the other, and how often to draw each.

    Labels are (clips, classes) one-hot rows; those of unlabelled clips are zero. With ``balance``
    1 every class is drawn equally often, and the unlabelled as if they were one more; with 0
    every clip is. The class of a clip is what its item says: where only a teacher labels, that is
    the teacher's opinion, while the row stays zero.
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
        # A searched distribution function rather than torch.multinomial, which sums in an order of
        # its own choosing on CUDA.
        self.distribution = frequency.pow(-balance).cumsum(0).to(device)

    def draw(
        self, count: int, length: int, rng: torch.Generator, tries: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Random pieces (count, length) and their targets (count, classes).

        A clip shorter than the piece is repeated, from a random point on. With ``tries`` above 1
        there are so many pieces of each clip, one after the other: (count * tries, length).
        """
        place = torch.rand(count, generator=rng, device=rng.device, dtype=torch.float64)
        chosen = torch.searchsorted(self.distribution, place * self.distribution[-1], right=True)
        chosen = chosen.clamp_max(len(self.lengths) - 1)
        sizes = self.lengths[chosen].unsqueeze(1)
        room = torch.where(sizes > length, sizes - length + 1, sizes)
        starts = (uniform(0, 1, (count, tries), rng) * room).long()
        at = (starts.unsqueeze(2) + torch.arange(length, device=rng.device)) % sizes.unsqueeze(2)
        waves = self.samples[self.offsets[chosen].view(-1, 1, 1) + at]
        return waves.flatten(0, 1), self.targets[chosen]


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


def train_model(
    run: Run, clips: Clips, front_end: TrainingFrontEnd, seed: int, fold: int | None
) -> nn.Module:
    """Fits a fold's training part or, with ``fold`` None, everything; goes on from a kept state."""
    accelerator, preset = run.accelerator, run.preset
    learnt, watched = hold_back(run, clips, seed)
    if run.teacher is None:
        require_two_labels(learnt.items, "What this fit learns from")
    if isinstance(front_end, TableFrontEnd):
        return fit_table(run.model(seed), clips, preset, seed)
    where = f"seed {seed}, " + ("all recordings" if fold is None else f"fold {fold}")
    memory = run.memory(seed, fold)
    if run.track:
        accelerator.init_trackers(f"{run.name}/{run.protocol}/{run.system}/{where}")
    with tqdm(
        total=preset.epochs,
        desc=f"{run.system}, {where}",
        unit="epoch",
        **({} if accelerator.is_main_process else {"disable": True}),  # or as TQDM_DISABLE has it
    ) as bar:

        def report(epoch: Epoch) -> None:
            if not bar.n:  # the first after a resume: what came before took none of this time
                bar.initial = bar.n = epoch.number - 1
            bar.set_postfix(curves(epoch), refresh=False)
            bar.update()
            if run.track:
                accelerator.log(curves(epoch), step=epoch.number)

        lesson = Lesson(learnt, len(run.labels), watched, run.teacher)
        model = run.model(seed)
        model = fit(model, front_end, lesson, preset, seed, accelerator, memory, report)
    if run.track:
        accelerator.end_training()
    if run.teacher is not None and run.teacher.reused:
        solve_readout(model, front_end, learnt, run.teacher)
    return model


def hold_back(run: Run, clips: Clips, seed: int) -> tuple[Clips, Clips | None]:
    """What to learn from and what to watch: labelled clips, split off as the protocol splits."""
    items = [replace(item, fold=None) for item in clips.items]
    labelled = [i for i, item in enumerate(items) if item.label is not None]
    if not run.preset.validation or not labelled:
        return clips, None
    count = round(1 / run.preset.validation)
    fold_of = split([items[i] for i in labelled], run.protocol, count, seed)
    watched = [i for i, fold in zip(labelled, fold_of, strict=True) if fold == 0]
    key = PROTOCOLS[run.protocol]
    taken = {key(items[i]) for i in watched}
    learnt = [i for i, item in enumerate(items) if key(item) not in taken]
    return clips.subset(learnt), clips.subset(watched)


def curves(epoch: Epoch) -> dict[str, float]:
    """What the bar and the trackers show of an epoch."""
    values = {"loss": epoch.loss, "rate": epoch.learning_rate}
    if epoch.score is not None:
        values["validation loss"] = epoch.score.loss
        values["validation balanced accuracy"] = epoch.score.balanced_accuracy
    return values
