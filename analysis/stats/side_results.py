"""Read what was measured besides the runs: costs, baselines, permuted labels, the detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import pandas as pd

from analysis.stats.runs import RESULTS, MeasuredRun, ResultsError, read_run
from cry_model.declared import read
from cry_model.metrics import SCORES
from cry_model.networks.registry import get_system
from cry_model.records import Estimate, PruningEffect, fine_percent, words
from cry_model.results import RUN, DamagedFileError, read_object, read_record, renamed

BENCHMARK = RESULTS / "benchmark.json"
Record = Mapping[str, Any]
Parsed = TypeVar("Parsed")


def _parse(path: Path, writer: str, parse: Callable[[Record], Parsed]) -> Parsed | None:
    """Return what ``parse`` makes of a file, None if there is none, or refuse one that ``writer``
    did not write."""
    if not path.is_file():
        return None
    try:
        return parse(read_object(path))
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        place = path.name if path.name == BENCHMARK.name else path  # a page shows the sentence
        raise ResultsError(
            f"{place} is not as {writer} writes it ({error!r}); run it again."
        ) from error


@dataclass(frozen=True)
class Costs:
    """Costs of all models on one machine."""

    clip: str  # what was classified, in words
    machine: str  # kind of processor
    torch: str  # version
    # from a file to its answer: a row for each model, a column for each number of threads, in
    # rising order; NaN where it was not measured
    milliseconds: pd.DataFrame


def read_costs(path: Path = BENCHMARK) -> Costs:
    """Read what ``python -m analysis benchmark`` wrote; raise ResultsError if the file is missing
    or malformed."""
    costs = _parse(path, "python -m analysis benchmark", _costs)
    if costs is None:
        raise ResultsError(
            f"There is no {path.name}; run python -m analysis benchmark --out "
            f"assets/results/{path.name}."
        )
    return costs


def _costs(record: Record) -> Costs:
    table = pd.DataFrame(record["costs"])
    times = table.pivot(index="system", columns="threads", values="total")
    if not (times.min() > 0).all():
        raise ValueError("no times")
    return Costs(record["clip"], record["machine"], record["torch"], times)


TITLES = {"sample_rate": "the sample rate alone", "rbf_svm": "RBF SVM on the same features"}


@dataclass(frozen=True)
class Baseline:
    """Score of a baseline: its name for files and for people, of the runs of which protocol."""

    name: str
    title: str
    protocol: str
    estimate: Estimate


def baselines_of(run: MeasuredRun, metric: str) -> tuple[Baseline, ...]:
    """Return the baselines of a run that were measured by this metric; often none. Raise
    ResultsError if ``run.json`` cannot be read or has them in another form."""

    def parse(record: Record) -> tuple[Baseline, ...]:
        return tuple(
            Baseline(
                name,
                TITLES.get(name, name),
                run.protocol,
                Estimate(**{end: float(value) for end, value in measured[metric].items()}),
            )
            for name, measured in (renamed(record).get("baselines") or {}).items()
            if metric in measured
        )

    return _parse(run.folder / RUN, "train fit", parse) or ()


@dataclass(frozen=True)
class PermutationTest:
    """Permutation test of one dataset under one protocol, with a linear classifier."""

    # of the splits
    folds: int
    seed: int
    permutations: int  # how many
    front_end: str  # the kind of features
    unchanged: float  # share of the recordings of each label that kept it, the mean over the labels
    # a row for each metric of :data:`cry_model.metrics.SCORES`; columns value (with the true
    # labels), mean, low, high (the middle 95% with labels that are permuted among groups) and p:
    # the share of permutations that score at least as well, the true labels counted as one
    scores: pd.DataFrame

    def permuted(self, metric: str) -> Estimate:
        """Return the score with permuted labels."""
        return Estimate(*self.scores.loc[metric, ["mean", "low", "high"]])


def read_permutation_test(run: MeasuredRun) -> PermutationTest | None:
    """Read the test on the dataset and under the protocol of a run, in as many folds.

    None if there is none. Raise ResultsError if the file is malformed.
    """
    path = run.folder.parent / "chance.json"
    test = _parse(path, "python -m train permutation-test", _permutation_test)
    return test if test is not None and test.folds == run.folds else None


def _permutation_test(record: Record) -> PermutationTest:
    scores = pd.DataFrame(record["scores"]).T.loc[
        list(SCORES), ["value", "mean", "low", "high", "p"]
    ]
    return PermutationTest(
        folds=int(record["folds"]),
        seed=int(record["seed"]),
        permutations=int(record["shuffles"]),
        front_end=str(record["front_end"]),
        unchanged=fmean(record["kept"].values()),
        scores=scores.astype(float),
    )


def permuted_label_runs(run: MeasuredRun) -> tuple[MeasuredRun, ...]:
    """Return the runs of the same model and split with permuted labels, often none; raise
    ResultsError if one is malformed, unfinished or of something else."""
    found = []
    for path in sorted(run.folder.glob(f"permuted-*/{RUN}")):
        permuted = read_run(path.parent)
        same = ("dataset", "protocol", "system", "folds", "settings", "preset")
        if any(getattr(permuted, name) != getattr(run, name) for name in same):
            raise ResultsError(f"{path.parent} was not fitted as {run.folder} was; move it away.")
        found.append(permuted)
    return tuple(found)


DEALT = "labels_dealt_out"
"""Name of the baseline that a permutation test gives."""
FITTED = "fitted_to_dealt_"
"""How the names of those that permuted runs give begin; the model's follows."""


def without_truth(runs: Sequence[MeasuredRun], metric: str) -> tuple[Baseline, ...]:
    """Return all baselines of these runs with permuted labels.

    Raise ResultsError if a file of them is malformed. ``runs``: any; ``metric``: one of
    :data:`cry_model.metrics.SCORES`.
    """
    title, found = "linear classifier, permuted labels", []
    for run in {run.folder.parent: run for run in runs}.values():
        test = read_permutation_test(run)
        if test is not None:
            score = test.permuted(metric)
            found.append(Baseline(DEALT, title, run.protocol, score))
    for run in runs:
        scores = [one.evaluation.metrics[metric] for one in permuted_label_runs(run)]
        if scores:
            many = f" (mean and range of {len(scores)})" if len(scores) > 1 else ""
            title = f"{get_system(run.system).title}, permuted labels{many}"
            name, pooled = f"{FITTED}{run.system}", _pooled(scores)
            found.append(Baseline(name, title, run.protocol, pooled))
    return tuple(found)


def _pooled(scores: Sequence[Estimate]) -> Estimate:
    """Return a single score with its interval; of several the mean, the least and the greatest."""
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores]
    return Estimate(sum(values) / len(values), min(values), max(values))


@dataclass(frozen=True)
class AttentionAblation:
    """Attentions of one run replaced by their mean or made uniform, one at a time."""

    seeds: tuple[int, ...]  # of the fits that were ablated
    # attention -> balanced accuracy per recording, ablated less fitted: below 0 where the attention
    # helps
    differences: Mapping[str, Estimate]
    changed: Mapping[str, float]  # attention -> share of recordings whose answer changes, 0 to 1
    # of the rows of A1 and of A2, 1 where uniform; None without the module
    entropies: tuple[Estimate, Estimate] | None
    weights: tuple[float, ...]  # lambda of every fit, in rising order; empty without the module


def read_attention_ablation(folder: Path) -> AttentionAblation | None:
    """Read the ablation of a run by its folder; None if there is none. Raise ResultsError if the
    file is malformed."""
    path = folder / "attention_effect.json"
    return _parse(path, "python -m train ablate-attention", _ablation)


def _ablation(record: Record) -> AttentionAblation:
    ablated, maps = renamed(record)["ablated"], record["differential"]
    return AttentionAblation(
        seeds=tuple(map(int, record["seeds"])),
        differences={
            name: Estimate(**one["metrics"]["balanced_accuracy"]["difference"])
            for name, one in ablated.items()
        },
        changed={name: float(one["changed"]["value"]) for name, one in ablated.items()},
        entropies=maps and (Estimate(**maps["entropy_1"]), Estimate(**maps["entropy_2"])),
        weights=tuple(sorted(maps["weight"].values())) if maps else (),
    )


@dataclass(frozen=True)
class MapTest:
    """What the maps of one run mark, by insertion and deletion on recordings held out."""

    recordings: int
    whole: Estimate  # probability of the first label of the recording as it is
    # map -> quantity, of train.studies.explanations.measure -> its estimate, or none
    maps: Mapping[str, Mapping[str, Estimate | None]]


def read_map_test(folder: Path) -> MapTest | None:
    """Read the test of a run by its folder; None if there is none. Raise ResultsError if the file
    is malformed."""
    return _parse(folder / "explanations.json", "python -m train check-explanations", _maps)


def _maps(record: Record) -> MapTest:
    maps = {
        name: {key: one and Estimate(**one) for key, one in scores.items()}
        for name, scores in record["maps"].items()
    }
    return MapTest(int(record["recordings"]), Estimate(**record["whole"]), maps)


Row = Mapping[str, str]
"""Head of a column -> what stands there."""
NONE = "-"


def read_pruning(folder: Path) -> PruningEffect | None:
    """Read what pruning does, of a run by its folder; None if that was not measured. Raise
    ResultsError if the file is malformed."""
    parse = partial(read, PruningEffect)
    return _parse(folder / "pruning.json", "python -m train measure-pruning", parse)


def read_detector(results: Path) -> dict[str, list[Row]]:
    """Return three tables: totals, kinds of sound, changed cries; empty ones without a run.

    Raise ResultsError if the file is damaged. ``results``: the results folder.
    """
    for path in sorted((results / "detector").glob(f"*/*/{RUN}")):
        try:
            record = read_record(path)
            return _tables(record["detector"], record.get("external", {}))
        except (DamagedFileError, LookupError, TypeError, ValueError) as error:
            raise ResultsError(f"{path} is damaged ({error}); restore it.") from error
    return {}


def _tables(found: Mapping, external: Mapping[str, float]) -> dict[str, list[Row]]:
    own, theirs = found["alarms_per_hour"]
    estimates = ("area", "tagger_area", "accepted", "false_accepts", "tagger_false_accepts")
    shown = {name: str(Estimate(**found[name])) for name in estimates}
    totals = [
        ("area under the ROC curve", shown["area"], shown["tagger_area"]),
        ("cries accepted", shown["accepted"], "as many"),
        ("other sounds accepted", shown["false_accepts"], shown["tagger_false_accepts"]),
        ("false alarms an hour of other sounds", f"{own:.1f}", f"{theirs:.1f}"),
        ("seconds from onset to detection, median", f"{found['delay']:.1f}", NONE),
        *(
            (f"cries of another corpus: {words(k)}", fine_percent(v), NONE)
            for k, v in external.items()
        ),
    ]
    unheard = [
        (f"{family}, fitted without them", fine_percent(share), NONE)
        for family, share in found["unheard"].items()
    ]
    return {
        "totals": _rows("held-out recordings", totals),
        "kinds": _rows("accepted", [*_pairs(found["kinds"]), *unheard]),
        "conditions": _rows("cries accepted", _pairs(found["conditions"])),
    }


def _rows(head: str, cells: list[tuple[str, str, str]]) -> list[Row]:
    return [{head: name, "detector": own, "YAMNet": theirs} for name, own, theirs in cells]


def _pairs(shares: Mapping[str, tuple[float, float]]) -> list[tuple[str, str, str]]:
    ordered = sorted(shares.items(), key=lambda item: -item[1][0])
    return [
        (words(name), fine_percent(own), fine_percent(theirs)) for name, (own, theirs) in ordered
    ]
