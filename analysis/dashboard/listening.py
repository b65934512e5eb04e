"""Lists of recordings: choosing a row plays it and offers to open it in the Classify tab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import soundfile

from analysis.dashboard.audio_at_hand import NotAtHandError, sound_of
from analysis.dashboard.player import player_html, sentence_html, sixteen_bits
from analysis.dashboard.wiring import EVENT, Below, Wired
from analysis.runs import FoundRuns
from analysis.uploads import own_path

CHOOSE_AGAIN = "What you chose is no longer known here; please choose the recording again."
WAITING = '<p class="small">Choose a row to hear its recording.</p>'
TO_THE_TOP = "() => window.scrollTo(0, 0)"


@dataclass(frozen=True)
class ClassifyTab:
    """Where a recording is opened.

    Attributes:
        recorder: the recording of the Classify tab; what changes it is answered.
        tabs: those of the page, of which "classify" is one.
    """

    recorder: gr.Audio
    tabs: gr.Tabs


def hear_tables(found: FoundRuns, classify: ClassifyTab, wired: Wired) -> Below:
    """The player below a panel whose tables are all lists of recordings."""
    tables = [place.table for place in wired.places]
    return add_listening(wired.panel.name, wired.dataset, tables, classify)


def add_listening(
    name: str, dataset: gr.Dropdown, lists: Sequence[gr.Dataframe], classify: ClassifyTab
) -> Below:
    """Lays out the player in the current block and connects it.

    Args:
        name: of the panel; begins the ids.
        dataset: the choice of the dataset.
        lists: whose first column names a recording of the dataset.
        classify: where a recording is opened.

    Returns:
        What hides the player when the lists are others.
    """
    with gr.Row(elem_classes="listening", elem_id=f"{name}-listening", visible=False) as row:
        player = gr.HTML(elem_id=f"{name}-player")
        opener = gr.Button(
            "Open in Classify", size="sm", scale=0, min_width=150, elem_id=f"{name}-open"
        )
    chosen = gr.State(None)
    blocks = [row, player, opener, chosen]
    for table in lists:
        table.select(_play, [dataset], blocks, **EVENT)
    opened = opener.click(_open, [chosen], [classify.recorder, classify.tabs], **EVENT)
    opened.then(None, js=TO_THE_TOP, api_visibility="private")
    return Below(blocks, lambda *_: (gr.Row(visible=False), "", gr.skip(), None))


def waiting() -> tuple[Any, ...]:
    """Values for the blocks of :func:`add_listening`: the player before anything was chosen.

    It then has its height below a list, and covers none of it when a row is chosen.
    """
    return gr.Row(visible=True), WAITING, gr.Button(visible=False), None


def _play(dataset: str, event: gr.SelectData) -> tuple[Any, ...]:
    """Row, player, button, and what the button would open."""
    recording = str(event.row_value[0])
    try:
        html, found = player_html(recording, sound_of(dataset, recording)), True
    except NotAtHandError as error:
        html, found = sentence_html(recording, str(error)), False
    chosen = (dataset, recording) if found else None
    return gr.Row(visible=True), html, gr.Button(visible=found), chosen


def _open(chosen: tuple[str, str] | None) -> tuple[Any, Any]:
    """The recording for Classify, as a copy: Gradio refuses paths outside of its own folder."""
    if chosen is None:  # the session was dropped
        raise gr.Error(CHOOSE_AGAIN, print_exception=False)
    try:
        sound = sound_of(*chosen)
    except NotAtHandError as error:  # it went in the meantime
        raise gr.Error(str(error), print_exception=False) from error
    copy = own_path("recording.wav")
    soundfile.write(copy, sixteen_bits(sound), sound.sample_rate)
    return str(copy), gr.Tabs(selected="classify")
