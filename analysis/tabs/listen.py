"""Lay out the Listen tab: a sound in, a few words out, figures and models below folds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.models import EXAMPLE_NAMES, EXAMPLES, Model, UnknownModelError, find
from analysis.session import Report, Session, classify_all, no_progress
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
from analysis.tabs.segments import play_html
from analysis.uploads import HOUR, needing
from analysis.words import ENGLISH, LANGUAGES, Words, spoken
from cry_model.audio import SUFFIXES
from cry_model.detector import CryDetector
from cry_model.prediction import Prediction

SCRIPTS = Path(__file__).parents[1] / "microphone.js", Path(__file__).with_name("listen.js")
Hear = Callable[[dict[str, Any]], dict[str, Any]]
AUTOMATIC = ("Chosen for each recording", "")
ANSWERED = '() => document.dispatchEvent(new Event("answered"))'
SOUND_OF_PAGE = '(_, ...others) => [document.getElementById("listen").sound ?? null, ...others]'
I18N = gr.I18n(**{code: dict(words.texts) for code, words in LANGUAGES.items()})
BAR = gr.Progress()  # as a default value: Gradio then hands in the visitor's own
EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def skeleton() -> str:
    """Write what stands there before anything is heard; the script puts in the language."""
    say, accepted = ENGLISH, ",".join(("audio/*", "video/*", *SUFFIXES))
    texts = escape(json.dumps({code: words.texts for code, words in LANGUAGES.items()}))

    def word(key: str, tag: str = "span") -> str:
        return f'<{tag} data-word="{key}">{escape(say(key))}</{tag}>'

    examples = "".join(
        f'<button type="button" data-example="{name}" data-word="{key}">{escape(say(key))}</button>'
        for name, key in EXAMPLE_NAMES.items()
    )
    return f"""<section class="listen" data-listen="root" data-state="ready" data-words="{texts}">
<div class="before">{word("question", "h2")}{word("modest", "p")}</div>
<button type="button" class="record" data-listen="record"><span class="ring"></span>
<span data-listen="label">{escape(say("record"))}</span><b data-listen="clock"></b></button>
<p role="status" aria-live="polite" data-listen="status"></p>
<p class="before">{word("near")} {word("ten")}</p>
<audio controls hidden data-listen="player"></audio>
<button type="button" class="choose" data-listen="choose">{word("choose")}</button>
<input type="file" hidden accept="{accepted}" data-listen="file">
<p class="examples before">{word("try")} {examples}</p>
<p class="before small">{word("privacy")} <button type="button" class="link" data-tab="about"
data-word="privacy.how">{escape(say("privacy.how"))}</button></p>
</section>"""


def listen_example(name: str) -> str:
    """Return an example's file in base64; empty if there is none of this name."""
    return (
        base64.b64encode((EXAMPLES / name).read_bytes()).decode() if name in EXAMPLE_NAMES else ""
    )


def tonight() -> str:
    """Write the place of tonight's answers, which the browser keeps if it is asked to."""
    say = ENGLISH

    def button(key: str, does: str) -> str:
        text = escape(say(key))
        return f'<button type="button" data-tonight="{does}" data-word="{key}">{text}</button>'

    return f"""<section class="tonight" data-listen-tonight data-state="none">
{button("tonight.keep", "keep")}
<div><h3 data-word="tonight">{escape(say("tonight"))}</h3><ul></ul>
<p><span data-word="tonight.kept">{escape(say("tonight.kept"))}</span>
{button("tonight.clear", "clear")}</p></div></section>"""


def listen(
    models: Sequence[Model],
    file: str | None,
    detector: CryDetector | None = None,
    report: Report = no_progress,
) -> Session | None:
    """Return what is kept of a recording: the answers of all models; None without a file."""
    return None if file is None else classify_all(models, file, detector, report)


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


def build_listen_tab(
    models: Sequence[Model], detector: CryDetector | None, hear: Sequence[Hear] = ()
) -> None:
    """Lay out the tab and its events inside the current page.

    Args:
        models: all of them answer, so that the file is not needed again.
        detector: hears everything first.
        hear: the Live tab's functions, which tell of crying while the microphone records.
    """
    folded: dict[str, Any] = {"open": False, "visible": False, "elem_classes": "fold"}
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            source = gr.HTML(
                skeleton(),
                js_on_load="".join(p.read_text(encoding="utf-8") for p in SCRIPTS),
                server_functions=[listen_example, *hear],
                elem_id="listen",
            )
        with gr.Column(scale=3, min_width=300):
            answer = gr.HTML("", elem_id="answer")
            gr.HTML(
                tonight(),
                js_on_load='document.dispatchEvent(new Event("tonight"))',
                elem_id="tonight",
            )
            with gr.Accordion(I18N("fold.sound"), **folded) as sound:
                play = gr.HTML("")
                drawn = lay_out_cards(SOUND)
            with gr.Accordion(I18N("fold.research"), **folded) as research:
                name = gr.Radio(
                    [AUTOMATIC, *((model.label, model.name) for model in models)],
                    value="",
                    label="Model",
                    elem_id="model",
                )
                others = gr.HTML("", elem_id="others")
                explained = lay_out_cards(EXPLAINED)
    file = gr.Audio(type="filepath", visible=False)  # the path is checked by Gradio
    kept = gr.State(time_to_live=HOUR)
    folds = [sound, research]

    def on_sound(file: str | None, request: gr.Request, bar: gr.Progress = BAR) -> tuple[Any, ...]:
        """Answer a recording; its folds are closed."""
        with needing(file):
            session = listen(models, file, detector, bar)
        html = told(models, session, "", detector, language(request))
        shown = session is not None and session.display is not None
        closed = [gr.Accordion(open=False, visible=shown) for _ in folds]
        return (html, "", *closed, session)

    def on_fold(session: Session | None, name: str, request: gr.Request) -> list[Any]:
        """Draw the sound, and where the model listened."""
        found = _answer(models, session, name)
        if found is None:
            return ["", *card_values(SOUND, {})]
        model, prediction = found
        high_hz = model.classifier.config.front_end.high_hz
        cards = sound_cards(session.display, prediction, high_hz)
        return [play_html(prediction, language(request)), *card_values(SOUND, cards)]

    def on_research(session: Session | None, name: str) -> list[Any]:
        """Tell what other models say, and draw what this one made of the sound."""
        found = _answer(models, session, name)
        if found is None:
            return [error_html(NO_LONGER_KEPT), *card_values(EXPLAINED, {})]
        model, prediction = found
        html = research_html(prediction, session.others(model, models))
        return [html, *card_values(EXPLAINED, explained_cards(prediction))]

    def on_model(session: Session | None, name: str, request: gr.Request) -> list[Any]:
        """Answer by another model."""
        html = told(models, session, name, detector, language(request))
        return [html, gr.Accordion(open=False), *on_research(session, name)]

    answered = source.upload(
        on_sound,
        [file],
        [answer, name, *folds, kept],
        js=SOUND_OF_PAGE,
        show_progress_on=[answer],
        trigger_mode="always_last",
        api_visibility="private",
    )
    answered.then(None, js=ANSWERED, api_visibility="private")
    opened = sound.expand(on_fold, [kept, name], [play, *drawn], **EVENT)
    opened.then(None, js=DESCRIBE_FIGURES, api_visibility="private")
    looked = research.expand(on_research, [kept, name], [others, *explained], **EVENT)
    looked.then(None, js=DESCRIBE_FIGURES, api_visibility="private")
    changed = name.input(
        on_model,
        [kept, name],
        [answer, sound, others, *explained],
        trigger_mode="always_last",
        **EVENT,
    )
    changed.then(None, js=DESCRIBE_FIGURES, api_visibility="private")


def language(request: gr.Request) -> Words:
    """Return the visitor's language."""
    return spoken(request.headers.get("accept-language"))


def _answer(
    models: Sequence[Model], session: Session | None, name: str
) -> tuple[Model, Prediction] | None:
    """Return the model that answers and its answer; None if there is none, or no more."""
    if session is None or session.display is None:
        return None
    model, answer = session.chosen(models, name)
    return (model, answer) if isinstance(answer, Prediction) else None


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
