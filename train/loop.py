"""The training loop, readable top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cry_model.features import FrontEnd
from train.augmentation import augment_features, augment_waveforms, mixup, uniform
from train.clips import Clips
from train.presets import Preset

Progress = Callable[[int, float], None]


class TrainingError(RuntimeError):
    """The training cannot go on; the message says why."""


class Bank:
    """The waveforms of all clips on the device, one after the other, and how often to draw each."""

    def __init__(self, clips: Clips, classes: int, balance: float, device: torch.device) -> None:
        lengths = torch.tensor([len(w) for w in clips.waveforms])
        self.samples = torch.cat(clips.waveforms).to(device)
        self.lengths = lengths.to(device)
        self.offsets = (lengths.cumsum(0) - lengths).to(device)
        self.targets = nn.functional.one_hot(clips.labels, classes).float().to(device)
        frequency = self.targets.sum(0)[clips.labels.to(device)]
        self.weights = frequency.pow(-balance)

    def draw(self, count: int, length: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random pieces (count, length) and their targets (count, classes).

        A clip shorter than the piece is repeated, from a random point on.
        """
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=rng)
        sizes = self.lengths[chosen].unsqueeze(1)
        room = torch.where(sizes > length, sizes - length + 1, sizes)
        start = (uniform(0, 1, (count, 1), rng) * room).long()
        at = (start + torch.arange(length, device=rng.device)) % sizes
        return self.samples[self.offsets[chosen].unsqueeze(1) + at], self.targets[chosen]


def schedule(preset: Preset, steps: int) -> Callable[[int], float]:
    """Step -> factor of the learning rate."""
    if preset.schedule == "constant":
        return lambda _: 1.0
    warm = max(1, round(0.25 * steps))
    return lambda step: (
        (step + 1) / warm
        if step < warm
        else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))
    )


def step_loss(
    model: nn.Module, front_end: FrontEnd, bank: Bank, preset: Preset, rng: torch.Generator
) -> Tensor:
    """The loss of one random batch, with everything that augmentation does to it."""
    config, how = front_end.config, preset.augmentation
    # One length for the whole batch, another for the next: the model meets 3 to 5 s.
    seconds = uniform(config.min_seconds, config.piece_seconds, (1,), rng).item()
    frames = round(seconds * config.sample_rate) // config.hop
    waves, targets = bank.draw(preset.batch, frames * config.hop, rng)
    with torch.no_grad():
        if how is not None:
            waves = augment_waveforms(waves, how, rng)
        features = front_end(waves)
        if how is not None:
            features = augment_features(features, how, config.kind == "log-mel", rng)
            features, targets = mixup(features, targets, how.mixup, rng)
    device = features.device.type
    with torch.autocast(device, torch.bfloat16, enabled=supports_bfloat16(device)):
        logits = model(features).float()
    return nn.functional.cross_entropy(logits, targets, label_smoothing=preset.label_smoothing)


def supports_bfloat16(device: str) -> bool:
    """Whether bf16 is quicker than float32 there: by hardware, not by emulation."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def fit(
    model: nn.Module,
    front_end: FrontEnd,
    clips: Clips,
    classes: int,
    preset: Preset,
    seed: int,
    progress: Progress = lambda _epoch, _loss: None,
) -> nn.Module:
    """Trains ``model`` where it is and returns it, or the average of its weights, in eval mode.

    Args:
        model: a freshly built system, on the device to train on.
        front_end: on the same device.
        clips: what to train on, all of it.
        classes: number of classes.
        preset: how.
        seed: with the epoch, the source of all randomness in here.
        progress: called after each epoch with its number and mean loss.

    Raises:
        TrainingError: if the loss is not a number.
    """
    device = next(model.parameters()).device
    bank = Bank(clips, classes, preset.balance, device)
    steps = max(1, round(len(clips.items) / preset.batch))
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, schedule(preset, preset.epochs * steps)
    )
    averaged = None
    if preset.average:
        average = get_ema_multi_avg_fn(preset.average)
        averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    for epoch in range(preset.epochs):
        rng = torch.Generator(device).manual_seed(seed * 100_003 + epoch)
        model.train()
        total = 0.0
        for _ in range(steps):
            loss = step_loss(model, front_end, bank, preset, rng)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            scheduler.step()
            if averaged is not None:
                averaged.update_parameters(model)
            total += loss.item()
        if not math.isfinite(total):
            raise TrainingError(f"The loss is not a number after epoch {epoch + 1}.")
        progress(epoch + 1, total / steps)
    return (model if averaged is None else averaged.module).eval()
