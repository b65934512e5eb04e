"""Which panels there are, in their order on the page and in the report; without Gradio."""

from __future__ import annotations

from analysis.dashboard.leakage import LEAKAGE
from analysis.dashboard.panel import Panel

PANELS: tuple[Panel, ...] = (LEAKAGE,)
