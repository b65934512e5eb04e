"""Draw which acoustic features moved the answer of a model that has no other input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go
import torch

from analysis.figures.theme import PALETTE, finish
from cry_model.networks.feature_mlp import INPUTS, level_free
from cry_model.prediction import FeatureAttribution, Prediction
from cry_model.records import words
from cry_model.sound.acoustic_features import FEATURES, MFCC


@dataclass(frozen=True)
class Name:
    """Name a feature: plain words, the field's term, the unit if it has one."""

    plain: str
    term: str
    unit: str = ""

    @property
    def full(self) -> str:
        """Join both, as in "brightness (spectral centroid)"."""
        return f"{self.plain} ({self.term})"

    def value(self, number: float) -> str:
        """Write a value: "2,310 Hz", "0.42"."""
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


SHOWN = 12
ROW = 38  # pixels: two lines of a feature's name
FOR, AGAINST = PALETTE[2], PALETTE[3]


def ranked(acoustic: FeatureAttribution) -> list[tuple[str, float]]:
    """Return features and contributions by descending size."""
    return sorted(acoustic.contributions.items(), key=lambda item: -abs(item[1]))


def contributions_figure(prediction: Prediction) -> go.Figure:
    """Draw the contributions of the :data:`SHOWN` greatest features, and of the rest together;
    raise ValueError if the model did not answer from acoustic features."""
    acoustic, order = _require(prediction), ranked(_require(prediction))
    shown, rest = order[:SHOWN], order[SHOWN:]
    rows = torch.tensor([[acoustic.features[name] for name in FEATURES]])
    measured = dict(zip(INPUTS, level_free(rows)[0].tolist(), strict=True))
    names = [f"{NAMES[name].plain}<br>({NAMES[name].term})" for name, _ in shown]
    hover = [f"{NAMES[name].full}: {NAMES[name].value(measured[name])}" for name, _ in shown]
    amounts = [amount for _, amount in shown]
    if rest:
        names.append(f"{len(rest)} others<br>together")
        hover.append(", ".join(NAMES[name].term for name, _ in rest))
        amounts.append(sum(amount for _, amount in rest))
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=[round(amount, 4) for amount in amounts],
        orientation="h",
        marker_color=[FOR if amount > 0 else AGAINST for amount in amounts],
        customdata=hover,
        hovertemplate="%{customdata}<br>%{x:+.2f}<extra></extra>",
    )
    label = escape(words(prediction.label), quote=False)
    figure.update_xaxes(title_text=f"against ← {label} → for<br>(natural logarithm)", nticks=6)
    figure.update_yaxes(autorange="reversed")
    figure.add_vline(x=0, line={"color": "#808080", "width": 1})
    return finish(figure, height=ROW * len(names) + 132).update_layout(bargap=0.3, margin_b=72)


def describe_contributions(prediction: Prediction) -> str:
    """Describe the figure."""
    order = ranked(_require(prediction))
    label = escape(words(prediction.label), quote=False)
    parts = []
    for direction, sign in (("for", 1), ("against", -1)):
        most = [(name, amount) for name, amount in order if sign * amount > 0][:3]
        if most:
            listed = ", ".join(f"{NAMES[name].full} {_signed(amount)}" for name, amount in most)
            parts.append(f"Most {direction} {label}: {listed}.")
    total = sum(amount for _, amount in order)
    parts.append(f"All together {_signed(total)} compared with an average recording.")
    return " ".join(parts)


def _signed(amount: float) -> str:
    return f"{amount:+.2f}".replace("-", "−")


def _require(prediction: Prediction) -> FeatureAttribution:
    if prediction.acoustic is None:
        raise ValueError(f"{prediction.system} does not answer from acoustic features.")
    return prediction.acoustic
