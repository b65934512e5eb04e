"""Measure the effect of int8 quantisation and pruning on the held-out predictions of saved folds.

The graphs are in float32 and int8, of the full model and of models pruned by
:mod:`train.fit.pruning`. Quantisation ranges come from each fold's training recordings. Results,
with confidence intervals over groups, go next to the ``predictions.csv`` of a run: ``int8.json``
holds :class:`Int8Effect`, ``pruning.json`` :class:`~cry_model.records.PruningEffect`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cry_model.backends.onnx_backend import LOGITS, SAMPLES, open_file
from cry_model.backends.onnx_export import quantise, write_graph
from cry_model.checkpoint import CheckpointConfig, load_checkpoint
from cry_model.metrics import Array, Labels, bootstrap, bootstrap_difference, mean
from cry_model.networks.registry import measure as complexity_of
from cry_model.records import Estimate, PrunedVariant, PruningEffect
from cry_model.results import label_numbers, probabilities_of, recording_means
from cry_model.sound.front_end_config import AnyConfig
from train.data.corpus import Clips
from train.fit.predict import predict
from train.fit.run import Run
from train.scoring.results import Kept

CALIBRATED_ON = 100  # recordings, at most, for the quantisation ranges
SCORED = ("accuracy", "balanced_accuracy")
PRECISIONS = ("float32", "int8")


@dataclass(frozen=True)
class Int8Effect:
    """Effect of int8 quantisation on the predictions of float32 graphs.

    Attributes:
        seeds, folds: number of seeds, and of saved folds over all seeds.
        changed: share of recordings with another top label.
        distance: mean over recordings of the largest change of a probability.
        float32, int8, difference: metric -> estimate; the difference is paired.
        bytes: size of the largest file in float32 and in int8.
    """

    seeds: int
    folds: int
    recordings: int
    groups: int
    changed: Estimate
    distance: Estimate
    float32: Mapping[str, Estimate]
    int8: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    bytes: tuple[int, int]


class Raw(nn.Module):
    """A front end that only tells how to cut clips; the graph computes the features."""

    def __init__(self, config: AnyConfig):
        super().__init__()
        self.config = config

    def forward(self, waveforms: Tensor) -> Tensor:
        return waveforms


class Graph(nn.Module):
    """An ONNX graph used as a system: waveforms (batch, samples) -> logits (batch, classes)."""

    def __init__(self, path: Path):
        super().__init__()
        self.session, _, _ = open_file(path)
        self.place = nn.Parameter(torch.empty(0))

    def forward(self, waveforms: Tensor) -> Tensor:
        (logits,) = self.session.run([LOGITS], {SAMPLES: waveforms.numpy()})
        return torch.from_numpy(logits)


def some_pieces(clips: Clips, config: CheckpointConfig) -> list[NDArray[np.float32]]:
    """Return the first piece (1, samples) of recordings spaced evenly over the corpus."""
    front_end, count = Raw(config.front_end), len(clips.items)
    chosen = np.linspace(0, count - 1, min(count, CALIBRATED_ON)).round().astype(int)
    return [clips.pieces(front_end, int(i))[:1].numpy() for i in chosen]


def answers(run: Run, kept: Kept) -> Iterator[tuple[pd.DataFrame, int]]:
    """Yield a saved fold's held-out predictions and file size, for each of :data:`PRECISIONS`."""
    seed, fold, folder = kept
    learnt, tested = run.experiment.fold(seed, fold)
    model, config = load_checkpoint(folder)
    with tempfile.TemporaryDirectory() as temporary:
        path = write_graph(Path(temporary) / "model.onnx", model, config)
        for precision in PRECISIONS:
            if precision == "int8":
                quantise(path, some_pieces(learnt, config))
            raw = Raw(config.front_end)
            table = predict(Graph(path), raw, tested, config.labels)
            yield table.assign(seed=seed, fold=fold), path.stat().st_size


def pooled(run: Run, kept: Sequence[Kept]) -> Iterator[tuple[pd.DataFrame, int]]:
    """Yield all folds' predictions per recording, and the size of the largest file, for each of
    :data:`PRECISIONS`; seeds and folds are pooled like predictions."""
    for own in zip(*(answers(run, one) for one in kept), strict=True):
        tables, sizes = zip(*own, strict=True)
        yield recording_means(pd.concat(tables), run.experiment.labels), max(sizes)


def measure_int8(run: Run, kept: Sequence[Kept]) -> Int8Effect:
    """Compare the float32 and int8 graphs of every saved fold of a run."""
    labels = run.experiment.labels
    (one, full), (other, small) = pooled(run, kept)
    truth, groups = label_numbers(one, labels), one["group"].tolist()
    before, after = probabilities_of(one, labels), probabilities_of(other, labels)
    return Int8Effect(
        seeds=len({seed for seed, _, _ in kept}),
        folds=len(kept),
        recordings=one["recording"].nunique(),
        groups=len(set(groups)),
        changed=mean(before.argmax(1) != after.argmax(1), groups),
        distance=mean(np.abs(before - after).max(1), groups),
        float32=scores(truth, before, groups),
        int8=scores(truth, after, groups),
        difference=differences(truth, after, before, groups),
        bytes=(full, small),
    )


def scores(truth: Labels, found: Array, groups: Sequence[str]) -> dict[str, Estimate]:
    """Return each metric of the probabilities (n, classes)."""
    return {name: bootstrap(name, truth, found, groups) for name in SCORED}


def differences(
    truth: Labels, found: Array, reference: Array, groups: Sequence[str]
) -> dict[str, Estimate]:
    """Return the paired difference of each metric, ``found`` minus ``reference``."""
    return {name: bootstrap_difference(name, truth, found, reference, groups) for name in SCORED}


def describe_int8(effect: Int8Effect) -> str:
    """Format the effect as one line of text."""
    before, after = (size / 2**20 for size in effect.bytes)
    return (
        f"{effect.recordings} recordings, {effect.folds} folds: top label changed for "
        f"{effect.changed}; accuracy {effect.float32['accuracy']} in float32, "
        f"{effect.int8['accuracy']} in int8, difference {effect.difference['accuracy']}; "
        f"{before:.1f} MB and {after:.1f} MB."
    )


def measure_pruning(run: Run, folds: Mapping[float, Sequence[Kept]]) -> PruningEffect:
    """Compare graphs of the full model and of pruned ones; ``folds`` maps each ratio, the first
    being 0, to the same folds pruned by it."""
    labels, reference = run.experiment.labels, None
    variants: list[PrunedVariant] = []
    for ratio, ones in folds.items():
        model, config = load_checkpoint(ones[0][2])
        cost = complexity_of(model, config.front_end.num_bands)
        for precision, (table, size) in zip(PRECISIONS, pooled(run, ones), strict=True):
            truth, found = label_numbers(table, labels), probabilities_of(table, labels)
            groups = table["group"].tolist()
            reference = found if reference is None else reference
            variants.append(
                PrunedVariant(
                    ratio=ratio,
                    precision=precision,
                    channels=model.channels,
                    parameters=cost.parameters,
                    multiply_adds=cost.multiply_adds,
                    bytes=size,
                    epochs=config.training["preset"]["epochs"] if ratio else 0,
                    scores=scores(truth, found, groups),
                    difference=differences(truth, found, reference, groups),
                )
            )
    return PruningEffect(
        seeds=tuple(sorted({seed for seed, _, _ in ones})),
        folds=len(ones),
        recordings=table["recording"].nunique(),
        groups=len(set(groups)),
        variants=tuple(variants),
    )


def describe_pruning(effect: PruningEffect) -> str:
    """Format the effect as lines of text, one per variant."""
    lines = [f"{effect.recordings} recordings, {effect.folds} folds"]
    for one in effect.variants:
        lines.append(
            f"  {one.channels} channels, {one.precision}: accuracy {one.scores['accuracy']}, "
            f"difference {one.difference['accuracy']}; {one.parameters / 1e6:.2f} M parameters, "
            f"{one.multiply_adds / 1e6:.0f} M multiply-adds, {one.bytes / 2**20:.1f} MB"
        )
    return "\n".join(lines)
