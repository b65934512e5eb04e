"""What one clip costs, as :mod:`analysis.benchmark` measured it: written there, read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.stats.recordings import SCORES, ResultsError
from analysis.stats.runs import RESULTS, MeasuredRun, read_record, read_run
from cry_model.records import Estimate
from cry_model.registry import get_system
from cry_model.run_files import RUN, read_object

BENCHMARK = RESULTS / "benchmark.json"


@dataclass(frozen=True)
class Cost:
    """One system at one number of threads; times in milliseconds, memory in MB.

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

    @property
    def clips_per_second(self) -> float:
        """Answered one after the other."""
        return 1000 / self.total


@dataclass(frozen=True)
class Costs:
    """Those of all systems on one machine.

    Attributes:
        clip: what was classified, in words.
        machine: kind of processor.
        torch: version.
        measured: a cost for each system and number of threads.
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
        """None if it was not measured."""
        found = (cost for cost in self.measured if (cost.system, cost.threads) == (system, threads))
        return next(found, None)


def read_costs(path: Path = BENCHMARK) -> Costs:
    """Out of what ``python -m analysis benchmark`` wrote.

    Raises:
        ResultsError: if the file is missing or malformed.
    """
    if not path.exists():
        raise ResultsError(
            f"There is no {path.name}; run python -m analysis benchmark --out "
            f"assets/results/{path.name}."
        )
    try:
        record = read_object(path)
        measured = tuple(Cost(**cost) for cost in record["costs"])
        if not measured or not all(cost.total > 0 for cost in measured):
            raise ValueError("no times")
        return Costs(record["clip"], record["machine"], record["torch"], measured)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path.name} is not as python -m analysis benchmark writes it ({error!r}); run it "
            "again."
        ) from error


TITLES = {
    "sample_rate": "the sample rate alone",
    "rbf_svm": "RBF SVM on the same features",
}


@dataclass(frozen=True)
class Yardstick:
    """Another way to answer on one dataset under one protocol.

    Attributes:
        name: for files.
        title: for people.
        dataset, protocol: of the runs that it stands beside.
        estimate: of one metric.
    """

    name: str
    title: str
    dataset: str
    protocol: str
    estimate: Estimate


def yardsticks(run: MeasuredRun, metric: str) -> tuple[Yardstick, ...]:
    """Those that were measured by this metric; often none.

    Raises:
        ResultsError: if ``run.json`` cannot be read or has them in another form.
    """
    record = read_record(run.folder).get("beside") or {}
    try:
        return tuple(
            Yardstick(
                name,
                TITLES.get(name, name),
                run.dataset,
                run.protocol,
                Estimate(**{end: float(value) for end, value in measured[metric].items()}),
            )
            for name, measured in record.items()
            if metric in measured
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{run.folder / RUN} is not as train fit writes it ({error!r}); fit the run again."
        ) from error


CHANCE = "chance.json"
DEALT = "labels_dealt_out"
TITLE = "linear classifier, labels dealt out anew"


@dataclass(frozen=True)
class Level:
    """A score of a linear classifier.

    Attributes:
        value: with the true labels.
        dealt: with labels that are dealt out anew among groups, the mean and the middle 95 %.
        p: how often dealt labels score at least as well, the true ones counted among them.
    """

    value: float
    dealt: Estimate
    p: float


@dataclass(frozen=True)
class ChanceLevel:
    """Of one dataset under one protocol.

    Attributes:
        folds, seed: of the splits.
        shuffles: how often labels were dealt out.
        front_end: the kind of bands that were heard.
        kept: share of the recordings of each label that got it again, the mean over the labels.
        scores: each metric of :data:`analysis.stats.recordings.SCORES` -> its :class:`Level`.
    """

    folds: int
    seed: int
    shuffles: int
    front_end: str
    kept: float
    scores: Mapping[str, Level]


def read_chance(run: MeasuredRun) -> ChanceLevel | None:
    """What was measured on the dataset and under the protocol of a run, in as many folds.

    Returns:
        None if that was not.

    Raises:
        ResultsError: if the file is malformed.
    """
    path = run.folder.parent / CHANCE
    if not path.is_file():
        return None
    try:
        level = _level(read_object(path))
    except (AttributeError, KeyError, OSError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ResultsError(
            f"{path} is not as train chance writes it ({error!r}); write it again."
        ) from error
    return level if level.folds == run.folds else None


def _level(record: Mapping[str, Any]) -> ChanceLevel:
    kept = [float(share) for share in record["kept"].values()]
    measured = {name: record["scores"][name] for name in SCORES}
    return ChanceLevel(
        folds=int(record["folds"]),
        seed=int(record["seed"]),
        shuffles=int(record["shuffles"]),
        front_end=str(record["front_end"]),
        kept=sum(kept) / len(kept),
        scores={
            name: Level(
                float(one["value"]),
                Estimate(*(float(one[end]) for end in ("mean", "low", "high"))),
                float(one["p"]),
            )
            for name, one in measured.items()
        },
    )


def dealt(runs: Sequence[MeasuredRun], metric: str) -> tuple[Yardstick, ...]:
    """What dealt labels score under each protocol of the runs; of what was not asked, nothing.

    Args:
        runs: any.
        metric: one of :data:`analysis.stats.recordings.SCORES`.
    """
    found = []
    for run in {run.folder.parent: run for run in runs}.values():
        level = read_chance(run)
        if level is not None:
            told = level.scores[metric].dealt
            found.append(Yardstick(DEALT, TITLE, run.dataset, run.protocol, told))
    return tuple(found)


FITTED = "fitted_to_dealt_"
"""How the names of the yardsticks begin; a system's follows."""


def dealt_runs(run: MeasuredRun) -> tuple[MeasuredRun, ...]:
    """The same system under the same split, with other labels: a run for each dealing, often none.

    Raises:
        ResultsError: if one is malformed, unfinished or of something else.
    """
    found = []
    for path in sorted(run.folder.glob(f"shuffled-*/{RUN}")):
        dealt = read_run(path.parent)
        same = ("dataset", "protocol", "system", "folds", "settings", "preset")
        if any(getattr(dealt, name) != getattr(run, name) for name in same):
            raise ResultsError(f"{path.parent} was not fitted as {run.folder} was; move it away.")
        found.append(dealt)
    return tuple(found)


def fitted_to_dealt(runs: Sequence[MeasuredRun], metric: str) -> tuple[Yardstick, ...]:
    """What each run's dealings score, to stand beside it."""
    return tuple(
        Yardstick(
            name=f"{FITTED}{run.system}",
            title=f"{get_system(run.system).title}, labels dealt out anew{_how_many(found)}",
            dataset=run.dataset,
            protocol=run.protocol,
            estimate=_together([one.evaluation.metrics[metric] for one in found]),
        )
        for run in runs
        if (found := dealt_runs(run))
    )


def _how_many(found: Sequence[MeasuredRun]) -> str:
    return f" (mean and range of {len(found)})" if len(found) > 1 else ""


def _together(scores: Sequence[Estimate]) -> Estimate:
    """Of one dealing its interval; of several their mean, the least and the greatest."""
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores]
    return Estimate(sum(values) / len(values), min(values), max(values))


def without_truth(runs: Sequence[MeasuredRun], metric: str) -> tuple[Yardstick, ...]:
    """All that was scored beside these runs with labels that were dealt out anew.

    Raises:
        ResultsError: if a file of them is malformed.
    """
    return *dealt(runs, metric), *fitted_to_dealt(runs, metric)


EFFECT = "attention_effect.json"


@dataclass(frozen=True)
class Neutralised:
    """One attention made neutral.

    Attributes:
        difference: balanced accuracy per recording, neutral less fitted: below 0 where the
            attention helps.
        changed: share of recordings whose answer is another, 0 to 1.
    """

    difference: Estimate
    changed: Estimate


@dataclass(frozen=True)
class AttentionEffect:
    """Of one run.

    Attributes:
        seeds: of the fits that were asked.
        neutralised: name of the attention -> what is lost without it.
        entropies: of the rows of A1 and of A2, 1 where uniform; None without the module.
        weights: lambda of every fit, in rising order; empty without the module.
    """

    seeds: tuple[int, ...]
    neutralised: Mapping[str, Neutralised]
    entropies: tuple[Estimate, Estimate] | None
    weights: tuple[float, ...]


def read_effect(folder: Path) -> AttentionEffect | None:
    """What was measured of a run's attention; None if it was not.

    Raises:
        ResultsError: if the file is malformed.
    """
    path = folder / EFFECT
    if not path.is_file():
        return None
    try:
        record = read_object(path)
        neutralised = {
            name: Neutralised(
                Estimate(**one["metrics"]["balanced_accuracy"]["difference"]),
                Estimate(**one["changed"]),
            )
            for name, one in record["neutralised"].items()
        }
        seeds, maps = tuple(map(int, record["seeds"])), record["differential"]
        if maps is None:
            return AttentionEffect(seeds, neutralised, None, ())
        entropies = (Estimate(**maps["entropy_1"]), Estimate(**maps["entropy_2"]))
        weights = tuple(sorted(maps["weight"].values()))
        return AttentionEffect(seeds, neutralised, entropies, weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{path} is not as train effect writes it ({error!r}); measure it again."
        ) from error
