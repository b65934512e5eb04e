"""Read what was measured besides the runs: costs, baselines, permuted labels, attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from analysis.stats.recordings import SCORES, ResultsError
from analysis.stats.runs import RESULTS, MeasuredRun, read_record, read_run
from cry_model.records import Estimate
from cry_model.registry import get_system
from cry_model.results import RUN, read_object, renamed

BENCHMARK = RESULTS / "benchmark.json"
Record = Mapping[str, Any]
Parsed = TypeVar("Parsed")


def _parse(
    path: Path,
    writer: str,
    parse: Callable[[Record], Parsed],
    read: Callable[[Path], Record] = read_object,
) -> Parsed:
    """Return what ``parse`` makes of a file of results.

    Raises:
        ResultsError: if the file is not as the command ``writer`` writes it.
    """
    try:
        return parse(read(path))
    except ResultsError:
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        place = path.name if path.name == BENCHMARK.name else path  # a page shows the sentence
        raise ResultsError(
            f"{place} is not as {writer} writes it ({error!r}); run it again."
        ) from error


@dataclass(frozen=True)
class Cost:
    """Cost of one clip with one model and number of threads; times in milliseconds, memory in MB.

    Attributes:
        load: from the checkpoint's files to a classifier.
        decode: a 44.1 kHz 16-bit wav to samples.
        features: resampling, band, level, trim, cut, log-mel.
        forward: features to logits and attention maps.
        total: file to answer, measured as one, not the sum of the parts.
        figures: answer to the figures' JSON.
        real_time_factor: total over the length of the clip.
        peak_memory: greatest resident size of the process, the drawing libraries included; NaN
            where the system does not tell (Windows).
    """

    system: str
    threads: int
    load: float
    decode: float
    features: float
    forward: float
    total: float
    figures: float
    real_time_factor: float
    peak_memory: float


@dataclass(frozen=True)
class Costs:
    """Costs of all models on one machine.

    Attributes:
        clip: what was classified, in words.
        machine: kind of processor.
        torch: version.
        measured: a cost for each model and number of threads.
    """

    clip: str
    machine: str
    torch: str
    measured: tuple[Cost, ...]

    @property
    def threads(self) -> tuple[int, ...]:
        """The numbers of threads that were tried, from one to all."""
        return tuple(sorted({cost.threads for cost in self.measured}))

    def of(self, system: str, threads: int) -> Cost | None:
        """Return one cost; None if it was not measured."""
        found = (cost for cost in self.measured if (cost.system, cost.threads) == (system, threads))
        return next(found, None)


def read_costs(path: Path = BENCHMARK) -> Costs:
    """Read what ``python -m analysis benchmark`` wrote.

    Raises:
        ResultsError: if the file is missing or malformed.
    """
    if not path.exists():
        raise ResultsError(
            f"There is no {path.name}; run python -m analysis benchmark --out "
            f"assets/results/{path.name}."
        )
    return _parse(path, "python -m analysis benchmark", _costs)


def _costs(record: Record) -> Costs:
    measured = tuple(Cost(**cost) for cost in record["costs"])
    if not measured or not all(cost.total > 0 for cost in measured):
        raise ValueError("no times")
    return Costs(record["clip"], record["machine"], record["torch"], measured)


TITLES = {
    "sample_rate": "the sample rate alone",
    "rbf_svm": "RBF SVM on the same features",
}


@dataclass(frozen=True)
class Baseline:
    """Baseline on one dataset under one protocol.

    Attributes:
        name: for files.
        title: for people.
        dataset, protocol: of the runs that it is shown with.
        estimate: of one metric.
    """

    name: str
    title: str
    dataset: str
    protocol: str
    estimate: Estimate


def baselines_of(run: MeasuredRun, metric: str) -> tuple[Baseline, ...]:
    """Return the baselines of a run that were measured by this metric; often none.

    Raises:
        ResultsError: if ``run.json`` cannot be read or has them in another form.
    """

    def parse(record: Record) -> tuple[Baseline, ...]:
        return tuple(
            Baseline(
                name,
                TITLES.get(name, name),
                run.dataset,
                run.protocol,
                Estimate(**{end: float(value) for end, value in measured[metric].items()}),
            )
            for name, measured in (record.get("baselines") or {}).items()
            if metric in measured
        )

    return _parse(run.folder / RUN, "train fit", parse, lambda path: read_record(path.parent))


@dataclass(frozen=True)
class PermutationScore:
    """Score of a linear classifier.

    Attributes:
        value: with the true labels.
        permuted: with labels that are permuted among groups, the mean and the middle 95%.
        p: the share of permutations that score at least as well, the true labels counted as one.
    """

    value: float
    permuted: Estimate
    p: float


@dataclass(frozen=True)
class PermutationTest:
    """Permutation test of the labels of one dataset under one protocol.

    Attributes:
        folds, seed: of the splits.
        permutations: how many.
        front_end: the kind of features.
        unchanged: share of the recordings of each label that kept it, the mean over the labels.
        scores: of each metric of :data:`analysis.stats.recordings.SCORES`.
    """

    folds: int
    seed: int
    permutations: int
    front_end: str
    unchanged: float
    scores: Mapping[str, PermutationScore]


def read_permutation_test(run: MeasuredRun) -> PermutationTest | None:
    """Read the test on the dataset and under the protocol of a run, in as many folds.

    Returns:
        None if there is none.

    Raises:
        ResultsError: if the file is malformed.
    """
    path = run.folder.parent / "chance.json"
    if not path.is_file():
        return None
    test = _parse(path, "python -m train permutation-test", _permutation_test)
    return test if test.folds == run.folds else None


def _permutation_test(record: Record) -> PermutationTest:
    unchanged = [float(share) for share in record["kept"].values()]
    measured = {name: record["scores"][name] for name in SCORES}
    return PermutationTest(
        folds=int(record["folds"]),
        seed=int(record["seed"]),
        permutations=int(record["shuffles"]),
        front_end=str(record["front_end"]),
        unchanged=sum(unchanged) / len(unchanged),
        scores={
            name: PermutationScore(
                float(one["value"]),
                Estimate(*(float(one[end]) for end in ("mean", "low", "high"))),
                float(one["p"]),
            )
            for name, one in measured.items()
        },
    )


def permuted_label_runs(run: MeasuredRun) -> tuple[MeasuredRun, ...]:
    """Return the runs of the same model and split with permuted labels, often none.

    Raises:
        ResultsError: if one is malformed, unfinished or of something else.
    """
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

    Args:
        runs: any.
        metric: one of :data:`analysis.stats.recordings.SCORES`.

    Raises:
        ResultsError: if a file of them is malformed.
    """
    title, found = "linear classifier, permuted labels", []
    for run in {run.folder.parent: run for run in runs}.values():
        test = read_permutation_test(run)
        if test is not None:
            score = test.scores[metric].permuted
            found.append(Baseline(DEALT, title, run.dataset, run.protocol, score))
    for run in runs:
        scores = [one.evaluation.metrics[metric] for one in permuted_label_runs(run)]
        if scores:
            many = f" (mean and range of {len(scores)})" if len(scores) > 1 else ""
            title = f"{get_system(run.system).title}, permuted labels{many}"
            name, pooled = f"{FITTED}{run.system}", _pooled(scores)
            found.append(Baseline(name, title, run.dataset, run.protocol, pooled))
    return tuple(found)


def _pooled(scores: Sequence[Estimate]) -> Estimate:
    """Return a single score with its interval; of several the mean, the least and the greatest."""
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores]
    return Estimate(sum(values) / len(values), min(values), max(values))


@dataclass(frozen=True)
class AttentionEffect:
    """Change when one attention is replaced by its mean or made uniform.

    Attributes:
        difference: balanced accuracy per recording, ablated less fitted: below 0 where the
            attention helps.
        changed: share of recordings whose answer changes, 0 to 1.
    """

    difference: Estimate
    changed: Estimate


@dataclass(frozen=True)
class AttentionAblation:
    """Attention ablation of one run.

    Attributes:
        seeds: of the fits that were ablated.
        effects: by the name of the attention.
        entropies: of the rows of A1 and of A2, 1 where uniform; None without the module.
        weights: lambda of every fit, in rising order; empty without the module.
    """

    seeds: tuple[int, ...]
    effects: Mapping[str, AttentionEffect]
    entropies: tuple[Estimate, Estimate] | None
    weights: tuple[float, ...]


def read_attention_ablation(folder: Path) -> AttentionAblation | None:
    """Read the ablation of a run by its folder; None if there is none.

    Raises:
        ResultsError: if the file is malformed.
    """
    path = folder / "attention_effect.json"
    return _parse(path, "python -m train ablate-attention", _ablation) if path.is_file() else None


def _ablation(record: Record) -> AttentionAblation:
    effects = {
        name: AttentionEffect(
            Estimate(**one["metrics"]["balanced_accuracy"]["difference"]),
            Estimate(**one["changed"]),
        )
        for name, one in renamed(record)["ablated"].items()
    }
    seeds, maps = tuple(map(int, record["seeds"])), record["differential"]
    if maps is None:
        return AttentionAblation(seeds, effects, None, ())
    entropies = (Estimate(**maps["entropy_1"]), Estimate(**maps["entropy_2"]))
    return AttentionAblation(seeds, effects, entropies, tuple(sorted(maps["weight"].values())))
