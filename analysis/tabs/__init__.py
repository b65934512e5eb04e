"""Build the tabs of the page."""

from collections.abc import Callable
from typing import Any

from analysis.downloads import data_link
from analysis.figures.theme import class_colour
from analysis.templates import ANALYSIS, environment
from analysis.words import button, word
from cry_model.detection import clock
from cry_model.records import either, fine_percent, percent, percent_interval, words

SHARED = "words/words.js", "diary.js"
"""Scripts that come before those of a tab."""
EVENT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
TEMPLATES = environment()
KNOWN = (
    *(button, class_colour, clock, data_link, either),
    *(fine_percent, percent, percent_interval, word, words),
)


def macros(template: str, *own: Callable[..., object]) -> Any:
    """Return the macros of a template in ``analysis``, which may call :data:`KNOWN` and ``own``."""
    known = {function.__name__: function for function in (*KNOWN, *own)}
    return TEMPLATES.get_template(template, globals=known).module


def scripts(*names: str) -> str:
    """Return scripts of ``analysis``, concatenated."""
    return "".join((ANALYSIS / name).read_text(encoding="utf-8") for name in names)
