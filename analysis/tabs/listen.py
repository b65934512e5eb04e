"""Lay out the Listen tab: a sound in, a few words out, figures and models below folds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.models import EXAMPLE_NAMES, EXAMPLES, Model, UnknownModelError, find
from analysis.session import Session, classify_all
from analysis.tabs.answer import NO_LONGER_KEPT, answer_html, error_html, research_html, spark
from analysis.tabs.cards import (
    DESCRIBE_FIGURES,
    EXPLAINED,
    SOUND,
    card_values,
    explained_cards,
    lay_out_cards,
    sound_cards,
)
from analysis.tabs.explain import button_html, make_listen_explain
from analysis.tabs.segments import play_html
from analysis.uploads import HOUR, needing
from analysis.words import ENGLISH, LANGUAGES, Words, spoken
from cry_model.audio import SUFFIXES
from cry_model.detector import CryDetector
from cry_model.prediction import Prediction

HERE = Path(__file__).parent
SCRIPTS = (
    HERE.parent / "microphone.js",
    HERE.parent / "upload.js",
    HERE / "listen.js",
    HERE / "explain.js",
)
AUTOMATIC = ("Chosen for each recording", "")
ANSWERED = '() => document.dispatchEvent(new Event("answered"))'
SOUND_OF_PAGE = '(_, ...others) => [document.getElementById("listen").sound ?? null, ...others]'
I18N = gr.I18n(**{code: dict(words.texts) for code, words in LANGUAGES.items()})
BAR = gr.Progress()  # as a default value: Gradio then hands in the visitor's own
EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def _word(key: str, tag: str = "span", attributes: str = "") -> str:
    """Write an element whose text the script puts into the visitor's language."""
    return f'<{tag} {attributes} data-word="{key}">{escape(ENGLISH(key))}</{tag}>'


def _button(key: str, attributes: str) -> str:
    return _word(key, "button", f'type="button" {attributes}')


def skeleton() -> str:
    """Write what stands there before anything is heard; the script puts in the language."""
    accepted = ",".join(("audio/*", "video/*", *SUFFIXES))
    texts = escape(json.dumps({code: words.texts for code, words in LANGUAGES.items()}))
    examples = "".join(
        _button(key, f'data-example="{name}"') for name, key in EXAMPLE_NAMES.items()
    )
    return f"""<section class="listen" data-listen="root" data-state="ready" data-words="{texts}">
<div class="before">{_word("question", "h2")}{_word("modest", "p")}</div>
<button type="button" class="record" data-listen="record"><span class="ring"></span>
<span data-listen="label">{escape(ENGLISH("record"))}</span><b data-listen="clock"></b></button>
<p role="status" aria-live="polite" data-listen="status"></p>
<p class="before">{_word("near")} {_word("ten")}</p>
<audio controls hidden data-listen="player"></audio>
<button type="button" class="choose" data-listen="choose">{_word("choose")}</button>
<input type="file" hidden accept="{accepted}" data-listen="file">
<p class="examples before">{_word("try")} {examples}</p>
<p class="before small">{_word("privacy")}
{_button("privacy.how", 'class="link" data-tab="about"')}</p>
</section>"""


def listen_example(name: str) -> str:
    """Return an example's file in base64; empty if there is none of this name."""
    known = name in EXAMPLE_NAMES
    return base64.b64encode((EXAMPLES / name).read_bytes()).decode() if known else ""


def answer_example(models: Sequence[Model], detector: CryDetector | None) -> None:
    """Answer the first example for nobody, so that libraries load and compile."""
    classify_all(models, str(EXAMPLES / next(iter(EXAMPLE_NAMES))), detector)


def tonight() -> str:
    """Write the place of tonight's answers, which the browser keeps if it is asked to."""
    return f"""<section class="tonight" data-listen-tonight data-state="none">
{_button("tonight.keep", 'data-tonight="keep"')}
<div>{_word("tonight", "h3")}<ul></ul>
<p>{_word("tonight.kept")}
{_button("tonight.clear", 'data-tonight="clear"')}</p></div></section>"""


def told(
    models: Sequence[Model],
    session: Session | None,
    name: str,
    detector: CryDetector | None,
    say: Words = ENGLISH,
) -> str:
    """Return the answer's HTML: that of the named model, or of the one that fits the recording."""
    if session is None:
        return error_html(NO_LONGER_KEPT)
    _, answer = session.chosen(models, name)
    if session.display is None or isinstance(answer, str):
        return error_html(str(answer))
    record = None if detector is None else detector.config.detector
    return answer_html(answer, record, say, spark(session.display))


def language(request: gr.Request) -> Words:
    """Return the visitor's language."""
    return spoken(request.headers.get("accept-language"))


@dataclass(frozen=True)
class Handlers:
    """Answer the events of the tab; all models answer, so that the file is not needed again."""

    models: Sequence[Model]
    detector: CryDetector | None

    def on_sound(self, file: str | None, request: gr.Request, bar: gr.Progress = BAR) -> list[Any]:
        """Answer a recording; the folds are closed."""
        with needing(file):
            session = classify_all(self.models, file, self.detector, bar)
        html = told(self.models, session, "", self.detector, language(request))
        folds = [gr.Accordion(open=False, visible=session.display is not None) for _ in range(2)]
        return [html, "", *folds, session]

    def on_fold(self, session: Session | None, name: str, request: gr.Request) -> list[Any]:
        """Draw the sound, and where the model listened."""
        found = self._answer(session, name)
        if session is None or found is None:
            return ["", *card_values(SOUND, {})]
        model, prediction = found
        high_hz = model.classifier.config.front_end.high_hz
        cards = sound_cards(session.display, prediction, high_hz)
        say = language(request)
        html = play_html(prediction, say) + button_html(model, prediction, say)
        return [html, *card_values(SOUND, cards)]

    def on_research(self, session: Session | None, name: str) -> list[Any]:
        """Tell what other models say, and draw what this one made of the sound."""
        found = self._answer(session, name)
        if session is None or found is None:
            return [error_html(NO_LONGER_KEPT), *card_values(EXPLAINED, {})]
        model, prediction = found
        html = research_html(prediction, session.others(model, self.models))
        return [html, *card_values(EXPLAINED, explained_cards(prediction))]

    def on_model(self, session: Session | None, name: str, request: gr.Request) -> list[Any]:
        """Answer by another model."""
        html = told(self.models, session, name, self.detector, language(request))
        return [html, gr.Accordion(open=False), *self.on_research(session, name)]

    def _answer(self, session: Session | None, name: str) -> tuple[Model, Prediction] | None:
        """Return the model that answers and its answer; None if there is none, or no more."""
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

    Args:
        models: who answers.
        detector: hears everything first.
        live_functions: the Live tab's, which tell of crying while the microphone records.
    """
    folded: dict[str, Any] = {"open": False, "visible": False, "elem_classes": "fold"}
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            source = gr.HTML(
                skeleton(),
                js_on_load="".join(p.read_text(encoding="utf-8") for p in SCRIPTS),
                server_functions=[listen_example, make_listen_explain(models), *live_functions],
                elem_id="listen",
            )
        with gr.Column(scale=3, min_width=300):
            answer = gr.HTML("", elem_id="answer")
            ready = 'document.dispatchEvent(new Event("tonight"))'
            gr.HTML(tonight(), js_on_load=ready, elem_id="tonight")
            with gr.Accordion(I18N("fold.sound"), **folded) as sound:
                drawn = [gr.HTML(""), *lay_out_cards(SOUND)]
            with gr.Accordion(I18N("fold.research"), **folded) as research:
                choices = [AUTOMATIC, *((model.label, model.name) for model in models)]
                name = gr.Radio(choices, value="", label="Model", elem_id="model")
                explained = [gr.HTML("", elem_id="others"), *lay_out_cards(EXPLAINED)]
    file = gr.Audio(type="filepath", visible=False)  # the path is checked by Gradio
    kept = gr.State(time_to_live=HOUR)
    on = Handlers(models, detector)
    source.upload(
        on.on_sound,
        [file],
        [answer, name, sound, research, kept],
        js=SOUND_OF_PAGE,
        show_progress_on=[answer],
        trigger_mode="always_last",
        api_visibility="private",
    ).then(None, js=ANSWERED, api_visibility="private")
    changed = answer, sound, *explained
    for event in (
        sound.expand(on.on_fold, [kept, name], drawn, **EVENT),
        research.expand(on.on_research, [kept, name], explained, **EVENT),
        name.input(on.on_model, [kept, name], [*changed], trigger_mode="always_last", **EVENT),
    ):
        event.then(None, js=DESCRIBE_FIGURES, api_visibility="private")


def offer_predict(models: Sequence[Model], detector: CryDetector | None) -> None:
    """Offer ``/predict`` to programs: one model's answer as data."""

    def predict(file: str | None, model: str, full: bool) -> dict[str, Any]:
        """Whether it is a cry, the cries, the labels that cannot be ruled out, probabilities.

        Args:
            file: the recording.
            model: name of the model; by default the first that knows such recordings.
            full: whether to tell all that is known, whatever the answer.
        """
        try:
            with needing(file):
                asked = (find(models, model),) if model else models
                chosen, answer = classify_all(asked, file, detector).chosen(asked)
        except UnknownModelError as error:
            answer = str(error)
        if isinstance(answer, str):
            raise gr.Error(answer, print_exception=False)
        return {"model": chosen.name, **answer.to_dict(full)}

    file = gr.Audio(type="filepath", label="file", visible=False)
    name = gr.Textbox("", label="model", visible=False)
    full = gr.Checkbox(False, label="full", visible=False)
    gr.Button(visible=False).click(
        predict, [file, name, full], gr.JSON(visible=False), api_name="predict"
    )
