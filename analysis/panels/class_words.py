"""What the scores of the classes say, in a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.stats.per_class import ClassScores
from cry_model.records import words

NAMED = 3  # more classes than these are counted


def recall_finding(system: str, scores: Sequence[ClassScores], chance: float) -> str:
    """Which class is found best and worst, and for how many that is more than guessing.

    Args:
        system: its title.
        scores: of each class.
        chance: the recall of guessing.
    """
    recall = {own.label: own.measures["recall"] for own in scores if own.support}
    values = {label: e.value for label, e in recall.items()}
    high, low = max(values.values()), min(values.values())
    best, worst = ([label for label in values if values[label] == end] for end in (high, low))
    if high == low:
        found = f"{system} finds every class equally often (recall {high:.2f})"
    else:
        found = (
            f"{system} finds {names(best)} best (recall {high:.2f}) and {names(worst)} worst "
            f"({low:.2f})"
        )
    above, every = sum(e.low > chance for e in recall.values()), len(recall)
    if above == every:
        whose = f"the intervals of all {every} classes lie"
    elif above > 1:
        whose = f"the intervals of {above} of {every} classes lie"
    elif above == 1:
        whose = f"the interval of 1 of {every} classes lies"
    else:
        whose = "no class's interval lies"
    return f"{found}; {whose} above answering at random ({chance:.2f})"


def auc_finding(scores: Sequence[ClassScores]) -> str:
    """Whether any area under a ROC curve has an interval without 0.5."""
    auc = {own.label: own.measures["auc"] for own in scores}
    auc = {label: e for label, e in auc.items() if not np.isnan(e.low)}
    if not auc:
        return "No ROC curve can be drawn, for all recordings have one label"
    above = [label for label, e in auc.items() if e.low > 0.5]
    below = [label for label, e in auc.items() if e.high < 0.5]
    if len(above) == len(auc):
        ends = sorted(auc, key=lambda label: auc[label].value)
        low, high = (f"{auc[label].value:.2f} ({words(label)})" for label in (ends[0], ends[-1]))
        return f"The AUC intervals of all {len(auc)} classes lie above 0.5, from {low} to {high}"
    if not above and not below:
        return (
            "The AUC interval of every class includes 0.5: no class is ranked better than by chance"
        )
    parts = [
        f"{_whose(labels, len(auc))} {side} 0.5"
        for labels, side in ((above, "above"), (below, "below"))
        if labels
    ]
    rest = len(auc) - len(above) - len(below)
    if rest:
        parts.append("the other one includes it" if rest == 1 else f"the other {rest} include it")
    return "; ".join(parts).replace("the AUC", "The AUC", 1)


def precision_finding(scores: Sequence[ClassScores]) -> str:
    """For which class the average precision is most and least above its share."""
    known = [own for own in scores if own.support]
    ranked = sorted(known, key=lambda own: own.measures["average_precision"].value - own.share)
    least, most = (
        f"{words(own.label)} ({own.measures['average_precision'].value:.2f} against "
        f"{own.share:.2f})"
        for own in (ranked[0], ranked[-1])
    )
    return f"Average precision gains most over the share of the class for {most}, least for {least}"


def _whose(labels: Sequence[str], all_of_them: int) -> str:
    if len(labels) == 1:
        return f"the AUC interval of {names(labels)} lies"
    whose = f"{len(labels)} of {all_of_them} classes" if len(labels) > NAMED else names(labels)
    return f"the AUC intervals of {whose} lie"


def names(labels: Sequence[str]) -> str:
    """Labels as one lists them: "belly pain, burping and tired"."""
    *others, last = map(words, labels)
    return f"{', '.join(others)} and {last}" if others else last
