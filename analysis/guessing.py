"""What no system is needed for: the score of guessing, or of always giving the same answer."""

from __future__ import annotations

from typing import NamedTuple

from cry_model.records import Evaluation, words

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")
"""The metrics that guessing has a value of; more is better."""


class Guess(NamedTuple):
    """A score, and who has it: "guessing" or 'always answering "hungry"'."""

    value: float
    who: str


def guess(evaluation: Evaluation, metric: str) -> Guess:
    """By accuracy and F1 the most frequent label is hard to beat; else any guess scores alike.

    Args:
        evaluation: of any run on the recordings.
        metric: one of :data:`SCORES`.
    """
    share = evaluation.majority_accuracy
    always = f"always answering “{words(evaluation.majority_label)}”"
    if metric == "accuracy":
        return Guess(share, always)
    if metric == "macro_f1":  # of that label 2 share / (1 + share), of all others 0
        return Guess(evaluation.chance * 2 * share / (1 + share), always)
    return Guess(evaluation.chance if metric == "balanced_accuracy" else 0.5, "guessing")
