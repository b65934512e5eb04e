"""Build the Live tab and manage visitors' listeners: separate, limited in number, soon deleted."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np

from analysis.live.drawing import LIVE, pieces, place
from analysis.live.episodes import KEPT, RATE
from analysis.live.listener import Listener
from analysis.models import Model
from analysis.tabs import SHARED, scripts
from analysis.words import ENGLISH, Words, language
from cry_model.detector import CryDetector
from cry_model.sound.audio import AudioError

MOST_LISTENING = 8  # at a time; each takes a few per cent of a core
MOST_LOGS = 200
SILENT_SECONDS = 30.0  # without a chunk: the visitor is gone, and the audio is deleted
LOG_SECONDS = 3600.0  # without a chunk: the log is deleted
SWEEP_SECONDS = 5.0
LONGEST_NAME = 64  # characters
LONGEST_CHUNK = 4_000_000  # characters, more than a page ever buffers


@dataclass
class Visitor:
    """Store one page's listener and the time of its last use."""

    listener: Listener
    used: float
    listening: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Visitors:
    """Provide the two functions that the page calls; no audio is written to a file or a log.

    A page identifies itself by a number drawn at random, so no page can access another's listener.

    Args:
        make: creates a new listener.
        now: a clock in seconds.
    """

    def __init__(self, make: Callable[[], Listener], now: Callable[[], float] = time.monotonic):
        self.make, self.now = make, now
        self.known: dict[str, Visitor] = {}
        self.lock = threading.Lock()
        self.sweeper: threading.Thread | None = None

    def hear(self, request: dict[str, Any], say: Words = ENGLISH) -> dict[str, Any]:
        """Process a chunk; return the changes for the page, or ``problem``, a sentence.

        Args:
            request: ``page``, its name; ``samples``, 16-bit little-endian mono in base64;
                ``rate`` in Hz; ``lost``, seconds missing before; ``seen``, lines of the log that it
                has; ``first``, whether the visitor has just pressed the button.
            say: the visitor's language.
        """
        try:
            page, seen, first = _page(request), int(request["seen"]), bool(request["first"])
            chunk = np.frombuffer(_bytes(request["samples"]), "<i2")
            rate, lost = int(request["rate"]), float(request["lost"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return {"problem": say("live.broken")}
        if (visitor := self._find(page)) is None:
            return {"problem": say("live.full")}
        with visitor.lock:
            listener = visitor.listener
            if first and listener.over:
                listener.resume()
            try:
                listener.hear(chunk, rate, max(0.0, min(lost, LOG_SECONDS)))
            except AudioError as error:
                self._rest(visitor)
                return {"problem": str(error)}
            if listener.over:
                self._rest(visitor)
            return pieces(listener, seen, say)

    def stop(self, request: dict[str, Any], say: Words = ENGLISH) -> dict[str, Any]:
        """Delete the audio of ``page``; its log can be continued for another hour."""
        try:
            page, seen = _page(request), int(request["seen"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return {"problem": say("live.broken")}
        if (visitor := self.known.get(page)) is None:
            return {}
        with visitor.lock:
            self._rest(visitor)
            return pieces(visitor.listener, seen, say)

    def sweep(self) -> None:
        """Delete the audio, and much later the log, of pages that are gone."""
        with self.lock:
            visitors = list(self.known.items())
        for page, visitor in visitors:
            unused = self.now() - visitor.used
            with visitor.lock:
                if visitor.listening and unused >= SILENT_SECONDS:
                    self._rest(visitor)
            if unused >= LOG_SECONDS:
                with self.lock:
                    self.known.pop(page, None)

    def _find(self, page: str) -> Visitor | None:
        """Return the page's visitor, marked as listening; None if too many are listening."""
        with self.lock:
            visitor = self.known.get(page)
            if visitor is None or not visitor.listening:
                if sum(v.listening for v in self.known.values()) >= MOST_LISTENING:
                    return None
                if visitor is None:
                    self._make_room()
                    visitor = self.known[page] = Visitor(self.make(), self.now())
                visitor.listening = True
            visitor.used = self.now()
            if self.sweeper is None:
                self.sweeper = threading.Thread(target=self._sweep_for_ever, daemon=True)
                self.sweeper.start()
            return visitor

    def _make_room(self) -> None:
        if len(self.known) >= MOST_LOGS:
            resting = [name for name, v in self.known.items() if not v.listening]
            self.known.pop(min(resting, key=lambda name: self.known[name].used))

    def _rest(self, visitor: Visitor) -> None:
        visitor.listening = False
        visitor.listener.stop()

    def _sweep_for_ever(self) -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            self.sweep()


def _page(request: dict[str, Any]) -> str:
    if not isinstance(page := request["page"], str) or len(page) > LONGEST_NAME:
        raise ValueError
    return page


def _bytes(samples: str) -> bytes:
    if len(samples) > LONGEST_CHUNK:
        raise ValueError
    return base64.b64decode(samples, validate=True)


ServerFunction = Callable[[dict[str, Any], gr.Request], dict[str, Any]]
KHZ = {8000: "8 kHz", 4000: "4", 2000: "2", 1000: "1", 500: "0.5"}
MARKS = [(text, place(hz)) for hz, text in KHZ.items()]
AGO = [(seconds, 1 - seconds * RATE / KEPT) for seconds in (12, 9, 6, 3)]
"""(label, position along an axis of the image, 0 to 1)."""


def make_functions(detector: CryDetector, model: Model) -> list[ServerFunction]:
    """Return the functions by which the browser sends audio and stops; two tabs share them."""
    # The page's models have no detector: what they classify here is a cry already.
    visitors = Visitors(lambda: Listener(detector, model.classifier))

    def live_hear(request: dict[str, Any], visitor: gr.Request) -> dict[str, Any]:
        return visitors.hear(request, language(visitor))

    def live_stop(request: dict[str, Any], visitor: gr.Request) -> dict[str, Any]:
        return visitors.stop(request, language(visitor))

    return [live_hear, live_stop]


def build_live_tab(
    detector: CryDetector, model: Model, functions: Sequence[ServerFunction]
) -> None:
    """Lay out the tab inside the current page, with the functions of :func:`make_functions`."""
    gr.HTML(
        LIVE.skeleton(model.name, detector.threshold, MARKS, AGO),
        js_on_load=scripts(*SHARED, "microphone.js", "live/live.js"),
        server_functions=list(functions),
        elem_id="live-panel",
    )
