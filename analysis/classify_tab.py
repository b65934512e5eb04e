"""The Classify tab: recording in, answer and figures out."""

from __future__ import annotations

import contextlib
import filecmp
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.utils import get_upload_folder

from analysis import attention_figures as attention
from analysis.answer import EMPTY, answer_html, error_html
from analysis.sound_figure import describe_sound, mel_spectrogram, sound_figure
from cry_model import audio
from cry_model.classifier import CryClassifier
from cry_model.prediction import Prediction

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
FORGET_SECONDS = 5
EXAMPLE_NAMES = {
    "synthetic_rhythmic.wav": "rhythmic cry (synthetic)",
    "synthetic_high_pitched.wav": "high-pitched cry, abrupt onsets (synthetic)",
    "synthetic_whimper.wav": "whimper (synthetic)",
    "synthetic_door_chime.wav": "door chime, not a cry (synthetic)",
}

SOUND_NOTE = """Loudness, pitch and overtones, and below them when the network listened: near 1 a
moment counts fully, near 0 it is held back. In the paper: the temporal gate A<sub>t</sub> of each
block, equation 10."""
MAP_NOTE = """When each block listened, and to which of its 128 learnt channels (these have no fixed
pitch; they are sorted by weight). In the paper: the product A<sub>t</sub>A<sub>c</sub>ᵀ of
equation 10."""
BRANCH_NOTE = """Whether each block relied on short stretches of sound (small kernels) or on longer
ones. In the paper: the gate s of equation 5, summed over the channels of each branch."""
DIFFERENTIAL_NOTE = """What the layers take from each other before the answer; rows take, columns
give. In the paper: the maps A<sub>1</sub> and A<sub>2</sub> of equations 13 and 15, and equation
12's difference."""

# Plotly's drawings are unnamed to a screen reader; the sentence under each names it.
DESCRIBE_FIGURES = """() => {
  for (const figure of ["sound", "map", "branch", "differential"]) {
    const plot = document.getElementById(`${figure}-figure`);
    const words = document.getElementById(`${figure}-words`);
    if (!plot || !words) continue;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", words.textContent.trim());
  }
}"""


@dataclass(frozen=True)
class View:
    """What the tab shows for one recording; the order of the fields is that of the outputs."""

    answer: str
    details: Any
    sound: Any = None
    sound_words: str = ""
    time_channel: Any = None
    time_channel_words: str = ""
    branches: Any = None
    branch_words: str = ""
    differential: Any = None
    differential_words: str = ""

    def outputs(self) -> tuple[Any, ...]:
        """As Gradio wants them."""
        return tuple(self.__dict__.values())


def show(recording: audio.Recording, prediction: Prediction, high_hz: float) -> View:
    """Answer and figures; a figure whose weights the system does not have is hidden."""
    spectrogram = mel_spectrogram(recording)
    time_channel, branches, differential = attention.attention_figures(prediction)
    return View(
        answer=answer_html(prediction),
        details=gr.Column(visible=True),
        sound=sound_figure(recording, spectrogram, prediction, high_hz),
        sound_words=describe_sound(recording, spectrogram, prediction),
        time_channel=_plot(time_channel),
        time_channel_words=attention.describe_map(prediction),
        branches=_plot(branches),
        branch_words=attention.describe_branches(prediction),
        differential=_plot(differential),
        differential_words=attention.describe_differential(prediction),
    )


def _plot(figure: go.Figure | None) -> gr.Plot:
    return gr.Plot(figure, visible=figure is not None)


def classify(classifier: CryClassifier, path: str | None) -> View:
    """The view for a file; a file that cannot be used gives its one sentence."""
    hidden = gr.Column(visible=False)
    if path is None:
        return View(EMPTY, hidden)
    try:
        recording = audio.load(path)
        prediction = classifier.predict(recording)
    except audio.AudioError as error:
        return View(error_html(str(error)), hidden)
    return show(recording, prediction, classifier.config.front_end.high_hz)


def forget(path: str | None, after: float = FORGET_SECONDS) -> None:
    """Deletes a visitor's recording from the server in a moment; our own examples stay.

    Gradio names an upload by its content, so two visitors with the same file share it. It goes a
    few seconds after the answer, and only if nobody has sent it again in the meantime.
    """
    if path is None or not Path(path).exists():
        return
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        return  # not an upload: never delete what is somebody's own
    example = EXAMPLES / file.name
    if example.exists() and filecmp.cmp(file, example, shallow=False):
        return
    timer = threading.Timer(after, _unlink_unless_newer, (file, file.stat().st_ctime_ns))
    timer.daemon = True
    timer.start()


def _unlink_unless_newer(file: Path, ctime_ns: int) -> None:
    with contextlib.suppress(OSError):  # gone already
        if file.stat().st_ctime_ns == ctime_ns:
            file.unlink()


def build_classify_tab(classifier: CryClassifier) -> None:
    """Lays out the tab and its events inside the current page."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            source = gr.Audio(
                sources=["upload", "microphone"],
                type="filepath",
                label="Drop a file, or record with the microphone",
                buttons=[],
                elem_id="recording",
            )
            gr.Examples(
                [[str(EXAMPLES / name)] for name in EXAMPLE_NAMES],
                inputs=[source],
                example_labels=list(EXAMPLE_NAMES.values()),
                label="Examples made by our synthesiser, no child was recorded",
            )
        with gr.Column(scale=3, min_width=300):
            answer = gr.HTML(EMPTY, elem_id="answer")
    with gr.Column(visible=False, elem_id="details") as details:
        outputs = [answer, details, *_figures()]

    def on_change(path: str | None) -> tuple[Any, ...]:
        try:
            return classify(classifier, path).outputs()
        finally:
            forget(path)

    def predict(path: str | None) -> dict[str, Any]:
        """Label, probabilities, pieces and measured trust for one recording."""
        try:
            return classifier.predict(path).to_dict()
        except audio.AudioError as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            forget(path)

    changed = source.change(
        on_change, source, outputs, api_name="classify", show_progress_on=[answer]
    )
    changed.then(None, js=DESCRIBE_FIGURES, api_visibility="private")
    gr.Button(visible=False).click(predict, source, gr.JSON(visible=False), api_name="predict")


def _figures() -> list[gr.components.Component]:
    """The figures with their captions, in the order of :class:`View`."""
    gr.Markdown("### What was heard, and when the model listened")
    sound = gr.Plot(show_label=False, elem_id="sound-figure")
    sound_words = gr.Markdown(elem_classes="caption", elem_id="sound-words")
    gr.Markdown(SOUND_NOTE, elem_classes="caption")
    gr.Markdown("### Attention over time and channels")
    time_channel = gr.Plot(show_label=False, elem_id="map-figure")
    time_channel_words = gr.Markdown(elem_classes="caption", elem_id="map-words")
    gr.Markdown(MAP_NOTE, elem_classes="caption")
    with gr.Row():
        with gr.Column(min_width=300):
            gr.Markdown("### Short or long sounds")
            branches = gr.Plot(show_label=False, elem_id="branch-figure")
            branch_words = gr.Markdown(elem_classes="caption", elem_id="branch-words")
            gr.Markdown(BRANCH_NOTE, elem_classes="caption")
        with gr.Column(min_width=300):
            gr.Markdown("### Between the layers")
            differential = gr.Plot(show_label=False, elem_id="differential-figure")
            differential_words = gr.Markdown(elem_classes="caption", elem_id="differential-words")
            gr.Markdown(DIFFERENTIAL_NOTE, elem_classes="caption")
    return [
        sound,
        sound_words,
        time_channel,
        time_channel_words,
        branches,
        branch_words,
        differential,
        differential_words,
    ]
