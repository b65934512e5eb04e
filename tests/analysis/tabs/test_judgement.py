"""When two answers contradict each other, and when one says nothing."""

from dataclasses import replace

import pytest

from analysis.tabs.answer import disagree_strongly, has_answer, total_variation
from cry_model.attention import AttentionMaps
from cry_model.prediction import Prediction


def answer(*values):
    return dict(zip("abc", values, strict=True))


@pytest.mark.parametrize(
    ("first", "second", "distance", "strongly"),
    [
        (answer(1, 0, 0), answer(0, 1, 0), 1.0, True),
        (answer(0.7, 0.2, 0.1), answer(0.1, 0.8, 0.1), 0.6, True),
        (answer(0.45, 0.35, 0.2), answer(0.35, 0.45, 0.2), 0.1, False),  # two, but not strongly
        (answer(1, 0, 0), answer(0.4, 0.3, 0.3), 0.6, False),  # strongly, but of one mind
        (answer(0.4, 0.3, 0.3), answer(0.4, 0.3, 0.3), 0.0, False),
    ],
)
def test_strong_disagreement_is_another_label_and_more_than_a_fifth_of_the_probability(
    first, second, distance, strongly
):
    assert total_variation(first, second) == pytest.approx(distance)
    assert disagree_strongly(first, second) == disagree_strongly(second, first) == strongly


def test_answers_with_other_labels_are_not_compared():
    with pytest.raises(ValueError, match="different labels"):
        disagree_strongly(answer(1, 0, 0), {"a": 0.5, "b": 0.5})


def test_equal_probabilities_are_no_answer():
    flat = Prediction(answer(1 / 3, 1 / 3, 1 / 3), (), "resnet18", 1.0, 0.02, AttentionMaps())
    assert not has_answer(flat)
    assert has_answer(replace(flat, probabilities=answer(0.36, 0.32, 0.32)))
