"""The findings and the notes of the errors."""

from __future__ import annotations

from math import log

import pandas as pd

from analysis.panels.base import system_title
from cry_model.records import percent

MOST = 100  # rows of a table
SURE = 0.9
NONE_FITS = "No recording has this label and is of this baby or source"


def errors_title(table: pd.DataFrame, wrong: pd.DataFrame, system: str | None) -> str:
    """How many recordings are answered wrongly, and how surely.

    Args:
        table: of :func:`analysis.panels.errors.verdicts`.
        wrong: those of them that are listed, as ``errors`` there has them.
        system: whose errors; None for those of any.
    """
    count, of = len(wrong), table["recording"].nunique()
    if not of:
        return NONE_FITS
    if system is None:
        every = int((wrong["wrong_systems"] == wrong["systems"]).sum())
        if not count:
            return f"Every system is right on all {of} recordings"
        return f"At least one system is wrong on {count} of {of} recordings, every one on {every}"
    if not count:
        return f"{system_title(system)} is right on all {of} recordings"
    sure = int((wrong["confidence"] >= SURE).sum())
    how = f"{sure} of them at {percent(SURE)} confidence or more"
    if not sure:
        how = f"at {percent(wrong['confidence'].max())} confidence at most"
    return f"{system_title(system)} is wrong on {count} of {of} recordings, {how}"


def errors_note(wrong: pd.DataFrame, system: str | None, classes: int, seeds: int) -> str:
    """What a row is, how the loss is to be read, and how many rows are left out."""
    over = " and of its seeds" if seeds > 1 else ""
    which = "" if system else ", with the system that is most confident of a wrong answer"
    cut = f" The {MOST} most confident of {len(wrong)} are shown; the CSV has all."
    return (
        f"A row per recording{which}; probabilities are the mean of its pieces{over}. The log loss "
        "is minus the natural logarithm of the true label's probability; guessing loses "
        f"{log(classes):.2f}.{cut if len(wrong) > MOST else ''} Choose a row to hear it."
    )


def suspects_title(count: int, of: int) -> str:
    """How many recordings every system contradicts, and what that means."""
    if not count:
        return f"None of {of} recordings is contradicted by every system"
    are = "recording is" if count == 1 else "recordings are"
    return (
        f"{count} of {of} {are} contradicted by every system: worth a listen, and no proof of a "
        "wrong label"
    )


def suspects_note(systems: int, classes: int, guessing: bool, count: int) -> str:
    """What makes a suspect; ``guessing`` if no system is better than that."""
    no_better = (
        " No system here is better than guessing (the interval of its balanced accuracy includes "
        "chance), so this list says little about the labels."
    )
    cut = f" The {MOST} of the highest loss are shown; the CSV has all {count}."
    return (
        f"Wrong by all {systems} systems in every seed, at a mean log loss above that of guessing "
        f"({log(classes):.2f}). Systems that learnt from the same recordings err alike, most of "
        f"all on rare classes.{no_better if guessing else ''}{cut if count > MOST else ''}"
    )
