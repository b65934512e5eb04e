"""Summarise gates and maps of attention over the held-out pieces: entropies, means, shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cry_model.attention import AttentionMaps
from cry_model.metrics import mean
from cry_model.records import Estimate
from train.data.clips import Clips
from train.fit.predict import TrainingFrontEnd, of_each_piece

BRANCHES = ("3", "5", "7", "pool")  # kernels, and max-pooling: in the order of the gate s


@dataclass(frozen=True)
class DifferentialFacts:
    """Of A_1 and A_2: means over heads, rows and pieces, with intervals over groups.

    Attributes:
        tokens: N.
        entropy_1, entropy_2: of a row, in nats over log N: 0 where it looks at one token only, 1
            where it is uniform.
        weight: "seed S, fold F" -> lambda of that fit.
    """

    tokens: int
    entropy_1: Estimate
    entropy_2: Estimate
    weight: Mapping[str, float]


@dataclass(frozen=True)
class TemporalFacts:
    """Of A_t of one block: means over pieces, with intervals over groups.

    Attributes:
        mean: over time.
        deviation: standard deviation over time.
        entropy: of A_t scaled to the sum 1, in nats over log T: 1 where all frames are alike.
    """

    mean: Estimate
    deviation: Estimate
    entropy: Estimate


@dataclass(frozen=True)
class BranchFacts:
    """Of one branch in the gate s of one stage.

    Attributes:
        share: of the sum of s, mean over pieces with its interval over groups; 0.25 where no
            branch is preferred.
        deviation: standard deviation of that share over the pieces of one fit, over all fits: 0
            where it does not depend on the input.
    """

    share: Estimate
    deviation: float


def row_entropy(weights: Tensor) -> Tensor:
    """Entropy over the last axis in nats, over the log of its length: (..., n) -> (...)."""
    return torch.special.entr(weights).sum(-1) / math.log(weights.shape[-1])


def facts_of(maps: AttentionMaps) -> dict[str, Tensor]:
    """Name -> (batch,), for what the system has; blocks and stages are counted from 1."""
    facts = {}
    if maps.differential_1 is not None:
        for which, attention in (("1", maps.differential_1), ("2", maps.differential_2)):
            facts[f"entropy_{which}"] = row_entropy(attention.double()).mean((1, 2))
        same = torch.ones_like(facts["entropy_1"])  # of every piece that the model hears
        facts["tokens"] = same * maps.differential_1.shape[-1]
        facts["lambda"] = same * maps.differential_lambda
    for block, gate in enumerate(maps.temporal, start=1):
        a_t = gate.double()
        facts[f"temporal_{block}_mean"] = a_t.mean(-1)
        facts[f"temporal_{block}_deviation"] = a_t.std(-1, correction=0)
        facts[f"temporal_{block}_entropy"] = row_entropy(a_t / a_t.sum(-1, keepdim=True))
    for block, gates in enumerate(maps.multi_scale, start=1):
        total = gates.double().sum(-1)  # (batch, stages, branches)
        shares = total / total.sum(-1, keepdim=True)
        for stage in range(shares.shape[1]):
            for branch, name in enumerate(BRANCHES):
                facts[f"scale_{block}_{stage + 1}_{name}"] = shares[:, stage, branch]
    return facts


def piece_facts(model: nn.Module, front_end: TrainingFrontEnd, clips: Clips) -> pd.DataFrame:
    """Return a row for each piece, in the order of the clips, with the columns of
    :func:`facts_of`."""
    names: dict[str, None] = {}

    def compute(features: Tensor) -> Tensor:
        facts = facts_of(model(features, return_attention=True)[1])
        names.update(dict.fromkeys(facts))
        return torch.stack(list(facts.values()), dim=1)

    rows = of_each_piece(compute, front_end, clips, next(model.parameters()).device)
    return pd.DataFrame(np.concatenate(rows), columns=list(names))


def differential_facts(table: pd.DataFrame) -> DifferentialFacts | None:
    """From rows of :func:`piece_facts` with group, seed and fold; None without such attention."""
    if "tokens" not in table:
        return None
    weights = table.groupby(["seed", "fold"])["lambda"].first()
    return DifferentialFacts(
        int(table["tokens"].iloc[0]),
        estimate(table, "entropy_1"),
        estimate(table, "entropy_2"),
        {f"seed {seed}, fold {fold}": float(weight) for (seed, fold), weight in weights.items()},
    )


def temporal_facts(table: pd.DataFrame) -> tuple[TemporalFacts, ...]:
    """Of each block; empty without A_t."""
    blocks = [name.split("_")[1] for name in table if name.endswith("_entropy")]
    values = ("mean", "deviation", "entropy")
    return tuple(
        TemporalFacts(*(estimate(table, f"temporal_{b}_{v}") for v in values)) for b in blocks
    )


def scale_facts(table: pd.DataFrame) -> dict[str, dict[str, BranchFacts]]:
    """For each "block B, stage S" its branches by name; empty without MCA."""
    found: dict[str, dict[str, BranchFacts]] = {}
    for column in (name for name in table if name.startswith("scale_")):
        _, block, stage, branch = column.split("_")
        # Two fits may prefer different branches; that is no dependence on the input.
        spread = table[column] - table.groupby(["seed", "fold"])[column].transform("mean")
        facts = BranchFacts(estimate(table, column), float(np.sqrt((spread**2).mean())))
        found.setdefault(f"block {block}, stage {stage}", {})[branch] = facts
    return found


def estimate(table: pd.DataFrame, column: str) -> Estimate:
    """Return the mean over the rows with its 95 % interval over their groups."""
    return mean(table[column].to_numpy(), table["group"].tolist())
