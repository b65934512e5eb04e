"""Check the six-class models against labels, those of the cuts of the paper's corpus.

The feature MLP was fitted on a table that holds the recordings which the cuts were taken from. So
each fold of the cuts is answered by a feature MLP fitted anew without their recordings, and by the
student with that one's classifier in the place of its teacher's. The student's network itself was
fitted on none of them.
"""

from __future__ import annotations

import copy
import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from cry_model.calibration import Calibration
from cry_model.checkpoint import CheckpointConfig
from cry_model.classifier import CryClassifier
from cry_model.feature_mlp import FeatureMLP
from cry_model.improved_ecapa_tdnn import ReusedClassifier
from cry_model.metrics import bootstrap_difference
from cry_model.records import Estimate
from cry_model.registry import build_model
from cry_model.results import probability_columns
from train.data.clips import Clips
from train.data.corpus import DataError, Item
from train.data.datasets import challenge6
from train.data.splits import split
from train.fit.feature_mlp import fit_table
from train.fit.presets import FEATURES
from train.scoring.calibration import crossed, held_out, one_hot, settle, shares
from train.studies.adaptation import Pieces, adapt, adapted

PROBABLE, NEIGHBOURS = "probable", "neighbours"
LEAVE_OUT = (PROBABLE, NEIGHBOURS)
"""Which recordings of the table a fold leaves out for a tested cut: the one that it was probably
cut from (of a doubtful cut, all that lie in number between those of its neighbours), or always all
from the one of the cut before it to the one of the cut after it. Equal lengths go along."""


@dataclass(frozen=True)
class Cut:
    """A labelled cut."""

    item: Item  # with its group
    path: Path  # of the sound
    # the recording of the table that it was probably cut from; None if doubtful
    original: str | None
    between: tuple[int, int]  # numbers of the recordings of its neighbours in the list, inclusive


def read_cuts(root: Path, items: Sequence[Item]) -> tuple[Cut, ...]:
    """Return the cuts with the recordings that they may be from; ``items`` have their groups.

    Cuts are numbered in the order of the corpus's recordings, so a doubtful one lies between the
    recordings of the nearest cuts, before and after it, whose recordings are known. Raise DataError
    if the table of the cuts is missing or not in that order.
    """
    paths = {item.recording: item.path for item in challenge6.read_cuts(root).items}
    table = root / challenge6.CUTS / challenge6.CUTS_TABLE
    with table.open(encoding="utf-8", newline="") as stream:
        original = {Path(r["file"]).stem: r["probable_original"] for r in csv.DictReader(stream)}
    by_label: dict[str | None, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.label].append(item)
    cuts = []
    for own in by_label.values():
        own.sort(key=lambda item: number(item.recording))
        known = [number(original[item.recording]) for item in own if original[item.recording]]
        if known != sorted(known):
            raise DataError(f"{table} does not keep the order of the recordings.")
        for i, item in enumerate(own):
            before = [original[one.recording] for one in own[:i] if original[one.recording]]
            after = [original[one.recording] for one in own[i + 1 :] if original[one.recording]]
            between = (number(before[-1]) if before else 0, number(after[0]) if after else 10**6)
            stem = Path(original[item.recording]).stem or None
            cuts.append(Cut(item, paths[item.recording], stem, between))
    return tuple(cuts)


def number(name: str) -> int:
    """Return the number in the name of a recording or a cut: "awake_12.wav" -> 12."""
    return int(re.search(r"(\d+)(?:\.\w+)?$", name).group(1))


def left_out(cuts: Sequence[Cut], table: Sequence[Item], which: str) -> frozenset[str]:
    """Return the groups of the table (every recording of the corpus) that a fit must not know to be
    tested on ``cuts``; ``which`` is one of :data:`LEAVE_OUT`."""
    groups = set()
    for cut in cuts:
        for item in table:
            if item.label != cut.item.label:
                continue
            low, high = cut.between
            near = low <= number(item.recording) <= high
            doubtful = cut.original is None or which == NEIGHBOURS
            if item.recording == cut.original or (doubtful and near):
                groups.add(item.group)
    return frozenset(groups)


@dataclass(frozen=True)
class Fold:
    """A feature MLP that knows no recording of the tested cuts."""

    # seed, number: of the split of the cuts
    seed: int
    number: int
    tested: tuple[Cut, ...]  # the cuts
    groups: frozenset[str]  # of the table, left out
    model: FeatureMLP  # the fit on the rest of the table
    rows: int  # how many recordings it was fitted on


def clean_folds(
    cuts: Sequence[Cut],
    table: Clips,
    every: Sequence[Item],
    settings: Mapping[str, int],
    labels: int,
    which: str,
    folds: int,
    seeds: Sequence[int],
) -> Iterator[Fold]:
    """Fit a feature MLP for each fold of the cuts by group, on rows of the table without the
    recordings that it tests; ``every`` are all recordings of the corpus."""
    for seed in seeds:
        fold_of = split([cut.item for cut in cuts], "recording", folds, seed)
        for fold in range(folds):
            tested = tuple(cut for cut, f in zip(cuts, fold_of, strict=True) if f == fold)
            groups = left_out(tested, every, which)
            kept = [i for i, item in enumerate(table.items) if item.group not in groups]
            torch.manual_seed(seed)
            fresh = build_model("feature-mlp", labels, FEATURES.front_end.num_bands, **settings)
            model = fit_table(fresh, table.subset(kept), FEATURES, seed)
            yield Fold(seed, fold, tested, groups, model, len(kept))


def calibration_without(
    calibration: Calibration, predictions: pd.DataFrame, labels: Sequence[str], groups: frozenset
) -> Calibration:
    """Return the temperature and threshold that the held-out predictions, which a checkpoint's
    calibration was made from, give without some groups."""
    rows = held_out(predictions[~predictions["group"].isin(groups)], labels)
    probabilities = rows[probability_columns(labels)].to_numpy(dtype=np.float64)
    targets = one_hot(rows, labels)
    own = rows["group"].to_numpy(dtype=str)
    temperature, threshold = settle(probabilities, targets, own, calibration.promised)
    return replace(calibration, temperature=temperature, threshold=threshold)


def student_with(student: nn.Module, teacher: FeatureMLP) -> nn.Module:
    """Give a student the classifier of another teacher, in place; return it.

    The features that the student predicts are standardised as its own teacher's recordings were;
    its linear layer takes over the other one's mean and scale.
    """
    head: ReusedClassifier = student.classifier
    own = head.teacher
    with torch.no_grad():
        ratio = own.scale / teacher.scale
        head.features.weight.mul_(ratio[:, None])
        head.features.bias.copy_(
            (head.features.bias * own.scale + own.mean - teacher.mean) / teacher.scale
        )
    own.load_state_dict(teacher.state_dict())
    return student


def answers(
    model: nn.Module, config: CheckpointConfig, fold: Fold
) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    """Answer the cuts of a fold as :class:`CryClassifier` does; rows of predictions, and sets."""
    classifier = CryClassifier(model, config)
    rows, sets = [], []
    for cut in fold.tested:
        told = classifier.predict(cut.path)
        item = cut.item
        rows.append(
            {
                "clip": item.recording,
                "recording": item.recording,
                "group": item.group,
                "fold": fold.number,
                "seed": fold.seed,
                "label": item.label,
                **{f"p_{label}": p for label, p in told.probabilities.items()},
            }
        )
        sets.append(told.prediction_set or ())
    return pd.DataFrame(rows), sets


Answerer = Callable[[Fold], tuple[nn.Module, CheckpointConfig]]
"""What answers the cuts of a fold, with a config whose calibration is applied."""


def of_teacher(teacher: CheckpointConfig, predictions: pd.DataFrame) -> Answerer:
    """Answer by the feature MLP of the fold; ``predictions`` are what its calibration is from."""

    def make(fold: Fold) -> tuple[nn.Module, CheckpointConfig]:
        calibration = calibration_without(
            teacher.calibration, predictions, teacher.labels, fold.groups
        )
        return fold.model, replace(teacher, calibration=calibration)

    return make


def of_student(student: nn.Module, config: CheckpointConfig) -> Answerer:
    """Answer by the student with the classifier of the fold.

    Its calibration was made against its teacher on other recordings and stays as it is.
    """
    return lambda fold: (student_with(copy.deepcopy(student), fold.model), config)


def of_adapted(
    student: nn.Module, config: CheckpointConfig, labelled: Pieces, others: Pieces
) -> Answerer:
    """Answer by the student with the classifier of the fold, adapted to the other folds' labels."""

    def make(fold: Fold) -> tuple[nn.Module, CheckpointConfig]:
        clean = student_with(copy.deepcopy(student), fold.model)
        tested = {cut.item.group for cut in fold.tested}
        known = labelled.where([group not in tested for group in labelled.groups])
        layer = adapt(clean.classifier, known, others)
        return adapted(clean, replace(config, calibration=None), layer)

    return make


def check(folds: Sequence[Fold], answerer: Answerer) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    """Answer every cut by what ``answerer`` makes of its fold; rows of predictions, and sets."""
    tables, sets = [], []
    for fold in folds:
        rows, named = answers(*answerer(fold), fold)
        tables.append(rows)
        sets += named
    return pd.concat(tables, ignore_index=True), sets


def crossed_sets(
    table: pd.DataFrame, labels: Sequence[str], promised: float
) -> list[tuple[str, ...]]:
    """Return the prediction set of each row, calibrated on the groups of the other folds."""
    targets = one_hot(table, labels)
    probabilities = table[probability_columns(labels)].to_numpy(dtype=np.float64)
    folds = table.groupby(["seed", "fold"]).indices.values()
    groups = table["group"].to_numpy(dtype=str)
    _, inside = crossed(probabilities, targets, groups, folds, promised)
    return [tuple(np.asarray(labels)[row]) for row in inside]


def lead(one: pd.DataFrame, other: pd.DataFrame, labels: Sequence[str]) -> Estimate:
    """Return how far the balanced accuracy of one table is ahead of another's, paired.

    Both have the same recordings and seeds, in the same order.
    """
    order = {label: i for i, label in enumerate(labels)}
    truth = one["label"].map(order).to_numpy()
    columns = probability_columns(labels)
    first, second = one[columns].to_numpy(), other[columns].to_numpy()
    return bootstrap_difference("balanced_accuracy", truth, first, second, one["group"].tolist())


@dataclass(frozen=True)
class Checked:
    """What ``run.json`` says of a check beside its metrics."""

    # coverage, size: of the prediction sets; groups count alike
    coverage: Estimate
    size: Estimate
    by_label: Mapping[str, float]  # label -> share of its recordings whose set holds it
    promised: float  # coverage that the sets were made for
    # label -> mean probability of that label less the share of recordings that have it: above 0 it
    # is expected too often
    confidence: Mapping[str, float]
    # label -> share of recordings for which it is the most probable one
    answered: Mapping[str, float]


def describe(
    table: pd.DataFrame, sets: Sequence[tuple[str, ...]], labels: Sequence[str], promised: float
) -> Checked:
    """Summarise answers (a row for each recording and seed) and their prediction sets."""
    truth = table["label"].to_numpy()
    targets = one_hot(table, labels)
    probabilities = table[probability_columns(labels)].to_numpy(dtype=np.float64)
    inside = np.array([[label in named for label in labels] for named in sets])
    held = shares(inside, targets, table["group"].to_numpy(dtype=str))
    guess = probabilities.argmax(1)
    return Checked(
        held["coverage"],
        held["size"],
        {n: float(inside[truth == n, i].mean()) for i, n in enumerate(labels) if n in truth},
        promised,
        {n: float((probabilities - targets)[:, i].mean()) for i, n in enumerate(labels)},
        {n: float((guess == i).mean()) for i, n in enumerate(labels)},
    )
