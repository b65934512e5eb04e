"""The acoustic features in words for a parent, each with its term and its unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cry_model.acoustic_features import MFCC


@dataclass(frozen=True)
class Name:
    """A feature: plain words, the field's term, the unit if it has one."""

    plain: str
    term: str
    unit: str = ""

    @property
    def full(self) -> str:
        """Both, as in "brightness (spectral centroid)"."""
        return f"{self.plain} ({self.term})"

    def value(self, number: float) -> str:
        """A value as a person reads it: "2,310 Hz", "0.42"."""
        text = f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
        return f"{text} {self.unit}".rstrip()


NAMES: Mapping[str, Name] = {
    "chroma_stft": Name("spread over the notes", "chroma"),
    "rms": Name("level", "RMS"),
    "spectral_centroid": Name("brightness", "spectral centroid", "Hz"),
    "spectral_bandwidth": Name("width around it", "spectral bandwidth", "Hz"),
    "rolloff": Name("reach of the high sounds", "spectral roll-off", "Hz"),
    "zero_crossing_rate": Name("noisiness", "zero crossings", "per sample"),
    "mfcc1": Name("fullness", "MFCC 1 less the level"),
    **{f"mfcc{i}": Name(f"spectral shape {i}", f"MFCC {i}") for i in range(2, MFCC + 1)},
}
