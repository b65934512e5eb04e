"""How far to trust an answer, from what was measured. HTML."""

from __future__ import annotations

from html import escape

from analysis.no_cry import detector_trust
from cry_model.prediction import Prediction
from cry_model.records import UNMEASURED, Evaluation, GateRecord

UNLIKE = (
    "What follows was measured on recordings that the model knows how to answer, unlike this one."
)


def trust_html(prediction: Prediction, gate: GateRecord | None = None) -> str:
    """How far to trust the answer, from what was measured of the checkpoint and of the gate."""
    teacher = ""
    sentences: tuple[str, ...] = ()
    if prediction.evaluation is not None:
        measured, _, majority = prediction.evaluation.trust()  # the verdict is under the answer
        sentences = (measured, majority)
    elif prediction.agreement is not None:
        sentences = prediction.agreement.trust()[:1]
        teacher = _teacher_html(prediction.agreement.teacher_evaluation)
    if prediction.calibration is not None:
        sentences = (*prediction.calibration.trust(), *sentences)
    if not sentences:
        sentences = (UNMEASURED,)
    elif prediction.cautions:
        sentences = (UNLIKE, *sentences)
    detector = "" if gate is None else f"<p>{escape(detector_trust(gate))}</p>"
    return (
        '<div class="trust"><h3>How far to trust this</h3>'
        f"<p>{escape(' '.join(sentences))}</p>{teacher}"
        f"{detector}</div>"
    )


def _teacher_html(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    return (
        "<details><summary>How often its teacher is right</summary>"
        f"<p>{escape(' '.join(evaluation.trust()))}</p></details>"
    )
