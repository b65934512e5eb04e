"""Which panels there are, in their order on the page and in the report; without Gradio."""

from __future__ import annotations

from analysis.dashboard.ablation import ABLATION
from analysis.dashboard.confusion import CONFUSION
from analysis.dashboard.errors import ERRORS
from analysis.dashboard.leakage import LEAKAGE
from analysis.dashboard.panel import Panel
from analysis.dashboard.per_class import PER_CLASS
from analysis.dashboard.systems_panel import SYSTEMS
from analysis.dashboard.trust_panel import TRUST
from analysis.dashboard.two_runs import COMPARE

PANELS: tuple[Panel, ...] = (
    ABLATION,
    SYSTEMS,
    CONFUSION,
    PER_CLASS,
    TRUST,
    LEAKAGE,
    ERRORS,
    COMPARE,
)
