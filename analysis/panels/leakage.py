"""The same systems under every split: what a number owes to what was heard in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from analysis.figures.intervals import Dot, broken, difference_figure
from analysis.figures.leakage import leakage_figure
from analysis.figures.theme import SYSTEM_COLOURS
from analysis.findings_tables import signed
from analysis.panels.base import CellKey, Exhibit, Option, Panel, Selector, cells_with
from analysis.points import number, points, span
from analysis.split_words import kept_apart, on_what
from analysis.stats.comparison import DRAWS, Leak, leak, under_two_splits
from analysis.stats.paper import FULL
from analysis.stats.recordings import SCORES, Guess, ResultsError, guess
from analysis.stats.runs import PROTOCOLS, FoundRuns, MeasuredRun
from analysis.stats.side_results import DEALT, FITTED, Yardstick, without_truth, yardsticks
from cry_model.records import Estimate, tested, words
from cry_model.registry import get_system, list_models

NOT_RUN = "not run"


def score_data(
    runs: Sequence[MeasuredRun], metric: str, beside: Sequence[Yardstick]
) -> pd.DataFrame:
    """A row for each mark: systems, yardsticks beside them, and the line of guessing."""
    rows = [
        ("system", run.system, run.protocol, *_bounds(run.evaluation.metrics[metric]))
        for run in runs
    ]
    rows += [("beside", y.name, y.protocol, *_bounds(y.estimate)) for y in beside]
    level = guess(runs[0].evaluation, metric)
    rows.append(("line", level.who, None, level.value, None, None))
    return pd.DataFrame(rows, columns=["mark", "name", "protocol", metric, "low", "high"])


def score_table(
    runs: Sequence[MeasuredRun], metric: str, beside: Sequence[Yardstick]
) -> pd.DataFrame:
    """A row for each of these, a column for each protocol that was measured."""
    measured: dict[str, dict[str, Estimate]] = {
        get_system(system).title: {
            run.protocol: run.evaluation.metrics[metric] for run in runs if run.system == system
        }
        for system in list_models()
    }
    for yardstick in beside:
        measured.setdefault(yardstick.title, {})[yardstick.protocol] = yardstick.estimate
    protocols = protocols_of(runs)
    rows = [
        [title, *(str(own[p]) if p in own else NOT_RUN for p in protocols)]
        for title, own in measured.items()
        if own
    ]
    level = guess(runs[0].evaluation, metric)
    rows.append([level.who, *[f"{level.value:.3f}"] * len(protocols)])
    return pd.DataFrame(rows, columns=[words(metric), *protocols])


def loss_data(leaks: Sequence[Leak], metric: str) -> pd.DataFrame:
    """A row for each system; shares of one, not points."""
    rows = [
        (leak.system, metric, leak.lax, leak.strict, *_bounds(leak.lost), leak.recordings)
        for leak in leaks
    ]
    columns = ["system", "metric", "lax", "strict", "lost", "low", "high", "recordings"]
    return pd.DataFrame(rows, columns=columns)


def loss_table(leaks: Sequence[Leak], metric: str) -> pd.DataFrame:
    """A row for each system."""
    rows = [
        (get_system(leak.system).title, f"{leak.lax} minus {leak.strict}", signed(leak.lost))
        for leak in leaks
    ]
    return pd.DataFrame(rows, columns=["system", "difference", words(metric)])


def protocols_of(runs: Sequence[MeasuredRun]) -> list[str]:
    """Those that were measured, the laxest first."""
    return [name for name in PROTOCOLS if name in {run.protocol for run in runs}]


def _bounds(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def finding(lax: MeasuredRun, strict: MeasuredRun, metric: str, lost: Estimate) -> str:
    """How much of what one system has above guessing is left under the strictest split.

    Args:
        lax: its run under the laxest split.
        strict: its run under the strictest.
        metric: one of :data:`analysis.stats.recordings.SCORES`.
        lost: the paired difference of the two.
    """
    known, new = (on_what(run.dataset, run.protocol) for run in (lax, strict))
    title, name = get_system(lax.system).title, words(metric)
    first, last = (run.evaluation.metrics[metric] for run in (lax, strict))
    base, floor = guess(lax.evaluation, metric), guess(strict.evaluation, metric)
    if first.low <= base.value:
        return _nothing_to_lose(title, name, first, base, known)
    above = (
        f"Of the {title}’s {points(first.value - base.value)} of {name} above {base.who} on "
        f"{known}, "
    )
    left = number(last.value - floor.value)
    interval = span(last.low - floor.value, last.high - floor.value)
    if last.high < floor.value:
        return f"{above}none are left for {new}: there it scores below {floor.who} ({interval})"
    if last.low <= floor.value:
        return f"{above}none can be shown for {new} ({left}; {interval})"
    if lost.low <= 0:
        return f"{above}no loss can be shown for {new} ({left}; {interval})"
    return f"{above}{left} are left for {new} ({interval})"


def _nothing_to_lose(title: str, name: str, first: Estimate, base: Guess, known: str) -> str:
    if first.high < base.value:
        return (
            f"Even on {known} the {title} scores below {base.who} ({name} {first.value:.3f} "
            f"against {base.value:.3f})"
        )
    return f"Even on {known} the {name} of the {title} ({first}) cannot be told from {base.who}"


def loss_finding(leaks: Sequence[Leak], metric: str) -> str:
    """How many of the systems lose measurably from the laxest split to the strictest."""
    name = words(metric)
    falls = [leak for leak in leaks if leak.lost.low > 0]
    splits = {(leak.lax, leak.strict) for leak in leaks}
    lax, strict = splits.pop() if len(splits) == 1 else ("the laxest", "the strictest split")
    between = f"{lax} and {strict}"
    if len(leaks) == 1:
        one, title = leaks[0].lost, get_system(leaks[0].system).title
        amount, interval = points(one.value), span(one.low, one.high)
        if falls:
            return f"Between {between} the {title} loses {amount} of {name} ({interval})"
        return (
            f"Between {between} no loss of {name} can be shown for the {title} ({amount}; "
            f"{interval})"
        )
    if not falls:
        return f"Between {between} no loss of {name} can be shown for any of {len(leaks)} systems"
    who = f"{len(falls)} of {len(leaks)} systems"
    if len(falls) == len(leaks):
        who = "both systems" if len(leaks) == 2 else f"all {len(leaks)} systems"
    verb = "loses" if len(falls) == 1 else "lose"
    least, most = (number(f(leak.lost.value for leak in falls)) for f in (min, max))
    amount = points(falls[0].lost.value) if least == most else f"{least} to {most} points"
    return f"Between {between} {who} {verb} {name}, {amount}"


def score_note(runs: Sequence[MeasuredRun], beside: Sequence[Yardstick]) -> str:
    """Of all systems under all protocols."""
    dataset = runs[0].dataset
    meant = "; ".join(f"`{p}`: {tested(dataset, p)}" for p in protocols_of(runs))
    lines = [
        f"What is tested: {meant}. Scored per recording, the mean of its pieces; 95 % intervals "
        f"over {kept_apart(dataset, 'baby')}.",
        *_corpus(runs[0]),
        *_notes_beside({yardstick.name for yardstick in beside}, kept_apart(dataset, "baby")),
        _seeds(sorted({len(run.seeds) for run in runs})),
    ]
    return " ".join(lines)


def loss_note(leaks: Sequence[Leak], dataset: str) -> str:
    """Of what is lost between two of them."""
    one = leaks[0]
    return (
        f"Paired: each of the {one.recordings} recordings under both splits. The interval draws "
        f"the {one.groups} {kept_apart(dataset, 'baby')} anew {DRAWS} times, the same for both. "
        "The fits are others under each split; how another seed would move them is not in it. "
        f"{_seeds(sorted({len(leak.seeds) for leak in leaks}))}"
    )


def _corpus(run: MeasuredRun) -> Iterator[str]:
    """What a reader must know of the six-class corpus."""
    if run.dataset.startswith("challenge6"):
        yield (
            f"The {run.evaluation.recordings} recordings appear to be halves of longer ones. A "
            f"group ({run.evaluation.groups} of them) is those of one label and one length, and "
            "stays together under `recording`; `clip` may test a half whose other half was "
            "learnt. The corpus names no baby."
        )


def _notes_beside(names: set[str], groups: str) -> Iterator[str]:
    if "sample_rate" in names:
        yield (
            "The sample rate goes with the label here: answering by it alone, without hearing "
            "anything, is already better than guessing."
        )
    if DEALT in names:
        yield (
            f"Labels dealt out anew: among {groups} with as many recordings, many times, so that "
            "they hardly go with the sound. What a linear classifier on the mean and deviation of "
            f"each band then scores above guessing (mean and middle 95 %) comes from hearing "
            f"recordings or {groups} again where the split lets it, and a little from those that "
            "got their own labels back."
        )
    if any(name.startswith(FITTED) for name in names):
        yield (
            "A system with labels dealt out anew was fitted to a dealing by the same recipe: the "
            "score of one with its interval, or the mean of several with the least and greatest."
        )


def _seeds(counts: Sequence[int]) -> str:
    if list(counts) == [1]:
        return "One seed a system."
    return f"All seeds of a system pooled ({' or '.join(map(str, counts))})."


def leakage(found: FoundRuns, cell: CellKey, metric: str) -> tuple[Exhibit, ...]:
    """One metric of every system under each protocol, and what is lost between them."""
    runs = _of_dataset(found, cell.dataset)
    pairs = under_two_splits(runs)
    leaks = [leak(*pair, metric) for pair in pairs.values()]
    told = FULL if FULL in pairs else next(iter(pairs))
    lost = next(leak.lost for leak in leaks if leak.system == told)
    beside, problems = _beside(runs, metric)
    end = f"{cell.dataset}-{metric}".replace("_", "-")
    return (
        Exhibit(
            f"leakage-{end}",
            finding(*pairs[told], metric, lost),
            score_data(runs, metric, beside),
            leakage_figure(runs, metric, beside),
            score_table(runs, metric, beside),
            " ".join([score_note(runs, beside), *problems]),
        ),
        Exhibit(
            f"leakage-lost-{end}",
            loss_finding(leaks, metric),
            loss_data(leaks, metric),
            difference_figure([_dot(leak) for leak in leaks], "points lost"),
            loss_table(leaks, metric),
            loss_note(leaks, cell.dataset),
        ),
    )


def _beside(runs: list[MeasuredRun], metric: str) -> tuple[list[Yardstick], list[str]]:
    """What stands beside the runs, and a sentence for what cannot be read of it."""
    found, problems = [], []
    for read in (*(partial(yardsticks, run) for run in runs), partial(without_truth, runs)):
        try:
            found += read(metric)
        except ResultsError as error:
            problems.append(str(error))
    return found, problems


def leakage_cells(found: FoundRuns) -> tuple[CellKey, ...]:
    """A cell for each dataset on which a system was measured under two splits or more."""
    first: dict[str, CellKey] = {}
    for cell in cells_with(found):
        if under_two_splits(_of_dataset(found, cell.dataset)):
            first.setdefault(cell.dataset, cell)
    return tuple(first.values())


def _of_dataset(found: FoundRuns, dataset: str) -> list[MeasuredRun]:
    known = list_models()
    return [run for run in found.runs if run.dataset == dataset and run.system in known]


def _dot(leak: Leak) -> Dot:
    span = (100 * leak.lost.low, 100 * leak.lost.high)
    name = broken(get_system(leak.system).title)
    return Dot(name, 100 * leak.lost.value, span, SYSTEM_COLOURS[leak.system])


LEAKAGE = Panel(
    name="leakage",
    title="Leakage",
    lead="How much of a score is owed to what a split lets through: the same systems, tested on "
    "pieces of recordings that they know, on new recordings, and on new babies.",
    draw=leakage,
    cells=leakage_cells,
    places=2,
    selectors=(
        Selector("metric", "Metric", lambda *_: [Option(words(m), m) for m in SCORES], first=1),
    ),
    by_protocol=False,
)
