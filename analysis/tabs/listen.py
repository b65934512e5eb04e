"""Lay out the Listen tab: audio in, a short answer out, figures and models in folds below."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from analysis.models import EXAMPLE_NAMES, EXAMPLES, Model, UnknownModelError, find
from analysis.session import Session, classify_all
from analysis.tabs import EVENT, SHARED, macros, scripts
from analysis.tabs.answer import ANSWER, answer_html, error_html, in_short, research_html, spark
from analysis.tabs.cards import cards_html, explained_cards, sound_cards
from analysis.tabs.diary import entry, personal_answer
from analysis.tabs.explain import button_html, make_listen_explain
from analysis.uploads import HOUR, needing
from analysis.words import ENGLISH, LANGUAGES, Words, language
from cry_model.detector import CryDetector
from cry_model.prediction import Prediction
from cry_model.sound.audio import SUFFIXES

LISTEN = macros("tabs/listen.html.j2")
SCRIPTS = (*SHARED, "microphone.js", "upload.js", "tabs/listen.js", "tabs/explain.js")
FIGURES = """
watch("value", () => drawFigures(element));
element.addEventListener("click", ({ target }) => {
  const button = target.closest("button.download");
  if (button) saveFigure(button.dataset);
});"""
AUTOMATIC = ("Chosen for each recording", "")
ANSWERED = '() => document.dispatchEvent(new Event("answered"))'
UNANSWERED = '() => document.dispatchEvent(new Event("unanswered"))'
SOUND_OF_PAGE = '(_, ...others) => [document.getElementById("listen").sound ?? null, ...others]'
NOT_BOOLEAN = "full must be true or false, without quotes."
I18N = gr.I18n(**{code: dict(words.texts) for code, words in LANGUAGES.items()})
BAR = gr.Progress()  # as a default value: Gradio then passes the visitor's own


def skeleton() -> str:
    """Write the initial content; the script translates it."""
    texts = json.dumps({code: words.texts for code, words in LANGUAGES.items()})
    accepted = ",".join(("audio/*", "video/*", *SUFFIXES))
    return LISTEN.skeleton(texts, EXAMPLE_NAMES, accepted, ENGLISH)


def listen_example(name: str) -> str:
    """Return an example's file in base64; empty if the name is unknown."""
    known = name in EXAMPLE_NAMES
    return base64.b64encode((EXAMPLES / name).read_bytes()).decode() if known else ""


@dataclass(frozen=True)
class Handlers:
    """Handle the events of the tab; all models answer at once, so that the file can be deleted."""

    models: Sequence[Model]
    detector: CryDetector | None

    def told(self, session: Session | None, name: str = "", say: Words = ENGLISH) -> str:
        """Return the answer's HTML, from the named model or the one that suits the recording."""
        if session is None:
            return error_html(say("gone"))
        _, answer = session.chosen(self.models, name)
        if session.display is None or not isinstance(answer, Prediction):
            return error_html(say.problem(answer))
        record = None if self.detector is None else self.detector.config.detector
        kept = ""
        if answer.answer.kind != "not_a_cry":
            kept = entry(in_short(answer, say), spark(session.display), session.answers)
        return answer_html(answer, record, say, kept)

    def on_sound(self, file: str | None, request: gr.Request, bar: gr.Progress = BAR) -> list[Any]:
        """Classify a recording, and close the folds."""
        with needing(file):
            session = classify_all(self.models, file, self.detector, bar)
        html = self.told(session, "", language(request))
        folds = [gr.Accordion(open=False, visible=session.display is not None) for _ in range(2)]
        return [html, "", *folds, session]

    def on_fold(self, session: Session | None, name: str, request: gr.Request) -> str:
        """Draw the sound, and the attention of the model."""
        found = self._answer(session, name)
        if session is None or found is None:
            return ""
        model, prediction = found
        cards = sound_cards(session.display, prediction, model.classifier.config.front_end)
        say = language(request)
        html = ANSWER.play(prediction.segments, say) + button_html(model, prediction, say)
        return html + cards_html(cards)

    def on_research(self, session: Session | None, name: str, request: gr.Request) -> str:
        """Show the answers of other models, and draw what this one is based on."""
        found = self._answer(session, name)
        if session is None or found is None:
            return error_html(language(request)("gone"))
        model, prediction = found
        html = research_html(prediction, session.others(model, self.models))
        return html + cards_html(explained_cards(prediction))

    def on_model(self, session: Session | None, name: str, request: gr.Request) -> list[Any]:
        """Show the answer of another model."""
        html = self.told(session, name, language(request))
        return [html, gr.Accordion(open=False), self.on_research(session, name, request)]

    def _answer(self, session: Session | None, name: str) -> tuple[Model, Prediction] | None:
        """Return the answering model and its answer; None if there is none any more."""
        if session is None or session.display is None:
            return None
        model, answer = session.chosen(self.models, name)
        return (model, answer) if isinstance(answer, Prediction) else None


def build_listen_tab(
    models: Sequence[Model],
    detector: CryDetector | None,
    live_functions: Sequence[Callable[..., Any]] = (),
) -> None:
    """Lay out the tab and its events inside the current page.

    ``live_functions`` are those of the Live tab, which report crying during recording.
    """
    script = scripts("panels/figure.js") + FIGURES
    folded: dict[str, Any] = {"open": False, "visible": False, "elem_classes": "fold"}
    with gr.Row(equal_height=False, elem_id="sound-and-answer"):
        with gr.Column(scale=2, min_width=300):
            source = gr.HTML(
                skeleton(),
                js_on_load=scripts(*SCRIPTS),
                server_functions=[
                    listen_example,
                    personal_answer,
                    make_listen_explain(models),
                    *live_functions,
                ],
                elem_id="listen",
            )
        with gr.Column(scale=3, min_width=300):
            answer = gr.HTML("", elem_id="answer")
            ready = 'document.dispatchEvent(new Event("tonight"))'
            gr.HTML(LISTEN.tonight(), js_on_load=ready, elem_id="tonight")
            with gr.Accordion(I18N("fold.sound"), **folded) as sound:
                drawn = gr.HTML("", js_on_load=script, elem_id="sound-cards")
            with gr.Accordion(I18N("fold.research"), **folded) as research:
                choices = [AUTOMATIC, *((model.label, model.name) for model in models)]
                name = gr.Radio(choices, value="", label="Model", elem_id="model")
                explained = gr.HTML("", js_on_load=script, elem_id="explained-cards")
    file = gr.Audio(type="filepath", visible=False)  # Gradio checks the path
    kept = gr.State(time_to_live=HOUR)
    on = Handlers(models, detector)
    heard = source.upload(
        on.on_sound,
        [file],
        [answer, name, sound, research, kept],
        js=SOUND_OF_PAGE,
        show_progress_on=[answer],
        trigger_mode="always_last",
        api_visibility="private",
    )
    heard.success(None, js=ANSWERED, api_visibility="private")
    heard.failure(None, js=UNANSWERED, api_visibility="private")  # the queue is full
    changed = [answer, sound, explained]
    sound.expand(on.on_fold, [kept, name], drawn, **EVENT)
    research.expand(on.on_research, [kept, name], explained, **EVENT)
    name.input(on.on_model, [kept, name], changed, trigger_mode="always_last", **EVENT)


def offer_predict(models: Sequence[Model], detector: CryDetector | None) -> None:
    """Offer ``/predict`` to programs: one model's answer as data."""

    def predict(file: str | None, model: str, full: bool) -> dict[str, Any]:
        """Return whether it is a cry, the cries, labels that cannot be ruled out, probabilities.

        Args:
            file: the recording.
            model: name of the model; by default the first that knows such recordings.
            full: whether to return all that is known, whatever the answer.
        """
        try:
            with needing(file):
                if not isinstance(full, bool):
                    raise gr.Error(NOT_BOOLEAN, print_exception=False)
                asked = (find(models, model),) if model else models
                chosen, answer = classify_all(asked, file, detector).chosen(asked)
        except UnknownModelError as error:
            answer = error
        if isinstance(answer, Exception):
            raise gr.Error(str(answer), print_exception=False)
        return {"model": chosen.name, **answer.to_dict(full)}

    file = gr.Audio(type="filepath", label="file", visible=False)
    name = gr.Textbox("", label="model", visible=False)
    full = gr.Checkbox(False, label="full", visible=False)
    gr.Button(visible=False).click(
        predict, [file, name, full], gr.JSON(visible=False), api_name="predict"
    )
