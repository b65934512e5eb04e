"""Which panels there are, in their order on the page and in the report; without Gradio."""

from __future__ import annotations

from analysis.dashboard.ablation import ABLATION
from analysis.dashboard.leakage import LEAKAGE
from analysis.dashboard.panel import Panel
from analysis.dashboard.systems_panel import SYSTEMS
from analysis.dashboard.two_runs import COMPARE

PANELS: tuple[Panel, ...] = (ABLATION, SYSTEMS, LEAKAGE, COMPARE)
