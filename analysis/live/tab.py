"""Lay out the Live tab: a button, the rolling picture, what is heard, and the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.live.listener import Listener
from analysis.live.stream import KEPT, RATE, place
from analysis.live.visitors import Visitors
from analysis.models import Model
from analysis.tabs.diary import SHARED
from analysis.words import button, language, word
from cry_model.detector import CryDetector
from cry_model.records import percent

HERE = Path(__file__).parent
SCRIPTS = *SHARED, HERE.parent / "microphone.js", HERE / "live.js"
ServerFunction = Callable[[dict[str, Any], gr.Request], dict[str, Any]]
MARKS = {8000: "8 kHz", 4000: "4", 2000: "2", 1000: "1", 500: "0.5"}
SECONDS = (12, 9, 6, 3)


def make_functions(detector: CryDetector, model: Model) -> list[ServerFunction]:
    """Return what the browser calls with the microphone's sound, and at its end; for two tabs."""
    # The page's models have no detector of their own: what they are asked about is a cry already.
    visitors = Visitors(lambda: Listener(detector, model.classifier))

    def live_hear(request: dict[str, Any], visitor: gr.Request) -> dict[str, Any]:
        return visitors.hear(request, language(visitor))

    def live_stop(request: dict[str, Any], visitor: gr.Request) -> dict[str, Any]:
        return visitors.stop(request, language(visitor))

    return [live_hear, live_stop]


def build_live_tab(
    detector: CryDetector, model: Model, functions: Sequence[ServerFunction]
) -> None:
    """Lay out the tab inside the current page, with what :func:`make_functions` gave."""
    gr.HTML(
        skeleton(detector.threshold, model),
        js_on_load="".join(p.read_text(encoding="utf-8") for p in SCRIPTS),
        server_functions=list(functions),
        elem_id="live-panel",
    )


def skeleton(threshold: float, model: Model) -> str:
    """Write what stands there before anything is heard; the page's script fills it."""
    return f"""<section class="live" data-live="root" data-state="idle"
data-model="{escape(model.name)}">
{word("live.about", "p")}
<div class="live-controls">
{button("live.start", 'data-live="button"')}
{button("live.notify", 'class="quiet" data-live="notify"')}
{word("live.idle", "p", 'role="status" data-live="status"')}
<p class="live-numbers"><span class="live-now">{word("live.probability")}
<b data-live="probability"></b></span> <span data-live="elapsed">0:00</span></p>
</div>
<div class="live-picture" role="img" data-live="frame">
<div class="live-scale" aria-hidden="true">{_marks()}</div>
<div class="live-sound"><img alt="" data-live="picture"></div>
<div class="live-scale" aria-hidden="true"><span style="bottom: 100%">100%</span>
<span style="bottom: 0">0%</span></div>
<div class="live-track"><div data-live="track"></div>
<span class="live-threshold" style="bottom: {100 * threshold:.0f}%">{word("live.from")}
{percent(threshold)}</span></div>
<div class="live-seconds" aria-hidden="true">{_seconds()}
{word("live.now", "span", 'style="right: 0"')}</div>
</div>
{word("live.caption", "p", 'class="caption"')}
<div class="live-below">
<div class="live-answer">{word("live.kind", "h3")}<div data-live="answer">
{word("live.no_cry", "p")}</div></div>
<div class="live-log">{word("live.log", "h3")}
<div role="log" aria-live="polite" data-live="log"><table><thead><tr>{word("live.at", "th")}
{word("live.length", "th")}{word("live.what", "th")}</tr></thead>
<tbody data-live="rows"></tbody></table></div>
<p data-live="download"></p></div>
</div>
<p class="small">{word("live.warning", "strong")} {word("live.privacy")}</p>
</section>"""


def _marks() -> str:
    return "".join(
        f'<span style="bottom: {100 * place(hz):.1f}%">{text}</span>' for hz, text in MARKS.items()
    )


def _seconds() -> str:
    span = KEPT / RATE
    return "".join(
        f'<span style="left: {100 * (1 - s / span):.1f}%">&minus;{s} s</span>' for s in SECONDS
    )
