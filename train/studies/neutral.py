"""Ablate one attention of a fitted model: make it prefer nothing, weights untouched.

What is neutral is set where a gate or map is computed, so everything after it, later blocks
included, follows: in block 2 the mean of A_t is that of the A_t which block 2 has once block 1 is
neutral. Shapes as in :mod:`cry_model.layers`.

``differential``: A_1 and A_2 are 1 / N everywhere, whatever N is.
``temporal``: A_t of each block is, at every frame, the piece's own mean over time.
``channel``: A_c of each block is, in every channel, the piece's own mean over channels.
``multi_scale``: the gate s of each stage is, in every channel of every branch, the piece's own mean
over all of them.
``channel_fixed``, ``multi_scale_fixed``: these gates are their averages over many pieces: channels
and scales keep what the fit made of them, and nothing depends on the input.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cry_model.layers import (
    DifferentialAttention,
    MultiScaleChannelAttention,
    TemporalChannelAttention,
)
from cry_model.metrics import bootstrap, bootstrap_difference, mean
from cry_model.records import Estimate
from cry_model.results import probability_columns, recording_means
from train.data.corpus import DataError

FIXED = "_fixed"
PLACES: Mapping[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "differential": (DifferentialAttention, ("q1", "q2")),
    "temporal": (TemporalChannelAttention, ("temporal_gate",)),
    "channel": (TemporalChannelAttention, ("channel_gate",)),
    f"channel{FIXED}": (TemporalChannelAttention, ("channel_gate",)),
    "multi_scale": (MultiScaleChannelAttention, ("recalibrate.w2",)),
    f"multi_scale{FIXED}": (MultiScaleChannelAttention, ("recalibrate.w2",)),
}
"""Name -> the module of the attention, and its layers whose outputs decide it: the queries, or
what goes into the gate's sigmoid."""

Averages = Mapping[nn.Module, Tensor]
"""Layer -> the mean of the gate that it decides, (channels,) in float64."""
Rule = Callable[[nn.Module, Tensor], Tensor]


def ablations(model: nn.Module) -> tuple[str, ...]:
    """Return the names in :data:`PLACES` of what the model has; none for a system without
    attention."""
    return tuple(name for name in PLACES if deciding(model, name))


def deciding(model: nn.Module, name: str) -> list[nn.Module]:
    """Return the layers of every block and stage that decide the attention ``name``."""
    kind, layers = PLACES[name]
    modules = [module for module in model.modules() if isinstance(module, kind)]
    return [module.get_submodule(layer) for module in modules for layer in layers]


@contextlib.contextmanager
def ablated(model: nn.Module, name: str, averages: Averages | None = None) -> Iterator[None]:
    """While one attention of the model, in eval mode, is neutral; afterwards it is as before.

    Args:
        model: any system.
        name: one of :func:`ablations`.
        averages: what :func:`averaging` found in this very model, for the fixed ones.

    Raises:
        ValueError: if the model has no such attention, or a fixed one has no averages.
    """
    if name not in PLACES or not deciding(model, name):
        raise ValueError(f"This model has no attention '{name}' that could be made neutral.")
    if name == "differential":
        rule = without_query
    elif not name.endswith(FIXED):
        rule = without_preference
    elif averages:
        rule = held_at(averages)
    else:
        raise ValueError(f"'{name}' takes the averages of the gates; see averaging().")
    with hooked(deciding(model, name), rule):
        yield


@contextlib.contextmanager
def averaging(model: nn.Module) -> Iterator[Averages]:
    """Averages the gates A_c and s over all pieces that the model is given meanwhile.

    The mapping is filled when the context ends; each piece counts alike. It stays empty for a model
    that has neither gate.
    """
    fixed = [name for name in PLACES if name.endswith(FIXED)]
    seen: dict[nn.Module, list[Tensor]] = {
        layer: [] for name in fixed for layer in deciding(model, name)
    }

    def note(layer: nn.Module, output: Tensor) -> Tensor:
        seen[layer].append(torch.sigmoid(output.double()))
        return output

    means: dict[nn.Module, Tensor] = {}
    with hooked(list(seen), note):
        yield means
    means.update({layer: torch.cat(gates).mean(0) for layer, gates in seen.items() if gates})


@contextlib.contextmanager
def hooked(layers: list[nn.Module], rule: Rule) -> Iterator[None]:
    """While every output of the layers goes through ``rule``."""
    with contextlib.ExitStack() as stack:
        for layer in layers:
            hook = layer.register_forward_hook(lambda module, _, output: rule(module, output))
            stack.enter_context(hook)
        yield


def without_query(_: nn.Module, output: Tensor) -> Tensor:
    """Zeros: their products with all keys are equal, so the softmax is 1 / N."""
    return torch.zeros_like(output)


def without_preference(_: nn.Module, output: Tensor) -> Tensor:
    """Return what the sigmoid turns into its mean over the last axis: frames, or channels."""
    gate = torch.sigmoid(output.double()).mean(-1, keepdim=True)
    return torch.logit(gate).to(output.dtype).expand_as(output)


def held_at(averages: Averages) -> Rule:
    """Return what the sigmoid turns into the layer's average gate, for every piece."""

    def rule(layer: nn.Module, output: Tensor) -> Tensor:
        return torch.logit(averages[layer]).to(output.dtype).expand_as(output)

    return rule


SCORED = ("accuracy", "balanced_accuracy", "macro_auc")


@dataclass(frozen=True)
class Paired:
    """One metric per recording; 95 % intervals resample groups.

    Attributes:
        fitted: of the model as it was fitted.
        neutral: with the attention made neutral.
        difference: ``neutral`` less ``fitted``, of the same recordings in every draw: below 0 where
            the attention helps.
    """

    fitted: Estimate
    neutral: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Ablation:
    """What one neutralisation does to the answers, per recording.

    Attributes:
        metrics: name -> paired, for :data:`SCORED`.
        changed: share of the recordings whose most probable label is another.
        distance: mean total variation distance of the probabilities, 0 to 1.
    """

    metrics: Mapping[str, Paired]
    changed: Estimate
    distance: Estimate


def compare(
    fitted: pd.DataFrame, neutral: Mapping[str, pd.DataFrame], labels: Sequence[str]
) -> dict[str, Ablation]:
    """Each neutralisation beside the model as fitted.

    Args:
        fitted: predictions per piece, as in ``predictions.csv``.
        neutral: name -> the same pieces in the same order.
        labels: in the order of the probabilities.

    Raises:
        DataError: if the pieces are not the same.
    """
    keys = ["clip", "seed", "fold"]
    for name, table in neutral.items():
        if not table[keys].equals(fitted[keys]):
            raise DataError(f"The pieces under '{name}' are not those of the model as fitted.")
    columns, index = probability_columns(labels), {label: i for i, label in enumerate(labels)}
    rows = recording_means(fitted, labels)
    truth, groups = rows["label"].map(index).to_numpy(), rows["group"].tolist()
    before = rows[columns].to_numpy(dtype=np.float64)
    scores = {name: bootstrap(name, truth, before, groups) for name in SCORED}
    found = {}
    for name, table in neutral.items():
        after = recording_means(table, labels)[columns].to_numpy(dtype=np.float64)
        metrics = {
            metric: Paired(
                scores[metric],
                bootstrap(metric, truth, after, groups),
                bootstrap_difference(metric, truth, after, before, groups),
            )
            for metric in SCORED
        }
        changed = (before.argmax(1) != after.argmax(1)).astype(np.float64)
        distance = np.abs(before - after).sum(1) / 2
        found[name] = Ablation(metrics, mean(changed, groups), mean(distance, groups))
    return found
