"""List the panels in the order of the page and the report; needs no Gradio."""

from __future__ import annotations

from analysis.panels.ablation import ABLATION
from analysis.panels.base import Panel
from analysis.panels.calibration import CALIBRATION
from analysis.panels.compare import COMPARE
from analysis.panels.confusion import CONFUSION
from analysis.panels.errors import ERRORS
from analysis.panels.leakage import LEAKAGE
from analysis.panels.per_class import PER_CLASS
from analysis.panels.systems import SYSTEMS

PANELS: tuple[Panel, ...] = (
    ABLATION,
    SYSTEMS,
    CONFUSION,
    LEAKAGE,
    PER_CLASS,
    CALIBRATION,
    ERRORS,
    COMPARE,
)
