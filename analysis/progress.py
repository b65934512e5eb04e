"""How far several pieces of work are that share one bar."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

Report = Callable[[float, str], None]
"""Told the share that is done, 0 to 1, and what is being done."""


def silent(share: float, doing: str) -> None:
    """Reports to nobody."""


class Progress:
    """One bar for parts that may run in several threads; it never goes back.

    ``report`` runs in the context where the bar was made: Gradio finds the visitor by it.
    """

    def __init__(self, report: Report):
        self._report, self._context = report, contextvars.copy_context()
        self._lock, self._done = threading.Lock(), 0.0

    def part(self, weight: float, doing: str) -> Callable[[float], None]:
        """A callback for a share of the work; the weights of all parts sum to 1."""
        reached = 0.0

        def tell(share: float) -> None:
            nonlocal reached
            with self._lock:
                self._done += weight * max(0.0, share - reached)
                reached = max(reached, share)
                self._context.run(self._report, min(1.0, self._done), doing)

        return tell
