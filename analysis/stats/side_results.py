"""Read results beside the runs: costs, baselines, permuted labels, pruning, the personal model."""

from __future__ import annotations

from collections import defaultdict
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
from cry_model.records import Estimate, PruningEffect
from cry_model.results import RUN, read_object

BENCHMARK = RESULTS / "benchmark.json"
Record = Mapping[str, Any]
Parsed = TypeVar("Parsed")


def parsed(path: Path, writer: str, parse: Callable[[Record], Parsed]) -> Parsed | None:
    """Parse a JSON file with ``parse``; return None if it does not exist, raise ResultsError if
    it is not as ``writer`` writes it."""
    if not path.is_file():
        return None
    try:
        return parse(read_object(path))
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        place = path.name if path.name == BENCHMARK.name else path  # the page shows this sentence
        raise ResultsError(
            f"{place} is not as {writer} writes it ({error!r}); run it again."
        ) from error


@dataclass(frozen=True)
class Costs:
    """Store the costs of all models on one machine."""

    clip: str  # what was classified, in words
    machine: str  # processor type
    torch: str  # version
    milliseconds: pd.DataFrame  # file to answer: a row per model, a column per number of threads


def read_costs(path: Path = BENCHMARK) -> Costs:
    """Read the output of ``python -m analysis benchmark``; raise ResultsError if the file is
    missing or malformed."""
    costs = parsed(path, "python -m analysis benchmark", _costs)
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
    """Store the score of a baseline: name for files, title for readers, protocol of its runs."""

    name: str
    title: str
    protocol: str
    estimate: Estimate


def baselines_of(run: MeasuredRun, metric: str) -> tuple[Baseline, ...]:
    """Return the baselines of a run that were measured by this metric; often none. Raise
    ResultsError if ``run.json`` cannot be read or has them in another form."""

    def parse(record: Record) -> tuple[Baseline, ...]:
        return tuple(
            Baseline(name, TITLES.get(name, name), run.protocol, read(Estimate, measured[metric]))
            for name, measured in (record.get("baselines") or {}).items()
            if metric in measured
        )

    return parsed(run.folder / RUN, "train fit", parse) or ()


@dataclass(frozen=True)
class PermutationTest:
    """Store a permutation test with a linear classifier, on one dataset under one protocol."""

    folds: int  # of the splits
    seed: int
    permutations: int
    front_end: str  # the kind of features
    unchanged: float  # share of each label's recordings that kept it, averaged over labels
    # a row for each metric of :data:`cry_model.metrics.SCORES`; columns value (with the true
    # labels), mean, low, high (the middle 95% with labels permuted among groups) and p: the share
    # of permutations that score at least as well, the true labels counting as one
    scores: pd.DataFrame

    def permuted(self, metric: str) -> Estimate:
        """Return the score with permuted labels."""
        return Estimate(*self.scores.loc[metric, ["mean", "low", "high"]])


def read_permutation_test(run: MeasuredRun) -> PermutationTest | None:
    """Read the permutation test for the dataset, protocol and number of folds of a run; None if
    there is none. Raise ResultsError if the file is malformed."""
    path = run.folder.parent / "chance.json"
    test = parsed(path, "python -m train permutation-test", _permutation_test)
    return test if test is not None and test.folds == run.folds else None


def _permutation_test(record: Record) -> PermutationTest:
    columns = ["value", "mean", "low", "high", "p"]
    scores = pd.DataFrame(record["scores"]).T.loc[list(SCORES), columns]
    return PermutationTest(
        folds=int(record["folds"]),
        seed=int(record["seed"]),
        permutations=int(record["permutations"]),
        front_end=str(record["front_end"]),
        unchanged=fmean(record["unchanged"].values()),
        scores=scores.astype(float),
    )


def permuted_label_runs(run: MeasuredRun) -> tuple[MeasuredRun, ...]:
    """Return the runs of the same model and split with permuted labels, often none; raise
    ResultsError if one is malformed, unfinished or was fitted differently."""
    found = []
    for path in sorted(run.folder.glob(f"permuted-*/{RUN}")):
        permuted = read_run(path.parent)
        same = ("dataset", "protocol", "system", "folds", "settings", "preset")
        if any(getattr(permuted, name) != getattr(run, name) for name in same):
            raise ResultsError(f"{path.parent} was not fitted like {run.folder}; move it away.")
        found.append(permuted)
    return tuple(found)


DEALT = "labels_dealt_out"
"""Name of a baseline from a permutation test."""
FITTED = "fitted_to_dealt_"
"""Prefix of the names of baselines from runs with permuted labels; the model's name follows."""


def without_truth(runs: Sequence[MeasuredRun], metric: str) -> tuple[Baseline, ...]:
    """Return all baselines of these runs with permuted labels; raise ResultsError if one of their
    files is malformed. ``metric``: one of :data:`cry_model.metrics.SCORES`."""
    title, found = "linear classifier, permuted labels", []
    for run in {run.folder.parent: run for run in runs}.values():
        if (test := read_permutation_test(run)) is not None:
            found.append(Baseline(DEALT, title, run.protocol, test.permuted(metric)))
    for run in runs:
        scores = [one.evaluation.metrics[metric] for one in permuted_label_runs(run)]
        if not scores:
            continue
        title, score = f"{get_system(run.system).title}, permuted labels", scores[0]
        if len(scores) > 1:
            title += f" (mean and range of {len(scores)})"
            values = [one.value for one in scores]
            score = Estimate(sum(values) / len(values), min(values), max(values))
        found.append(Baseline(f"{FITTED}{run.system}", title, run.protocol, score))
    return tuple(found)


def read_pruning(folder: Path) -> PruningEffect | None:
    """Read the effect of pruning from a run's folder; None if it was not measured. Raise
    ResultsError if the file is malformed."""
    parse = partial(read, PruningEffect)
    return parsed(
        folder / "pruning.json", "python -m train measure-pruning of commit cf36738", parse
    )


PERSONAL = Path("personal", "study.json")
SHOWN = 0.8
"""Share of right labels in the chart."""


@dataclass(frozen=True)
class Power:
    """Store how often simulated parents were told "better"."""

    effect: float  # standard deviations between reasons
    labels_correct: float  # share of right labels
    better: Mapping[int, float]  # cries -> share of parents
    needed: int | None  # cries until 80% of parents were told so; None if more than 200


@dataclass(frozen=True)
class PersonalStudy:
    """Store the study: false alarms (``told`` of ``parents``, over ``nights``), and power."""

    parents: int
    told: int
    nights: int
    power: tuple[Power, ...]

    @property
    def clear(self) -> Power:
        """Return the case with the largest effect and the best labels."""
        return max(self.power, key=lambda one: (one.effect, one.labels_correct))

    def chart(self) -> str:
        """Return a Mermaid chart of the share of parents told "better" by number of cries."""
        shown = [one for one in self.power if one.labels_correct == SHOWN]
        marks = sorted(shown[0].better)
        lines = [f"  line [{', '.join(f'{one.better[n]:.3f}' for n in marks)}]" for one in shown]
        head = ["xychart-beta", f'  x-axis "cries" [{", ".join(map(str, marks))}]']
        return "\n".join([*head, '  y-axis "told better" 0 --> 1', *lines])

    def rows(self) -> list[dict[str, str]]:
        """Return a row per effect: the cries needed, by share of right labels."""
        rows: defaultdict[float, dict[str, str]] = defaultdict(dict)
        for one in sorted(self.power, key=lambda own: own.effect):
            row = rows[one.effect]
            row["deviations apart"] = f"{one.effect:g}"
            row[f"{one.labels_correct:.0%} of labels right"] = str(one.needed or "more than 200")
        return list(rows.values())


def read_personal(results: Path) -> PersonalStudy | None:
    """Read how often the personal model errs and how many cries it needs, from a results folder;
    None if that was not measured. Raise ResultsError if the file is malformed."""
    return parsed(results / PERSONAL, "python -m train check-personal of commit cf36738", _personal)


def _personal(record: Record) -> PersonalStudy:
    power = tuple(
        Power(
            float(one["effect"]),
            float(one["labels_correct"]),
            {int(cries): float(rate["share"]) for cries, rate in one["better"].items()},
            one["cries_for_80_percent"],
        )
        for one in record["power"]
    )
    alarms = record["false_alarms"][0]
    told = alarms["better"]
    return PersonalStudy(int(told["of"]), int(told["count"]), int(alarms["nights"]), power)
