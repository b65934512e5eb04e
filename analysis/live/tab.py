"""Lay out the Live tab: a button, the rolling picture, what is heard, and the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.live.drawing import NO_CRY
from analysis.live.listener import LIMIT_SECONDS, Gate, Listener
from analysis.live.stream import KEPT, RATE, place
from analysis.live.visitors import SILENT_SECONDS, Visitors
from analysis.models import Model
from analysis.tabs.diary import SHARED
from cry_model.records import percent

HERE = Path(__file__).parent
SCRIPTS = *SHARED, HERE.parent / "microphone.js", HERE / "live.js"
ServerFunction = Callable[[dict[str, Any]], dict[str, Any]]
PRIVACY = (
    f"The sound goes to the server, which keeps its last {KEPT // RATE} seconds in memory and in "
    "no file; it is forgotten when you press Stop, "
    f"or {SILENT_SECONDS:.0f} seconds after you left. The log, which holds no sound, is "
    "forgotten after an hour."
)
MARKS = {8000: "8 kHz", 4000: "4", 2000: "2", 1000: "1", 500: "0.5"}
SECONDS = (12, 9, 6, 3)


def make_functions(detector: Gate, model: Model) -> list[ServerFunction]:
    """Return what the browser calls with the microphone's sound, and at its end; for two tabs."""
    # The page's models have no detector of their own: what they are asked about is a cry already.
    visitors = Visitors(lambda: Listener(detector, model.classifier))

    def live_hear(request: dict[str, Any]) -> dict[str, Any]:
        return visitors.hear(request)

    def live_stop(request: dict[str, Any]) -> dict[str, Any]:
        return visitors.stop(request)

    return [live_hear, live_stop]


def build_live_tab(detector: Gate, model: Model, functions: Sequence[ServerFunction]) -> None:
    """Lay out the tab inside the current page.

    Args:
        detector: says whether the microphone hears a cry.
        model: names a reason while a cry lasts.
        functions: of :func:`make_functions`.
    """
    gr.HTML(
        skeleton(detector.threshold, model),
        js_on_load="".join(p.read_text(encoding="utf-8") for p in SCRIPTS),
        server_functions=list(functions),
        elem_id="live-panel",
    )


def skeleton(threshold: float, model: Model) -> str:
    """Write what stands there before anything is heard; the page's script fills it."""
    minutes = round(LIMIT_SECONDS / 60)
    return f"""<section class="live" data-live="root" data-state="idle"
data-model="{escape(model.name)}">
<p>Press the button near a baby: the cry detector says four times a second whether it hears crying,
and while that lasts, the {model.title} says which kind. It stops by itself after {minutes}
minutes.</p>
<div class="live-controls">
<button type="button" data-live="button">Start listening</button>
<button type="button" data-live="notify">Tell me when a cry begins</button>
<p role="status" data-live="status">Not listening.</p>
<p class="live-numbers"><span class="live-now">probability of a cry
<b data-live="probability"></b></span> <span data-live="elapsed">0:00</span></p>
</div>
<div class="live-picture" role="img" data-live="frame" aria-label="Nothing was heard yet">
<div class="live-scale" aria-hidden="true">{_marks()}</div>
<div class="live-sound"><img alt="" data-live="picture" src="{BLANK}"></div>
<div class="live-scale" aria-hidden="true"><span style="bottom: 100%">100%</span>
<span style="bottom: 0">0%</span></div>
<div class="live-track"><div data-live="track"></div>
<span class="live-threshold" style="bottom: {100 * threshold:.0f}%">a cry from
{percent(threshold)}</span></div>
<div class="live-seconds" aria-hidden="true">{_seconds()}<span style="right: 0">now</span></div>
</div>
<p class="caption">Above: which pitches sound, brighter is louder. Below: the cry detector's
probability of a cry in the last seconds.</p>
<div class="live-below">
<div class="live-answer"><h3>What kind of cry</h3><div data-live="answer">{NO_CRY}</div></div>
<div class="live-log"><h3>What was heard</h3>
<div role="log" aria-live="polite" data-live="log"><table><thead><tr><th>At</th><th>Length</th>
<th>What</th></tr></thead><tbody data-live="rows"></tbody></table></div>
<p data-live="download"></p></div>
</div>
<p class="small"><strong>Not a medical device,</strong> and no baby monitor: do not rely on it to
wake you. {PRIVACY}</p>
</section>"""


BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def _marks() -> str:
    return "".join(
        f'<span style="bottom: {100 * place(hz):.1f}%">{text}</span>' for hz, text in MARKS.items()
    )


def _seconds() -> str:
    span = KEPT / RATE
    return "".join(
        f'<span style="left: {100 * (1 - s / span):.1f}%">&minus;{s} s</span>' for s in SECONDS
    )
