"""Measure what pruning changes: saved folds lose channels and answer what they have not heard.

Graphs in float32 and in int8 answer, of the full model and of those that :mod:`train.fit.pruning`
made of it. :class:`~cry_model.records.PruningEffect` is ``pruning.json`` beside the
``predictions.csv`` of a run; its intervals are over groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from cry_model.checkpoint import load_checkpoint
from cry_model.metrics import bootstrap, bootstrap_difference
from cry_model.networks.registry import measure as complexity_of
from cry_model.records import PrunedVariant, PruningEffect
from cry_model.results import label_numbers, probabilities_of, recording_means
from train.studies.quantisation import SCORED, answers

if TYPE_CHECKING:
    from train.fit.run import Kept, Run

PRECISIONS = ("float32", "int8")


def measure(run: Run, folds: Mapping[float, Sequence[Kept]]) -> PruningEffect:
    """Compare graphs of the full model and of pruned ones; seeds and folds are pooled.

    Args:
        run: that the folds are of.
        folds: ratio -> the same folds, pruned by it; the first ratio is 0, the full model.
    """
    labels, reference = run.experiment.labels, None
    variants: list[PrunedVariant] = []
    for ratio, ones in folds.items():
        model, config = load_checkpoint(ones[0][2])
        cost = complexity_of(model, config.front_end.num_bands)
        tables, sizes = zip(*(zip(*answers(run, one), strict=True) for one in ones), strict=True)
        for i, precision in enumerate(PRECISIONS):
            table = recording_means(pd.concat([of_fold[i] for of_fold in tables]), labels)
            truth, found = label_numbers(table, labels), probabilities_of(table, labels)
            groups = table["group"].tolist()
            reference = found if reference is None else reference
            what = truth, found
            variants.append(
                PrunedVariant(
                    ratio=ratio,
                    precision=precision,
                    channels=model.channels,
                    parameters=cost.parameters,
                    multiply_adds=cost.multiply_adds,
                    bytes=max(size[i] for size in sizes),
                    epochs=config.training["preset"]["epochs"] if ratio else 0,
                    scores={name: bootstrap(name, *what, groups) for name in SCORED},
                    difference={
                        name: bootstrap_difference(name, *what, reference, groups)
                        for name in SCORED
                    },
                )
            )
    return PruningEffect(
        seeds=tuple(sorted({seed for seed, _, _ in ones})),
        folds=len(ones),
        recordings=table["recording"].nunique(),
        groups=len(set(groups)),
        variants=tuple(variants),
    )
