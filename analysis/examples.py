"""The recordings that the page offers: made by our synthesiser, no child was recorded."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
EXAMPLE_NAMES = {
    "synthetic_rhythmic.wav": "rhythmic cry (synthetic)",
    "synthetic_high_pitched.wav": "high-pitched cry (synthetic; too high for the cry detector)",
    "synthetic_whimper.wav": "whimper (synthetic)",
    "synthetic_door_chime.wav": "door chime, not a cry (synthetic)",
}
