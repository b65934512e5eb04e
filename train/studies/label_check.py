"""Evaluate the six-class models on the labelled cuts of the paper's corpus.

The feature MLP was trained on a table that includes the recordings of the cuts. So a feature MLP
retrained without these recordings predicts each fold, as does the student with that classifier
instead of its teacher's. The student's network itself was trained on none of them.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cry_model.checkpoint import CheckpointConfig, load_checkpoint, save_checkpoint
from cry_model.classifier import CryClassifier
from cry_model.fingerprint import write_fingerprints
from cry_model.metrics import bootstrap_difference
from cry_model.networks.feature_mlp import FeatureMLP
from cry_model.networks.registry import build_model, make_front_end
from cry_model.records import Calibration, Estimate
from cry_model.results import (
    ordered,
    probabilities_of,
    score,
    write_predictions,
    write_record,
    write_run,
)
from train.data.cache import find_corpus
from train.data.corpus import Clips, DataError, Item
from train.data.datasets import challenge6, public
from train.data.splits import split
from train.fit.feature_mlp import fit_table
from train.fit.predict import digest, fingerprints_of
from train.fit.presets import FEATURES
from train.scoring.calibration import (
    PROMISED,
    arrays,
    calibrate,
    crossed,
    held_out,
    settle,
    shares,
)
from train.scoring.results import Cell, as_json, existing_predictions, existing_record
from train.studies.adaptation import (
    PARTNER,
    adapt,
    adapted,
    embed,
    saved_partners,
    student_with,
    with_partner,
    without_additions,
)

PROBABLE, NEIGHBOURS = "probable", "neighbours"
LEAVE_OUT = (PROBABLE, NEIGHBOURS)
"""Which recordings of the table a fold excludes for a tested cut. "probable": the recording that it
was probably cut from, or all between those of its neighbours if that is doubtful. "neighbours":
always all between those of its neighbours. Recordings of equal length are excluded with them."""


@dataclass(frozen=True)
class Cut:
    """A labelled cut."""

    item: Item  # with its group
    path: Path
    original: str | None  # the recording that it was probably cut from; None if doubtful
    between: tuple[int, int]  # recording numbers of the cuts before and after it, inclusive


def read_cuts(root: Path, items: Sequence[Item]) -> tuple[Cut, ...]:
    """Return the cuts with the recordings that they may come from; ``items`` have their groups.

    Cuts are numbered in the order of the corpus's recordings. So a doubtful cut comes from between
    the known recordings of the nearest cuts before and after it. Raise DataError if the table of
    the cuts is missing or not in that order.
    """
    paths = {item.recording: item.path for item in challenge6.read_cuts(root).items}
    table = root / challenge6.CUTS / challenge6.CUTS_TABLE
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    pairs = zip(rows["file"], rows["probable_original"], strict=True)
    original = {Path(file).stem: Path(known).stem for file, known in pairs}
    by_label: dict[str | None, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.label].append(item)
    cuts = []
    for own in by_label.values():
        own.sort(key=lambda item: number(item.recording))
        names = [original[item.recording] for item in own]
        known = pd.Series([number(name) if name else None for name in names], dtype=float)
        if not known.dropna().is_monotonic_increasing:
            raise DataError(f"{table} is not in the order of the recordings.")
        before, after = known.shift().ffill().fillna(0), known.shift(-1).bfill().fillna(10**6)
        for item, name, *between in zip(own, names, before, after, strict=True):
            low, high = map(int, between)
            cuts.append(Cut(item, paths[item.recording], name or None, (low, high)))
    return tuple(cuts)


def number(name: str) -> int:
    """Return the number in the name of a recording or a cut: "awake_12.wav" -> 12."""
    return int(re.search(r"(\d+)(?:\.\w+)?$", name).group(1))


def left_out(cuts: Sequence[Cut], table: Sequence[Item], which: str) -> frozenset[str]:
    """Return the groups of the table to exclude from training when ``cuts`` are the test set."""
    groups: set[str] = set()
    for cut in cuts:
        low, high = cut.between
        if cut.original is not None and which == PROBABLE:
            low = high = number(cut.original)
        own = (item for item in table if item.label == cut.item.label)
        groups.update(item.group for item in own if low <= number(item.recording) <= high)
    return frozenset(groups)


@dataclass(frozen=True)
class Fold:
    """A feature MLP that was trained on no recording of the tested cuts."""

    seed: int
    number: int
    tested: tuple[Cut, ...]
    groups: frozenset[str]  # groups of the table excluded from training
    model: FeatureMLP  # trained on the rest of the table
    rows: int  # number of training recordings


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
    """Train a feature MLP for each grouped fold of the cuts, without the cuts' recordings."""
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
    """Recompute temperature and threshold from held-out predictions without some groups."""
    rows = held_out(predictions[~predictions["group"].isin(groups)], labels)
    temperature, threshold = settle(*arrays(rows, labels), calibration.promised)
    return replace(calibration, temperature=temperature, threshold=threshold)


Answerer = Callable[[Fold], tuple[nn.Module, CheckpointConfig]]
"""Returns the model for the cuts of a fold, and its config, whose calibration is applied."""


def answer(
    folds: Sequence[Fold], answerer: Answerer, labels: Sequence[str]
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Predict every cut with :class:`CryClassifier`; return rows of predictions, and which labels
    are in their sets, (n, classes)."""
    rows, sets = [], []
    for fold in folds:
        classifier = CryClassifier(*answerer(fold))
        for cut in fold.tested:
            told, item = classifier.predict(cut.path), cut.item
            names = {"clip": item.recording, "recording": item.recording, "group": item.group}
            facts = {"fold": fold.number, "seed": fold.seed, "label": item.label}
            probabilities = {f"p_{label}": p for label, p in told.probabilities.items()}
            rows.append({**names, **facts, **probabilities})
            sets.append([label in (told.prediction_set or ()) for label in labels])
    return pd.DataFrame(rows), np.array(sets)


def describe(table: pd.DataFrame, sets: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, Any]:
    """Summarise predictions (one row per recording and seed) and their prediction sets.

    ``coverage`` and ``size`` are of the sets, with equal group weights. ``by_label`` is a label's
    coverage, ``answered`` the share of recordings for which it is the most probable.
    ``confidence`` is its mean probability minus its frequency; above 0 it is too high on average.
    """
    probabilities, targets, groups = arrays(table, labels)
    truth, guess = targets.argmax(1), probabilities.argmax(1)
    held = shares(sets, targets, groups)
    return {
        "coverage": held["coverage"],
        "size": held["size"],
        "by_label": {
            n: float(sets[truth == i, i].mean()) for i, n in enumerate(labels) if i in truth
        },
        "promised": PROMISED,
        "confidence": {
            n: float((probabilities - targets)[:, i].mean()) for i, n in enumerate(labels)
        },
        "answered": {n: float((guess == i).mean()) for i, n in enumerate(labels)},
    }


@dataclass(frozen=True)
class Check:
    """The folds of the cuts, the facts to record, and the results folder."""

    folder: Path
    facts: Mapping[str, Any]
    folds: Sequence[Fold]

    @property
    def scored(self) -> dict[str, Any]:
        return {name: self.facts[name] for name in ("dataset", "protocol", "folds")}

    def write(
        self, name: str, model: nn.Module, config: CheckpointConfig, answerer: Answerer
    ) -> pd.DataFrame:
        """Predict all cuts, write both result files and print the scores; return predictions."""
        labels, folder = config.labels, self.folder / name
        answered, sets = answer(self.folds, answerer, labels)
        if config.calibration is None:  # calibrate each fold on the groups of the others
            probabilities, targets, groups = arrays(answered, labels)
            folds = answered.groupby(["seed", "fold"]).indices.values()
            _, sets = crossed(probabilities, targets, groups, folds, PROMISED)
        found = describe(answered, sets, labels)
        sure = {cut.item.recording for fold in self.folds for cut in fold.tested if cut.original}
        metrics = {
            "recording": score(answered, labels, **self.scored),
            "recording_sure": score(
                answered[answered["recording"].isin(sure)], labels, **self.scored
            ),
        }
        made = {"system": config.system, "preset": config.training["preset"], "model": name}
        record = {
            "configuration": {**self.facts, **made, "digest": digest(model.state_dict())},
            "labels": list(labels),
            "checked": as_json(found),
        }
        write_predictions(folder, ordered(answered, labels))
        write_run(folder, record, metrics)
        told = {**metrics["recording"].metrics, "recall": metrics["recording"].recall, **found}
        print(f"{name}, written to {folder}:")
        for key, value in told.items():
            each = isinstance(value, Mapping)
            print(f"  {key:28}", {n: round(v, 2) for n, v in value.items()} if each else value)
        return answered

    def compare(self, name: str, before: str) -> Estimate:
        """Record the paired difference in balanced accuracy, ``name`` minus ``before``."""
        folder, record = self.folder / name, existing_record(self.folder / name)
        labels = record["labels"]
        one, other = (existing_predictions(self.folder / which) for which in (name, before))
        first, targets, groups = arrays(one, labels)
        second, truth = probabilities_of(other, labels), targets.argmax(1)
        ahead = bootstrap_difference("balanced_accuracy", truth, first, second, groups)
        write_record(folder, {**record, f"ahead_of_{before.replace('-', '_')}": asdict(ahead)})
        print(f"{name} is ahead of {before} by {ahead} (balanced accuracy, paired).")
        return ahead


def check_labels(
    root: Path,
    cache: Path,
    out: Path,
    teacher: Path,
    results: Path,
    student: Path | None,
    partners: Path | None,
    leave_out: str,
    save: Path | None,
    folds: int,
    seeds: Sequence[int],
) -> None:
    """Evaluate the models; see the command's options. Raise DataError if an input is missing, or
    if the model to save is not significantly better."""
    model, config = load_checkpoint(teacher)
    predictions = existing_predictions(results, config.labels)
    if predictions.empty or config.calibration is None:
        raise DataError(f"There are no predictions in {results} to calibrate with.")
    prepared = find_corpus(challenge6.CUTS, root, cache, FEATURES.front_end)
    cuts = read_cuts(root, prepared.clips.items)
    table = challenge6.read_features(root, str(config.training["dataset"])).clips
    every = challenge6.read_features(root, challenge6.ALL).clips.items
    what = cuts, table, every, config.settings, len(config.labels)
    fits = clean_folds(*what, leave_out, folds, seeds)
    clean = list(tqdm(fits, desc="Fitting without tested cuts", total=folds * len(seeds)))
    facts = {
        "dataset": challenge6.CUTS,
        "protocol": "recording",
        "folds": folds,
        "seeds": seeds,
        "left_out": leave_out,
        "table": config.training["dataset"],
        "rows": [fold.rows for fold in clean],
    }
    folder = out / "results" / challenge6.CUTS / "checked" / leave_out
    check = Check(folder, facts, clean)

    def refitted(fold: Fold) -> tuple[nn.Module, CheckpointConfig]:
        own = calibration_without(config.calibration, predictions, config.labels, fold.groups)
        return fold.model, replace(config, calibration=own)

    check.write("feature-mlp", model, config, refitted)
    if student is not None:
        check_student(check, student, partners, root, cache, save)


def check_student(
    check: Check, path: Path, partners: Path | None, root: Path, cache: Path, save: Path | None
) -> None:
    """Evaluate the student unchanged, adapted, and with a partner; save the last if better."""
    student, own = without_additions(*load_checkpoint(path))
    front_end = make_front_end(own.front_end)
    where = root, cache, own.front_end
    corpora = [find_corpus(name, *where).clips for name in (challenge6.CUTS, public.CRIES)]
    labelled, others = (embed(student, front_end, clips, own.labels) for clips in corpora)
    uncalibrated = replace(own, calibration=None)
    tested = {(f.seed, f.number): [c.item.recording for c in f.tested] for f in check.folds}
    theirs = None if partners is None else Cell(partners, challenge6.CUTS, "recording", PARTNER)
    saved = {} if theirs is None else saved_partners(theirs, tested)

    def as_it_is(fold: Fold) -> tuple[nn.Module, CheckpointConfig]:
        return student_with(copy.deepcopy(student), fold.model), uncalibrated

    def adapted_to_others(fold: Fold) -> tuple[nn.Module, CheckpointConfig]:
        clean, tested = as_it_is(fold)[0], {cut.item.group for cut in fold.tested}
        known = labelled.subset([i for i, g in enumerate(labelled.groups) if g not in tested])
        return adapted(clean, uncalibrated, adapt(clean.classifier, known, others))

    def with_its_partner(fold: Fold) -> tuple[nn.Module, CheckpointConfig]:
        return with_partner(
            *adapted_to_others(fold), *load_checkpoint(saved[fold.seed, fold.number])
        )

    check.write("student", student, uncalibrated, as_it_is)
    after = check.write("adapted-student", student, uncalibrated, adapted_to_others)
    ahead = check.compare("adapted-student", "student")
    if theirs is not None:
        after = check.write("ensemble", student, uncalibrated, with_its_partner)
        ahead = check.compare("ensemble", "adapted-student")
    if save is None:
        return
    if ahead.low <= 0:
        raise DataError("The last model is not significantly better: not saved.")
    layer = adapt(student.classifier, labelled, others)
    model, made = adapted(student, own, layer)
    learnt = {**check.facts, "penalty": layer.penalty, "recordings": len(labelled.groups)}
    if theirs is not None:
        partner = load_checkpoint(theirs.checkpoint_folder)
        model, made = with_partner(model, made, *partner)
        learnt["partner"] = digest(partner[0].state_dict())
    licences = [*own.training["licence"].split("; "), *challenge6.LICENCE.split("; ")]
    licence = "; ".join(dict.fromkeys(licences))
    made = replace(
        made,
        evaluation=score(after, own.labels, **check.scored),
        agreement=None,
        calibration=calibrate(after, own.labels, PROMISED, **check.scored),
        training={**own.training, "adapted": learnt, "licence": licence},
    )
    save_checkpoint(save, model, made, half=True)
    write_fingerprints(save, fingerprints_of(corpora, own.front_end.sample_rate))
    print(f"Checkpoint in {save}.")
