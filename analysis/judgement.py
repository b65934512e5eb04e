"""What an answer is worth beside itself: whether it decides, and whether another contradicts."""

from __future__ import annotations

from collections.abc import Mapping

from cry_model.prediction import Prediction

STRONG = 0.2
"""Of probability. Both six-class models are unsure by calibration, so more would never be reached:
on 453 held-out cries pupil and teacher are further apart, with different labels, in 3 of 100."""
UNDECIDED = 0.01


def has_answer(prediction: Prediction) -> bool:
    """Whether any label is ahead: far outside of what it knows, a model calls all as probable."""
    values = prediction.probabilities.values()
    return max(values) - min(values) >= UNDECIDED


def total_variation(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Half the sum of the differences of two distributions over the same labels: 0 to 1.

    Raises:
        ValueError: if the labels are not the same; then nothing can be compared.
    """
    if first.keys() != second.keys():
        raise ValueError("These answers are about different labels and cannot be compared.")
    return sum(abs(first[label] - second[label]) for label in first) / 2


def disagree_strongly(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Whether two answers, label -> probability, should make a reader trust neither.

    They do if their most probable labels differ and more than a fifth of the probability would
    have to move from one label to another to make them alike (a total variation distance above
    0.2).
    """
    apart = max(first, key=first.__getitem__) != max(second, key=second.__getitem__)
    return total_variation(first, second) > STRONG and apart
