"""The sentences of the findings, chosen by what was measured."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from analysis.stats.claims import Cell, Verdict, listed
from analysis.stats.comparison import score_of_seeds
from analysis.stats.paper import FULL, Claim, Paper
from analysis.stats.runs import PROTOCOLS
from cry_model.records import Estimate, dataset_title, tested, words
from cry_model.registry import get_system, list_models


def headline(cells: Sequence[Cell], metric: str) -> str:
    """How much of the story holds, as a count and in a word."""
    real = [cell for cell in cells if not cell.is_control]
    count = _verdicts(real, metric)
    judged = _judged(count)
    if not judged:
        return "Nothing can be said yet: no claim has all of its systems measured on one cell."
    confirmed, contradicted = count[Verdict.CONFIRMED], count[Verdict.CONTRADICTED]
    if confirmed == judged:
        word = "the paper's story holds"
    elif confirmed:
        word = "the paper's story holds in part"
    else:
        word = "nothing of the paper's story is confirmed"
    return (
        f"By {words(metric)} {word}: of {judged} judgements (a claim on one dataset under one "
        f"protocol) {confirmed} {'is' if confirmed == 1 else 'are'} confirmed, {contradicted} "
        f"contradicted and {count[Verdict.UNDECIDED]} undecided.{_below_majority(real, metric)}"
        f"{_of_controls(cells, metric)}"
    )


def _verdicts(cells: Sequence[Cell], metric: str) -> Counter[Verdict]:
    return Counter(f.verdict for cell in cells for f in cell.findings[metric])


def _judged(count: Counter[Verdict]) -> int:
    return sum(count.values()) - count[Verdict.ABSENT]


def _of_controls(cells: Sequence[Cell], metric: str) -> str:
    """The same of made-up sounds, which are counted apart."""
    controls = [cell for cell in cells if cell.is_control]
    count = _verdicts(controls, metric)
    if not _judged(count):
        return ""
    return (
        f" Not counted in this are {_judged(count)} on {listed(controls)}: "
        f"{count[Verdict.CONFIRMED]} confirmed, {count[Verdict.CONTRADICTED]} contradicted, "
        f"{count[Verdict.UNDECIDED]} undecided."
    )


def _below_majority(cells: Sequence[Cell], metric: str) -> str:
    """How many of the decided claims by accuracy are of systems that a constant answer beats."""
    if metric != "accuracy":
        return ""
    below = Counter(
        finding.verdict
        for cell in cells
        for finding in cell.findings[metric]
        if finding.verdict in (Verdict.CONFIRMED, Verdict.CONTRADICTED)
        and all(
            run.evaluation.metrics[metric].value < run.evaluation.majority_accuracy
            for run in map(cell.runs.__getitem__, finding.claim.systems)
        )
    )
    if not below:
        return ""
    counts = _verdicts(cells, metric)
    which = " and ".join(
        f"{'all' if number == counts[verdict] else number} of the {verdict.value} ones"
        for verdict, number in below.items()
    )
    return (
        f" But in {which} always giving the most frequent label would be "
        "right more often than the systems that are compared, so these show little but which of "
        "them gives that label more often."
    )


def ahead_lines(cells: Sequence[Cell], metric: str) -> list[str]:
    """Which system scores highest on each cell, over the seeds that all have there."""
    lines = []
    for cell in cells:
        if len(cell.runs) < 2 or not cell.seeds:
            continue
        scores = {
            system: score_of_seeds(run, metric, cell.seeds) for system, run in cell.runs.items()
        }
        best = max(scores, key=scores.__getitem__)
        chance = (
            ""
            if cell.runs[best].evaluation.better_than_chance
            else ", which is no better than guessing"
        )
        seeds = ", ".join(map(str, cell.seeds))
        lines.append(
            f"- Highest on {cell.title} (seed {seeds}, which all have): "
            f"{get_system(best).title}, {scores[best]:.3f}{chance}."
        )
    return lines


def claim_line(cells: Sequence[Cell], metric: str, number: int, paper: Paper) -> str:
    """One claim with the paper's numbers, and where it stands how."""
    claim = cells[0].findings[metric][number].claim
    parts = []
    for verdict in Verdict:
        where = [c for c in cells if c.findings[metric][number].verdict is verdict]
        if where:
            parts.append(f"{verdict.value} on {listed(where)}")
    return f"- {claim.sentence} ({_printed(claim, paper)}, {claim.where}): {'; '.join(parts)}."


def absent_lines(cells: Sequence[Cell], metric: str) -> list[str]:
    """What was not run where, and what was run and cannot be compared."""
    where: defaultdict[tuple[str, ...], list[Cell]] = defaultdict(list)
    lines = []
    for cell in cells:
        missing = {name for finding in cell.findings[metric] for name in finding.missing}
        if missing:
            where[tuple(name for name in list_models() if name in missing)].append(cell)
        lines += [f"- {f.claim.name}: {f.reason}" for f in cell.findings[metric] if f.reason]
    for names, absent in where.items():
        titles = ", ".join(get_system(name).title for name in names)
        lines.append(f"- Not run on {listed(absent)}: {titles}.")
    return lines


def leakage_lines(cells: Sequence[Cell]) -> list[str]:
    """What the improved system scores from the laxest split to the strictest."""
    lines = []
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        runs = {c.protocol: c.runs[FULL] for c in cells if c.dataset == dataset and FULL in c.runs}
        protocols = [protocol for protocol in PROTOCOLS if protocol in runs]
        if len(protocols) < 2:
            continue
        first, last = protocols[0], protocols[-1]
        lax, strict = (
            runs[protocol].evaluation.metrics["balanced_accuracy"] for protocol in (first, last)
        )
        lines.append(
            f"- {dataset_title(dataset)}: the balanced accuracy of the {get_system(FULL).title} "
            f"{_moves(lax, strict)}, {lax} under `{first}` "
            f"({tested(dataset, first)}) and {strict} under `{last}` "
            f"({tested(dataset, last)}); guessing gives {runs[last].evaluation.chance:.3f}."
        )
    return lines


def _moves(lax: Estimate, strict: Estimate) -> str:
    if strict.high < lax.low:
        return "falls"
    if strict.low > lax.high:
        return "rises"
    return "changes by no more than its intervals"


def _printed(claim: Claim, paper: Paper) -> str:
    better = " and ".join(f"{100 * paper.accuracy[name]:.2f} %" for name in claim.better)
    return f"accuracy {better} against {100 * paper.accuracy[claim.worse]:.2f} %"
