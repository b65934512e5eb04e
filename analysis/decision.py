"""The answer in a line: the reasons that cannot be ruled out, or why none can be named. HTML."""

from __future__ import annotations

from html import escape

from analysis.judgement import has_answer
from cry_model.calibration import one_of
from cry_model.prediction import Prediction
from cry_model.records import percent, words


def heading_html(prediction: Prediction) -> str:
    """The set of a calibrated model; of another, its most probable label.

    Of a recording that the model does not know, no claim.
    """
    if prediction.undecided is not None:
        return f"Can't tell: {escape(prediction.undecided)}"
    if prediction.prediction_set is not None:
        return f"Sounds like {one_of([_stressed(label) for label in prediction.prediction_set])}"
    if not has_answer(prediction):
        return "Outside of what this model knows; it has no answer"
    if not prediction.cautions:
        return f"Sounds most like {_stressed(prediction.label)}"
    return f"Outside of what this model knows; it would say {_stressed(prediction.label)}"


def promise_html(prediction: Prediction) -> str:
    """What the set in the heading is made to hold; nothing if there is none."""
    if prediction.calibration is None or prediction.undecided is not None:
        return ""
    return f'<p class="promise">{escape(prediction.calibration.promise)}</p>'


def quoted(prediction: Prediction) -> str:
    """The same as a clause about another model: "says: hungry or tired"."""
    label = words(prediction.label)
    share = percent(prediction.probabilities[prediction.label])
    if not has_answer(prediction):
        says = "has no answer"
    elif prediction.prediction_set is None:
        says = f"says: {label} ({share})"
    elif prediction.decides:
        named = one_of([words(name) for name in prediction.prediction_set])
        says = f"says: {named} (most probable: {label}, {share})"
    else:
        says = f"can't tell (most probable: {label}, {share})"
    return f"{says}{'; this recording is outside of what it knows' if prediction.cautions else ''}"


def _stressed(label: str) -> str:
    return f"<em>{escape(words(label))}</em>"
