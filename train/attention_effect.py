"""Does attention do anything? ``attention_effect.json`` beside the ``predictions.csv`` of a run.

Every fold's fitted model answers the pieces that it has not heard, as fitted and with each of its
attentions made neutral (:mod:`train.neutral`), and its gates and maps are looked at. Everything is
pooled over folds and seeds as predictions are. A measured value is
``{"value": ..., "low": ..., "high": ...}`` with a 95 % interval over groups.

- ``dataset``, ``protocol``, ``system``, ``folds``, ``seeds``: which run; seeds that kept all folds.
- ``recordings``, ``groups``, ``pieces``: how many were tested; a piece counts once a seed.
- ``neutralised``: name (``differential``, ``temporal``, ``channel``, ``channel_fixed``,
  ``multi_scale``, ``multi_scale_fixed``, those that the system has) ->

  - ``metrics``: ``accuracy``, ``balanced_accuracy``, ``macro_auc`` per recording -> ``fitted``,
    ``neutral``, ``difference`` (neutral less fitted, paired: below 0 where the attention helps),
  - ``changed``: share of recordings whose answer is another,
  - ``distance``: mean total variation distance of a recording's probabilities, 0 to 1.

- ``differential``: null without it; ``tokens`` (N), ``entropy_1``, ``entropy_2`` (of a row of A_1
  and of A_2 over log N, 0 to 1), ``weight``: "seed S, fold F" -> lambda.
- ``temporal``: for each block ``mean``, ``deviation``, ``entropy`` of A_t over time (the entropy of
  A_t scaled to the sum 1, over log T); empty without it.
- ``multi_scale``: "block B, stage S" -> branch (``3``, ``5``, ``7``, ``pool``) -> ``share`` of the
  gate s and its standard ``deviation`` over the pieces of a fit (a number); empty without it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from cry_model.checkpoint import to_json, write_atomically
from train.attention_facts import (
    BranchFacts,
    DifferentialFacts,
    TemporalFacts,
    differential_facts,
    scale_facts,
    temporal_facts,
)
from train.attention_fold import FITTED, look_at_fold
from train.corpus import DataError
from train.kept_cells import Kept
from train.neutral_scores import Neutralisation, compare
from train.run import Run

EFFECT = "attention_effect.json"


@dataclass(frozen=True)
class AttentionEffect:
    """Everything that the file says; see the module."""

    dataset: str
    protocol: str
    system: str
    folds: int
    seeds: tuple[int, ...]
    recordings: int
    groups: int
    pieces: int
    neutralised: Mapping[str, Neutralisation]
    differential: DifferentialFacts | None
    temporal: tuple[TemporalFacts, ...]
    multi_scale: Mapping[str, Mapping[str, BranchFacts]]


def measure(run: Run, kept: Sequence[Kept]) -> AttentionEffect:
    """Looks at every fold of the seeds that kept all of theirs.

    Args:
        run: that the folds are of; its results have their predictions.
        kept: the folds.

    Raises:
        CheckpointError: if a checkpoint cannot be loaded.
        DataError: if no seed kept all folds, or weights and predictions are not of the same run.
    """
    whole = whole_seeds(kept, run.folds)
    if not whole:
        raise DataError(
            f"No seed kept the weights of all {run.folds} folds; fit with --keep-folds into "
            "another --out."
        )
    tables = defaultdict(list)
    for one in tqdm(whole, desc=f"Looking at {run.system}", unit="fold"):
        for name, rows in look_at_fold(run, one).items():
            tables[name].append(rows)
    pooled = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    fitted = pooled.pop(FITTED)
    return AttentionEffect(
        run.name,
        run.protocol,
        run.system,
        run.folds,
        tuple(sorted({seed for seed, _, _ in whole})),
        fitted["recording"].nunique(),
        fitted["group"].nunique(),
        len(fitted),
        compare(fitted, pooled, run.labels),
        differential_facts(fitted),
        temporal_facts(fitted),
        scale_facts(fitted),
    )


def whole_seeds(kept: Sequence[Kept], folds: int) -> list[Kept]:
    """The folds of the seeds that have all of them."""
    count = pd.Series([seed for seed, _, _ in kept]).value_counts()
    return [one for one in kept if count[one[0]] == folds]


def write_effect(folder: Path, effect: AttentionEffect) -> None:
    """Replaces the file in a results folder."""
    write_atomically(folder / EFFECT, (to_json(asdict(effect)) + "\n").encode())
