"""Prune channels of an improved ECAPA-TDNN (structured pruning), and prepare its fine-tuning.

The result is an improved ECAPA-TDNN with fewer ``channels``, whose weights are a subset of rows and
columns. Channels that are added or multiplied anywhere form a group and are pruned together, as in
Fang et al. 2023, "DepGraph: Towards any structural pruning". The criterion is the first-order
Taylor importance of Molchanov et al. 2019, "Importance estimation for neural network pruning",
equation 8: the sum of (gradient x weight)^2 over all weights of a channel, averaged over batches.
The full model is the teacher in fine-tuning.

The ratio is the share of channels removed from every group. Most of the cost is channel-by-channel
products, so about (1 - ratio)^2 of the multiply-adds remain.
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
)
from cry_model.networks.registry import make_front_end
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import Clips, DataError
from train.fit.distillation import Start, Teacher
from train.fit.presets import Preset
from train.fit.run import Experiment
from train.fit.trainer import DeviceDataset, EpochRng, step_loss

TEACHER_WEIGHT = 0.5
"""Weight of the full model's soft label in the target; the rest is the hard label."""
SHORTER = 3
"""Factor by which fine-tuning has fewer epochs than the original fit."""

Axis = tuple[str, ...]
"""The channel groups concatenated along a tensor axis, all of one size; () for an axis that is not
pruned."""
Layers = dict[str, tuple[Axis, Axis]]
"""Layer -> its output and input channels; a BatchNorm in it, or on its own, has the outputs'."""
STREAM, MAPS = "stream", "map"
"""The groups of the residual stream, and of the queries and keys of an attention map."""


def gate(name: str, on: Axis) -> Layers:
    """Return the layers of a :class:`~cry_model.networks.layers.SqueezeExcitation`."""
    hidden = (f"{name}.hidden",)
    return {f"{name}.w1": (hidden, on), f"{name}.w2": (on, hidden)}


def stage_layers(name: str, stage: MultiScaleDilatedStage, inner: Axis) -> Layers:
    """Return the layers of one stage; ``inner`` is the stream of its block's stages."""
    half = (f"{name}.half",)
    found = {f"{name}.dilated": (inner, half)}
    if stage.mca is None:
        return {**found, f"{name}.project": (half, inner)}
    count = len(stage.mca.convs)
    into, out = (tuple(f"{name}.{way}{i}" for i in range(count)) for way in ("in", "out"))
    pooled = f"{name}.pooled"  # passes no convolution, so input and output are the same group
    branches = (*out, pooled)
    return {
        **found,
        **{f"{name}.mca.convs.{i}": ((out[i],), (into[i],)) for i in range(count)},
        f"{name}.mca.reduce": ((*into, pooled), inner),
        **gate(f"{name}.mca.recalibrate", branches),
        f"{name}.norm": (branches, ()),
        f"{name}.project": (half, branches),
    }


def layers_of(model: ImprovedECAPATDNN) -> Layers:
    """Return the layers of the whole system, some of which an ablation lacks."""
    stream = (STREAM,)
    tokens = stream * (model.pool_norm.num_features // model.channels)
    found = {"stem": (stream, ()), "pool_norm": (tokens, ()), "classifier": ((), tokens)}
    for i in (1, 2):
        found |= {f"differential.{one}{i}": ((f"{MAPS}{i}",), stream) for one in ("q", "k")}
    found["differential.v"] = (stream, stream)
    for i, block in enumerate(model.blocks):
        name, inner = f"blocks.{i}", (f"blocks.{i}.inner",)
        found |= {f"{name}.expand": (inner, stream), f"{name}.merge": (stream, inner)}
        found |= gate(f"{name}.se", stream) | gate(f"{name}.attention.rse.se", stream)
        found[f"{name}.attention.temporal_gate"] = ((), stream)
        found |= {f"{name}.attention.{one}": (stream, stream) for one in ("channel_gate", "out")}
        for j, stage in enumerate(block.res2.stages):
            found |= stage_layers(f"{name}.res2.stages.{j}", stage, inner)
    return found


def axes_of(model: ImprovedECAPATDNN) -> dict[str, tuple[Axis, ...]]:
    """Return the first axes of each tensor of a state dict; others are not pruned."""
    tensors = model.state_dict()
    return {
        name: axes[: tensors[name].dim()]
        for layer, axes in layers_of(model).items()
        for name in tensors
        if name.startswith(f"{layer}.")
    }


def sizes_of(model: ImprovedECAPATDNN) -> dict[str, int]:
    """Return the number of channels of each group."""
    tensors, found = model.state_dict(), {}
    for name, axes in axes_of(model).items():
        for size, axis in zip(tensors[name].shape, axes, strict=False):
            found.update({group: size // len(axis) for group in axis})
    return found


def heads_of(model: ImprovedECAPATDNN) -> int:
    """Return the number of heads of the differential attention; 1 without it."""
    return 1 if model.differential is None else model.differential.heads


def channels_left(model: nn.Module, ratio: float) -> int:
    """Return the number of channels left, rounded to a multiple of twice the number of heads.

    Raise DataError if the model cannot be pruned, or if rounding leaves all its channels.
    """
    improved = isinstance(model, ImprovedECAPATDNN)
    if not improved or isinstance(model.classifier, ReusedClassifier):
        raise DataError(
            "Only the improved ECAPA-TDNN and its ablations, fitted to labels, can be pruned; "
            "other systems, and students that reuse a classifier, cannot."
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
    """Return the importance of every channel of every group, over one epoch of training batches.

    The model stays in eval mode; only ``clips``, all labelled, are used.
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
    """Return the sorted indices of the most important channels; ``sizes`` says how many per group.

    In a group that attention heads divide, each head keeps equally many.
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
    """Return the pruned state dict, on the CPU, of the system with ``channels`` channels.

    ``kept`` maps each group to the channels to keep. Queries are rescaled so that the softmax
    temperature does not change with fewer channels per head.
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
    """Return the preset that a checkpoint was trained with; raise DataError if it has none."""
    recorded = config.training.get("preset")
    try:
        return read(Preset, {**recorded, "front_end": asdict(config.front_end)}, "its preset")
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The checkpoint does not say how it was fitted and cannot be fine-tuned: {error}; fit "
            "it again."
        ) from error


def recorded_precision(config: CheckpointConfig) -> str:
    """Return the precision that a checkpoint was trained in, as options name it."""
    return "bfloat16" if config.training.get("precision") == "bf16" else "float32"


def shorter(preset: Preset) -> Preset:
    """Return the preset for fine-tuning: the same with a third of the epochs."""
    return replace(preset, epochs=max(1, round(preset.epochs / SHORTER)))


def pruned(
    experiment: Experiment,
    model: ImprovedECAPATDNN,
    config: CheckpointConfig,
    name: str,
    left: int,
    clips: Clips,
    seed: int,
) -> Experiment:
    """Prune a model; return the experiment that fine-tunes it, with the full model as teacher.

    ``experiment`` and ``clips`` are those that the full model was trained with; no other data is
    used. ``config`` and ``name`` are of its checkpoint; :func:`channels_left` gives ``left``;
    ``seed`` draws the batches that measure importance.
    """
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
