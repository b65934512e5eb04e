"""What the verdicts of the findings do not say: sentences, chosen by what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from analysis.findings_tables import settings_text
from analysis.stats.claims import MADE_UP, MAIN, Cell, listed
from analysis.stats.comparison import fold_scores
from analysis.stats.paper import FULL
from cry_model.records import dataset_order, dataset_title, words
from cry_model.registry import get_system

PUT_ASIDE = {"esc10": 0}
"""Corpus on whose other folds choices were made -> the fold that was put aside for it."""
CORPUS = "challenge6"
"""The corpus of the paper, whose recordings are not public in full."""


def corpus_line(cells: Sequence[Cell]) -> str:
    """Whose recordings these are."""
    datasets = {cell.dataset for cell in cells}
    own = sorted((d for d in datasets if d.startswith(CORPUS)), key=dataset_order)
    if own:
        title = dataset_title(own[0])
        said = f"{title[0].upper()}{title[1:]} are among them; all others are other recordings."
    else:
        said = (
            "The paper's own recordings are not among them, for their sound is not public: what is "
            "confirmed or contradicted is the claim on other recordings, not the printed numbers."
        )
    if "esc10" in datasets:
        said += " The classes of ESC-10 are kinds of sound; a baby's cry is one of the ten."
    return said


def guessing_line(cells: Sequence[Cell]) -> str:
    """Where nothing that was measured is better than guessing."""
    poor = [
        cell
        for cell in cells
        if not any(run.evaluation.better_than_chance for run in cell.runs.values())
    ]
    if not poor:
        return "On every cell at least one system is better than guessing."
    return (
        f"On {listed(poor)} no system is better than guessing (by balanced accuracy), so which of "
        "them is ahead there says little about cries."
    )


def control_line(cells: Sequence[Cell]) -> str:
    """What the same recipes learn where each label is a sound; empty where nobody asked."""
    controls = [cell for cell in cells if cell.is_control]
    if not controls:
        return ""
    scored = "; ".join(
        f"under `{cell.protocol}` "
        + ", ".join(
            f"{get_system(system).title} {run.evaluation.metrics[MAIN]}"
            for system, run in cell.runs.items()
        )
        for cell in controls
    )
    title = dataset_title(MADE_UP)
    return (
        f"{title.capitalize()} are no recordings of children: formulas make them, other ones for "
        f"each label, so there the labels do go with the sound. They are a control: {scored} (by "
        f"{words(MAIN)}; guessing gives {controls[0].evaluation.chance:.3f}). That such fits learn "
        "from them says that they can learn, and nothing of real cries."
    )


def variant_line(cells: Sequence[Cell]) -> str:
    """Where the improved system is not built as the paper has it; empty if it is everywhere."""
    where: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        if FULL in cell.runs and cell.runs[FULL].settings:
            where[settings_text(cell.runs[FULL])].append(cell)
    return " ".join(
        f"On {listed(built)} the improved ECAPA-TDNN is a variant of the paper's ({settings})."
        for settings, built in where.items()
    )


def precision_line(cells: Sequence[Cell]) -> str:
    """Where systems of one cell were fitted in different precisions; empty if nowhere."""
    mixed = [c for c in cells if len({run.fitted_with("precision") for run in c.runs.values()}) > 1]
    if not mixed:
        return ""
    return (
        f"On {listed(mixed)} not all systems were fitted in the same precision (see the last "
        "table); whatever that changes is in their differences."
    )


def own_seeds_line(cell: Cell) -> str:
    """Where the rows of the table are of different seeds; empty where they are of the same."""
    if len({run.seeds for run in cell.runs.values()}) < 2:
        return ""
    return (
        "Each row is over all seeds of its system, so only rows of the same seeds can be compared."
    )


def put_aside_line(cell: Cell) -> str:
    """What each system scores on the fold that nothing was chosen by; empty where there is none."""
    fold = PUT_ASIDE.get(cell.dataset)
    if fold is None:
        return ""
    scored = {
        run.system: [s.value for s in fold_scores(run, "accuracy") if s.fold == fold]
        for run in cell.runs.values()
    }
    said = ", ".join(
        f"{get_system(system).title} {fmean(values):.3f}" for system, values in scored.items()
    )
    return (
        f"On fold {fold + 1} alone, the only one that no preset or setting was chosen by (trials "
        f"on all folds had scored it: docs/experiments.md), accuracy is: {said}."
    )


def seeds_line(cells: Sequence[Cell]) -> str:
    """What the intervals know nothing of."""
    fewest = min(len(run.seeds) for cell in cells for run in cell.runs.values())
    seeds = "one seed" if fewest == 1 else f"{fewest} seeds"
    return (
        "Interval and test take the groups as drawn at random and the fits as they are: how another"
        f" seed would change a difference is not in them (the least here is {seeds} a system). Of "
        "two systems the seeds that both have are compared."
    )
