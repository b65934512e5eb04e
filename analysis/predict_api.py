"""``/predict``: the page for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from analysis.heard import hear
from analysis.models import Model, UnknownModelError, find
from analysis.uploads import needing
from cry_model.detector import CryGate


def offer_predict(models: Sequence[Model], source: gr.Audio, gate: CryGate | None) -> None:
    """``/predict``, for programs: one model's answer as data."""

    def predict(file: str | None, model: str, anyway: bool) -> dict[str, Any]:
        """Whether it is a cry, the cries, label, probabilities and measured trust.

        Args:
            file: the recording.
            model: name of the model; by default the first.
            anyway: whether to tell label and probabilities of what is no cry, too.
        """
        try:
            with needing(file):
                chosen = find(models, model)
                answer = hear((chosen,), file, gate).answers[chosen.name]
        except UnknownModelError as error:
            answer = str(error)
        if isinstance(answer, str):
            raise gr.Error(answer, print_exception=False)
        return answer.to_dict(anyway)

    name = gr.Textbox(models[0].name, label="model", visible=False)
    anyway = gr.Checkbox(False, label="anyway", visible=False)
    gr.Button(visible=False).click(
        predict, [source, name, anyway], gr.JSON(visible=False), api_name="predict"
    )
