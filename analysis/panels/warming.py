"""What a visitor will look at next, drawn ahead while the first figure is being read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from analysis.panels.base import Panel
from analysis.stats.paired import ComparisonError
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import FoundRuns

LOG = logging.getLogger(__name__)


class Warming:
    """Draws every panel of every cell once, as it is at the beginning, in a thread of its own."""

    def __init__(self, found: FoundRuns, panels: Sequence[Panel]):
        self._found, self._panels = found, tuple(panels)
        self._lock, self._thread = threading.Lock(), None

    def start(self) -> None:
        """Begins; from the second time on it does nothing."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._draw, name="warming", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether all is drawn, after so many seconds at most."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is not None and not self._thread.is_alive()

    def _draw(self) -> None:
        # The cell that is shown first comes first in every panel.
        cells = {panel.name: list(panel.cells(self._found)) for panel in self._panels}
        for number in range(max(map(len, cells.values()), default=0)):
            for panel in self._panels:
                if number < len(cells[panel.name]):
                    cell = cells[panel.name][number]
                    try:
                        panel.exhibits(self._found, cell)
                    except (ResultsError, ComparisonError) as problem:  # whoever looks is told
                        LOG.info("%s, %s: %s", panel.name, "/".join(cell), problem)
