"""Ablate the attentions of trained models: make each uniform or constant, with all weights kept.

An ablation replaces a gate or map where it is computed, so later layers see its effect: in block 2
the mean of A_t is taken over the A_t that results from the ablated block 1. ``differential``: A_1
and A_2 are 1 / N everywhere. ``temporal``: A_t of each block is, at every frame, its mean over the
piece's frames; ``channel``: A_c is its mean over channels; ``multi_scale``: the gate s of each
stage is its mean over branches and channels. ``channel_fixed``, ``multi_scale_fixed``: these gates
are their averages over many pieces, which keeps learnt channel and scale weights but removes the
dependence on the input.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cry_model.checkpoint import load_checkpoint
from cry_model.metrics import bootstrap, bootstrap_difference, mean
from cry_model.networks.layers import (
    DifferentialAttention,
    MultiScaleChannelAttention,
    TemporalChannelAttention,
)
from cry_model.results import label_numbers, probabilities_of, probability_columns, recording_means
from train.data.corpus import Clips, DataError
from train.fit.predict import TrainingFrontEnd, of_each_piece, predict
from train.fit.run import Run
from train.scoring.results import Kept, existing_predictions

PLACES: Mapping[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "differential": (DifferentialAttention, ("q1", "q2")),
    "temporal": (TemporalChannelAttention, ("temporal_gate",)),
    "channel": (TemporalChannelAttention, ("channel_gate",)),
    "channel_fixed": (TemporalChannelAttention, ("channel_gate",)),
    "multi_scale": (MultiScaleChannelAttention, ("recalibrate.w2",)),
    "multi_scale_fixed": (MultiScaleChannelAttention, ("recalibrate.w2",)),
}
"""Name -> the class of the attention module, and the layers whose outputs determine it: the
queries, or the inputs of the gate's sigmoid."""
FIXED = ("channel_fixed", "multi_scale_fixed")

Gates = Mapping[nn.Module, Sequence[Tensor]]
"""Layer -> batches of the gate that it determines, (pieces, channels) each, in float64."""
Hook = Callable[[nn.Module, object, Tensor], Tensor | None]
"""Layer, its inputs and its output -> the output that replaces it, or None to keep it."""


def ablations(model: nn.Module) -> tuple[str, ...]:
    """Return the names in :data:`PLACES` of the model's attentions, if it has any."""
    return tuple(name for name in PLACES if deciding(model, name))


def deciding(model: nn.Module, name: str) -> list[nn.Module]:
    """Return the layers of every block and stage that determine the attention ``name``."""
    kind, layers = PLACES[name]
    modules = [module for module in model.modules() if isinstance(module, kind)]
    return [module.get_submodule(layer) for module in modules for layer in layers]


@contextlib.contextmanager
def ablated(model: nn.Module, name: str, gates: Gates) -> Iterator[None]:
    """Ablate an attention of a model in eval mode within the context, with its own gates."""

    def ablate(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
        if name == "differential":
            return torch.zeros_like(output)  # zero queries make all logits equal: softmax is 1 / N
        if name in FIXED:
            gate = torch.cat([*gates[layer]]).mean(0)
        else:
            gate = torch.sigmoid(output.double()).mean(-1, keepdim=True)  # of frames, or channels
        return torch.logit(gate).to(output.dtype).expand_as(output)

    with hooked(deciding(model, name), ablate):
        yield


@contextlib.contextmanager
def recorded(model: nn.Module) -> Iterator[Gates]:
    """Record the gates A_c and s of all pieces that the model processes within the context."""
    gates: dict[nn.Module, list[Tensor]] = defaultdict(list)

    def record(layer: nn.Module, inputs: object, output: Tensor) -> None:
        gates[layer].append(torch.sigmoid(output.double()))

    with hooked([layer for name in FIXED for layer in deciding(model, name)], record):
        yield gates


@contextlib.contextmanager
def hooked(layers: Sequence[nn.Module], hook: Hook) -> Iterator[None]:
    """Pass every output of the layers through ``hook`` within the context."""
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(layer.register_forward_hook(hook))
        yield


SCORED = ("accuracy", "balanced_accuracy", "macro_auc")


def compare(
    fitted: pd.DataFrame, ablated: Mapping[str, pd.DataFrame], labels: Sequence[str]
) -> dict[str, Any]:
    """Compare each ablation with the unchanged model, on predictions of the same pieces.

    All values are per recording. ``metrics`` are those as fitted, with the attention ablated
    (neutral), and their paired difference, below 0 where the attention helps. ``changed`` is the
    share with another top label; ``distance`` the mean total variation distance, 0 to 1.
    """
    rows = recording_means(fitted, labels)
    truth, groups = label_numbers(rows, labels), rows["group"].tolist()
    before, found = probabilities_of(rows, labels), {}
    scores = {name: bootstrap(name, truth, before, groups) for name in SCORED}
    for name, table in ablated.items():
        after = probabilities_of(recording_means(table, labels), labels)
        metrics = {
            metric: {
                "fitted": scores[metric],
                "neutral": bootstrap(metric, truth, after, groups),
                "difference": bootstrap_difference(metric, truth, after, before, groups),
            }
            for metric in SCORED
        }
        found[name] = {
            "metrics": metrics,
            "changed": mean(before.argmax(1) != after.argmax(1), groups),
            "distance": mean(np.abs(before - after).sum(1) / 2, groups),
        }
    return found


def map_entropies(model: nn.Module, front_end: TrainingFrontEnd, clips: Clips) -> pd.DataFrame:
    """Return N and the mean row entropies of A_1 and A_2, divided by log N, one row per piece."""

    def compute(features: Tensor) -> Tensor:
        maps = model(features, return_attention=True)[1]
        both = torch.stack([maps.differential_1, maps.differential_2], 1).double()
        tokens = both.shape[-1]
        entropies = torch.special.entr(both).sum(-1).mean((2, 3)) / math.log(tokens)
        return nn.functional.pad(entropies, (1, 0), value=tokens)

    rows = of_each_piece(compute, front_end, clips, next(model.parameters()).device)
    return pd.DataFrame(np.concatenate(rows), columns=["tokens", "entropy_1", "entropy_2"])


def differential_facts(table: pd.DataFrame) -> dict[str, Any] | None:
    """Summarise the rows of :func:`map_entropies` with group, seed, fold and lambda, if present.

    Return the number of tokens, entropies (1 is uniform), and "seed S, fold F" -> its lambda."""
    if "tokens" not in table:
        return None
    weights, groups = table.groupby(["seed", "fold"])["lambda"].first(), table["group"].tolist()
    return {
        "tokens": int(table["tokens"].iloc[0]),
        **{name: mean(table[name].to_numpy(), groups) for name in ("entropy_1", "entropy_2")},
        "weight": {f"seed {s}, fold {f}": float(value) for (s, f), value in weights.items()},
    }


TOLERANCE = 1e-4  # of a probability: float32 results, and six decimals in the CSV
FITTED = "as fitted"


def ablate_fold(run: Run, kept: Kept) -> dict[str, pd.DataFrame]:
    """Return a saved fold's held-out predictions, unchanged and with each ablation.

    Raise CheckpointError if the checkpoint cannot be loaded; DataError if weights and predictions
    are from different runs."""
    experiment, (seed, fold, folder) = run.experiment, kept
    model = load_checkpoint(folder)[0].to(run.accelerator.device)
    front_end, labels = experiment.front_end(), experiment.labels
    _, tested = experiment.fold(seed, fold)
    with recorded(model) as gates:
        tables = {FITTED: predict(model, front_end, tested, labels)}
    for name in ablations(model):
        with ablated(model, name, gates):
            tables[name] = predict(model, front_end, tested, labels)
    # Round as the CSV does, so that ties, and thus the AUC, are those of the run.
    tables = {name: rows.round(6).assign(seed=seed, fold=fold) for name, rows in tables.items()}
    if not same(tables[FITTED], existing_predictions(run.results_folder, labels), labels):
        raise DataError(
            "Weights and predictions are not of the same run, or --device differs: "
            f"'{folder}' gives other outputs than {run.results_folder}; fit again with "
            "--save-folds."
        )
    if "differential" in tables:
        entropies = map_entropies(model, front_end, tested)
        entropies["lambda"] = model.differential.lambda_.item()
        tables[FITTED] = pd.concat([tables[FITTED], entropies], axis=1)
    return tables


def same(found: pd.DataFrame, written: pd.DataFrame, labels: tuple[str, ...]) -> bool:
    """Return whether a fold's rows in ``predictions.csv`` equal ``found``, up to TOLERANCE."""
    keys, columns = ["seed", "fold", "clip"], probability_columns(labels)
    if written.empty:
        return False
    rows = written.merge(found[["seed", "fold"]].drop_duplicates())
    theirs, ours = (table.set_index(keys)[columns].sort_index() for table in (rows, found))
    return theirs.index.equals(ours.index) and bool(
        np.abs(theirs.to_numpy() - ours.to_numpy()).max() <= TOLERANCE
    )


def measure(run: Run, kept: Sequence[Kept]) -> dict[str, Any]:
    """Ablate every fold of the seeds with all folds saved; return the contents of the file.

    Raise CheckpointError if a checkpoint cannot be loaded; DataError if no seed has all folds, or
    if weights and predictions are from different runs.
    """
    experiment = run.experiment
    count = Counter(seed for seed, _, _ in kept)
    whole = [one for one in kept if count[one[0]] == experiment.folds]
    if not whole:
        raise DataError(
            f"No seed has the weights of all {experiment.folds} folds; fit with --save-folds into "
            "another --out."
        )
    tables = defaultdict(list)
    for one in tqdm(whole, desc=f"Ablating {experiment.system}", unit="fold"):
        for name, rows in ablate_fold(run, one).items():
            tables[name].append(rows)
    pooled = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    fitted = pooled.pop(FITTED)
    return {
        "dataset": experiment.name,
        "protocol": experiment.protocol,
        "system": experiment.system,
        "folds": experiment.folds,
        "seeds": sorted({seed for seed, _, _ in whole}),
        "recordings": fitted["recording"].nunique(),
        "groups": fitted["group"].nunique(),
        "pieces": len(fitted),  # counted once per seed
        "ablated": compare(fitted, pooled, experiment.labels),
        "differential": differential_facts(fitted),
    }


def describe(effect: Mapping[str, Any]) -> str:
    """Format the effects as lines of text, one per ablation."""
    seeds = ", ".join(map(str, effect["seeds"]))
    lines = [f"{effect['recordings']} recordings in {effect['groups']} groups, seeds {seeds}."]
    for name, found in effect["ablated"].items():
        recall = found["metrics"]["balanced_accuracy"]
        lines.append(
            f"  {name} ablated: balanced accuracy {recall['neutral']}, as fitted "
            f"{recall['fitted']}, difference {recall['difference']}; answer changed for "
            f"{found['changed']}"
        )
    return "\n".join(lines)
