"""Prune whole channels of an improved ECAPA-TDNN, and prepare its fine-tuning.

What is left is an improved ECAPA-TDNN of fewer ``channels``: its weights are rows and columns of
the full one's. Channels that are added or multiplied anywhere go together, as in Fang et al. 2023,
"DepGraph: Towards any structural pruning". Which go is decided by the first-order Taylor importance
of Molchanov et al. 2019, "Importance estimation for neural network pruning", equation 8: the sum
over all weights that go with a channel of (gradient x weight)^2, the mean over batches. Then the
full model teaches what is left.

The ratio is the share of channels that is removed, from every group of them. Most of the work is
products of channels with channels, so about (1 - ratio)^2 of the multiply-adds is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cry_model.checkpoint import CheckpointConfig
from cry_model.declared import read
from cry_model.networks.improved_ecapa_tdnn import (
    ImprovedECAPATDNN,
    MultiScaleDilatedStage,
    ReusedClassifier,
    RSEMCABlock,
)
from cry_model.networks.registry import make_front_end
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import Clips, DataError
from train.fit.distillation import Start, Teacher
from train.fit.presets import Preset
from train.fit.run import Experiment
from train.fit.trainer import DeviceDataset, EpochRng, step_loss

TEACHER_WEIGHT = 0.5
"""Of the full model's answer in the target; the rest is the label."""
SHORTER = 3
"""How many times fewer epochs than the fit had."""

Axis = tuple[str, ...]
"""The groups of channels that lie side by side along an axis, all equally many; () for an axis that
stays whole."""
Axes = dict[str, tuple[Axis, ...]]
"""Tensor of a state dict -> its first axes; what is not named stays whole."""
STREAM, MAPS = "stream", "map"
"""The channels that all layers add to, and those of the queries and keys of a map."""


def layer(name: str, out: Axis, into: Axis) -> Axes:
    """Describe a convolution or a linear layer."""
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str, on: Axis) -> Axes:
    """Describe a BatchNorm."""
    return {f"{name}.{part}": (on,) for part in ("weight", "bias", "running_mean", "running_var")}


def conv_norm(name: str, out: Axis, into: Axis) -> Axes:
    """Describe a :class:`~cry_model.networks.layers.ConvReLUBatchNorm`."""
    return layer(f"{name}.0", out, into) | norm(f"{name}.2", out)


def gate(name: str, on: Axis) -> Axes:
    """Describe a :class:`~cry_model.networks.layers.SqueezeExcitation`."""
    hidden = (f"{name}.hidden",)
    return layer(f"{name}.w1", hidden, on) | layer(f"{name}.w2", on, hidden)


def stage_axes(name: str, stage: MultiScaleDilatedStage, inner: Axis) -> Axes:
    """Describe one stage; ``inner`` is what its block's stages add to."""
    half = (f"{name}.half",)
    found = conv_norm(f"{name}.dilated", inner, half)
    if stage.mca is None:
        return found | conv_norm(f"{name}.project", half, inner)
    count = len(stage.mca.convs)
    into, out = (tuple(f"{name}.{way}{i}" for i in range(count)) for way in ("in", "out"))
    pooled = f"{name}.pooled"  # goes through no convolution, so in and out are one
    branches = (*out, pooled)
    for i in range(count):
        found |= layer(f"{name}.mca.convs.{i}", (out[i],), (into[i],))
    return {
        **found,
        **layer(f"{name}.mca.reduce", (*into, pooled), inner),
        **gate(f"{name}.mca.recalibrate", branches),
        **norm(f"{name}.norm", branches),
        **conv_norm(f"{name}.project", half, branches),
    }


def block_axes(name: str, block: RSEMCABlock) -> Axes:
    """Describe one block."""
    stream, inner = (STREAM,), (f"{name}.inner",)
    found = conv_norm(f"{name}.expand", inner, stream) | conv_norm(f"{name}.merge", stream, inner)
    found |= gate(f"{name}.se", stream)
    if block.attention is not None:
        at = f"{name}.attention"
        found |= gate(f"{at}.rse.se", stream) | layer(f"{at}.temporal_gate", (), stream)
        found |= layer(f"{at}.channel_gate", stream, stream) | layer(f"{at}.out", stream, stream)
    for i, stage in enumerate(block.res2.stages):
        found |= stage_axes(f"{name}.res2.stages.{i}", stage, inner)
    return found


def axes_of(model: ImprovedECAPATDNN) -> Axes:
    """Describe the whole system."""
    stream = (STREAM,)
    tokens = stream * (model.pool_norm.num_features // model.channels)
    found = conv_norm("stem", stream, ()) | norm("pool_norm", tokens)
    found |= layer("classifier", (), tokens)
    for i, block in enumerate(model.blocks):
        found |= block_axes(f"blocks.{i}", block)
    if model.differential is not None:
        for i in (1, 2):
            for one in ("q", "k"):
                found |= layer(f"differential.{one}{i}", (f"{MAPS}{i}",), stream)
        found |= layer("differential.v", stream, stream)
    return {name: axes for name, axes in found.items() if name in model.state_dict()}


def sizes_of(model: ImprovedECAPATDNN) -> dict[str, int]:
    """Return how many channels each group has."""
    tensors, found = model.state_dict(), {}
    for name, axes in axes_of(model).items():
        for size, axis in zip(tensors[name].shape, axes, strict=False):
            found.update({group: size // len(axis) for group in axis})
    return found


def heads_of(model: ImprovedECAPATDNN) -> int:
    """Return into how many heads the differential attention cuts the channels; 1 without it."""
    return 1 if model.differential is None else model.differential.heads


def can_be_pruned(model: nn.Module) -> bool:
    """Return whether it is an improved ECAPA-TDNN, or an ablation, that was fitted to labels."""
    fitted = isinstance(model, ImprovedECAPATDNN)
    return fitted and not isinstance(model.classifier, ReusedClassifier)


def channels_left(model: nn.Module, ratio: float) -> int:
    """Return how many channels are left: the nearest number that heads and halves divide.

    Raise DataError if the model cannot be pruned, or so little of it goes that none would.
    """
    if not can_be_pruned(model):
        raise DataError(
            "Only the improved ECAPA-TDNN and its ablations can be pruned, fitted to labels; leave "
            "other systems, and students that reuse a classifier, as they are."
        )
    step = 2 * heads_of(model)
    left = max(4, step, step * round((1 - ratio) * model.channels / step))
    if left >= model.channels:
        raise DataError(
            f"{model.channels} channels in steps of {step} cannot lose a share of {ratio:g}; prune "
            "more, or a wider model."
        )
    return left


def importance_of(
    model: ImprovedECAPATDNN, front_end: FrontEnd, clips: Clips, experiment: Experiment, seed: int
) -> dict[str, Tensor]:
    """Return the importance of every channel of every group, over one epoch of the fit's batches.

    The model stays in eval mode, and only ``clips``, all labelled, are heard.
    """
    accelerator, preset = experiment.accelerator, experiment.preset
    device, model = accelerator.device, model.eval()
    dataset = DeviceDataset(clips, len(experiment.labels), preset.class_balance, device)
    steps, rng = max(1, round(len(clips.items) / preset.batch)), EpochRng(seed, 0, device)
    weights = dict(model.named_parameters())
    squares = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for _ in tqdm(range(steps), desc="importance of channels", unit="step", leave=False):
        loss = step_loss(model, front_end, dataset, None, preset, rng, accelerator)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            squares[name] += (gradient * weight.detach()).square() / steps
    axes = axes_of(model)
    found = {group: torch.zeros(size, device=device) for group, size in sizes_of(model).items()}
    for name, square in squares.items():
        for i, axis in enumerate(axes.get(name, ())):
            if axis:
                sums = square.transpose(0, i).flatten(1).sum(1) if square.dim() > 1 else square
                for group, part in zip(axis, sums.chunk(len(axis)), strict=True):
                    found[group] += part
    return {group: score.cpu() for group, score in found.items()}


def most_important(
    importance: Mapping[str, Tensor], sizes: Mapping[str, int], heads: int
) -> dict[str, Tensor]:
    """Return the numbers of the channels to keep, rising, so many of each group.

    Where heads cut a group, as many of each head.
    """
    kept = {}
    for group, score in importance.items():
        parts = heads if group == STREAM or group.startswith(MAPS) else 1
        rows = score.unflatten(0, (parts, -1))
        best = rows.topk(sizes[group] // parts).indices.sort().values
        kept[group] = (best + torch.arange(parts).unsqueeze(1) * rows.shape[1]).flatten()
    return kept


@torch.no_grad()
def keep(model: ImprovedECAPATDNN, kept: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Return the state dict, on the CPU, of the same system with ``channels`` of its channels.

    ``kept`` has the channels to keep of each group. Queries are scaled so that fewer channels a
    head leave the scores what they were.
    """
    axes, sizes, found = axes_of(model), sizes_of(model), {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu()
        for i, axis in enumerate(axes.get(name, ())):
            if axis:
                places = [kept[group] + n * sizes[group] for n, group in enumerate(axis)]
                tensor = tensor.index_select(i, torch.cat(places))
        if name in ("differential.q1.weight", "differential.q2.weight"):
            tensor = tensor * math.sqrt(channels / model.channels)
        found[name] = tensor
    return found


def recorded_preset(config: CheckpointConfig) -> Preset:
    """Return the preset that a checkpoint was fitted with; raise DataError if it names none."""
    recorded = config.training.get("preset")
    try:
        return read(Preset, {**recorded, "front_end": asdict(config.front_end)}, "its preset")
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The checkpoint does not say how it was fitted, so it cannot be fitted on: {error}; "
            "fit it again."
        ) from error


def recorded_precision(config: CheckpointConfig) -> str:
    """Return in which precision a checkpoint was fitted, as options name it."""
    return "bfloat16" if config.training.get("precision") == "bf16" else "float32"


def shorter(preset: Preset) -> Preset:
    """Return a preset for fine-tuning: the same with a third of the epochs."""
    return replace(preset, epochs=max(1, round(preset.epochs / SHORTER)))


def pruned(
    experiment: Experiment,
    model: nn.Module,
    config: CheckpointConfig,
    name: str,
    ratio: float,
    clips: Clips,
    seed: int,
) -> Experiment:
    """Return how a model without a share of its channels is fine-tuned: from the kept weights, the
    full one teaching.

    ``experiment`` is how the full model was fitted, ``clips`` what it learnt from: nothing else is
    heard. Config and name are of its checkpoint, the seed of the batches. Raise DataError if it
    cannot be pruned.
    """
    left = channels_left(model, ratio)
    device = experiment.accelerator.device
    model = model.to(device)
    settings = {**config.settings, "channels": left}
    front_end = make_front_end(config.front_end).to(device).eval()
    importance = importance_of(model, front_end, clips, experiment, seed)
    narrow = replace(experiment, settings=settings)
    with torch.device("meta"):
        sizes = sizes_of(narrow.build())
    weights = keep(model, most_important(importance, sizes, heads_of(model)), left)
    return replace(
        narrow,
        preset=shorter(experiment.preset),
        teacher=Teacher(name, config, model, front_end, TEACHER_WEIGHT, False),
        start=Start(name, weights),
    )
