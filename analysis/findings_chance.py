"""What the findings say of labels that were dealt out anew: how much of a score is knowledge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from analysis.findings_dealt import SHOWN, dealt_lines
from analysis.findings_tables import table
from analysis.stats.claims import LEVEL, Cell, listed
from analysis.stats.comparison import score_of_seeds
from analysis.stats.runs import MeasuredRun
from analysis.stats.side_results import ChanceLevel, read_chance
from cry_model.records import percent, words
from cry_model.registry import get_system


class Asked(NamedTuple):
    """A cell, and what its protocol gives where labels hardly go with the sound."""

    cell: Cell
    chance: ChanceLevel


def chance_lines(cells: Sequence[Cell]) -> list[str]:
    """Lines for the section on what a split lets through; none where it was not asked."""
    asked = asked_of(cells)
    if not asked:
        return []
    shuffles = ", ".join(dict.fromkeys(str(one.chance.shuffles) for one in asked))
    seeds = ", ".join(dict.fromkeys(str(one.chance.seed) for one in asked))
    rows = [_row(one, metric) for one in asked for metric in SHOWN]
    heads = ["linear classifier, per recording", "true labels", "labels dealt out anew", "p"]
    kept = ", ".join(f"{percent(one.chance.kept)} on {one.cell.title}" for one in asked)
    return [
        "What each split gives where labels hardly go with the sound: they are dealt out anew "
        f"among groups with as many recordings, {shuffles} times, and a linear classifier on the "
        "mean and the deviation of each band is fitted each time (`python -m train chance`; mean "
        f"and middle 95 %, seed {seeds} of the split). What it scores above guessing then comes "
        "from hearing recordings or groups again where the split lets it, and a little from what "
        "goes with how many recordings a group has and from recordings that got their own label "
        f"back (of each label, in the mean: {kept}). p: how often dealt labels score at least as "
        "well as the true ones, which count as one dealing.",
        "",
        *table(heads, rows),
        "",
        *filter(None, (_unproven(asked), _inside(asked), _above(asked))),
        *dealt_lines(cells),
    ]


def asked_of(cells: Sequence[Cell]) -> list[Asked]:
    """The cells whose protocol was asked.

    Raises:
        ResultsError: if a file is malformed.
    """
    read = ((cell, read_chance(next(iter(cell.runs.values())))) for cell in cells)
    return [Asked(cell, level) for cell, level in read if level is not None]


def _row(one: Asked, metric: str) -> list[str]:
    level = one.chance.scores[metric]
    name = f"{one.cell.title}, {one.chance.front_end}, {words(metric)}"
    return [name, f"{level.value:.3f}", str(level.dealt), f"{level.p:.3f}"]


def _unproven(asked: Sequence[Asked]) -> str:
    """Where true labels are not shown to be learnt better than dealt ones."""
    where = [one.cell for one in asked if all(one.chance.scores[m].p > LEVEL for m in SHOWN)]
    if not where:
        return ""
    return (
        f"- On {listed(where)} the linear classifier is not shown to do better with the true "
        f"labels than with dealt ones (neither p is at most {LEVEL}). With few recordings of the "
        "rare labels and so simple a classifier, a weak effect would be missed."
    )


def _inside(asked: Sequence[Asked]) -> str:
    """Whose every score dealt labels reach."""
    said = _who(asked, lambda run, chance: not any(_beyond(run, chance, m) for m in SHOWN))
    if not said:
        return ""
    return (
        f"- Within what dealt labels give the linear classifier are the scores {said}. Those of a "
        "network with dealt labels may spread more."
    )


def _above(asked: Sequence[Asked]) -> str:
    """Whose every score dealt labels hardly reach."""
    said = _who(asked, lambda run, chance: all(_beyond(run, chance, m) for m in SHOWN))
    if not said:
        return ""
    return (
        f"- Above what dealt labels give the linear classifier are the scores {said}. A network "
        "may also be better than it at hearing a recording again, which this test cannot tell."
    )


def _beyond(run: MeasuredRun, chance: ChanceLevel, metric: str) -> bool:
    """Under the seed of the dealings, where the run has it."""
    seeds = [chance.seed] if chance.seed in run.seeds else run.seeds
    return score_of_seeds(run, metric, seeds) > chance.scores[metric].dealt.high


def _who(asked: Sequence[Asked], holds: Callable[[MeasuredRun, ChanceLevel], bool]) -> str:
    """ "on ESC-10, `recording` of all systems; on ..."; empty if it holds for none."""
    said = []
    for one in asked:
        own = one.cell.runs.items()
        names = [get_system(system).title for system, run in own if holds(run, one.chance)]
        if names:
            which = "all systems" if len(names) == len(own) else ", ".join(names)
            said.append(f"on {one.cell.title} of {which}")
    return "; ".join(said)
