"""Draw what an answer is based on: attention weights, or the features of the feature MLP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from torch import Tensor

from analysis.figures.sound import thin
from analysis.figures.theme import DIVERGING, HEAT, PALETTE, TEXT, finish
from cry_model.networks.ecapa_tdnn import DILATIONS
from cry_model.networks.feature_mlp import INPUTS, level_free
from cry_model.networks.layers import MultiScaleChannelAttention
from cry_model.prediction import FeatureAttribution, Prediction
from cry_model.records import words
from cry_model.sound.front_end_config import FEATURES, MFCC

COLUMNS = 500
COLOUR_BAR = {
    "title": {"text": "weight (%)", "side": "right"},
    "orientation": "h",
    "thickness": 8,
    "y": -0.16,
    "yanchor": "top",
}
BRANCHES = (*(f"kernel {k}" for k in MultiScaleChannelAttention.KERNELS), "max-pooling")
LAYERS = ("stem", *(f"block {i + 1}" for i in range(len(DILATIONS))))


def time_channel_map(prediction: Prediction, block: int) -> tuple[Tensor, Tensor]:
    """Return times (columns,) in s and A_t A_c^T (channels, columns); channels are sorted by
    descending weight, columns that no piece covers are NaN."""
    a_t = prediction.attention.temporal[block]
    a_c = prediction.attention.channel[block]
    times, track = thin(
        *prediction.timeline(a_c.unsqueeze(2) * a_t.unsqueeze(1)), COLUMNS, prediction.hop_seconds
    )
    return times, track[a_c.mean(0).argsort(descending=True)]


def time_channel_figure(prediction: Prediction) -> go.Figure:
    """Draw the weight of equation 10 for each frame and channel, one row per block."""
    blocks = len(prediction.attention.temporal)
    figure = make_subplots(
        blocks,
        1,
        shared_xaxes=True,
        vertical_spacing=0.08,
        subplot_titles=[f"block {i + 1}" for i in range(blocks)],
    )
    for i in range(blocks):
        times, weights = _shortened(*time_channel_map(prediction, i))
        figure.add_heatmap(
            x=times.numpy().round(3),
            z=_compact(100 * weights),
            hoverongaps=False,
            colorscale=HEAT,
            showscale=i == 0,
            zmin=0,
            zmax=100,
            colorbar=COLOUR_BAR,
            hovertemplate="%{x:.2f} s, channel %{y}: %{z}%<extra></extra>",
            row=i + 1,
            col=1,
        )
        figure.update_yaxes(title_text="channel", nticks=3, row=i + 1, col=1)
    figure.update_xaxes(range=[0, prediction.duration])
    figure.update_xaxes(title_text="time (s)", row=blocks, col=1)
    return finish(figure, height=150 * blocks + 140, margin_b=100)


def _shortened(times: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Drop all but the first and last column of each gap, which would only add bytes."""
    heard = ~weights[0].isnan()
    keep = heard.clone()
    keep[1:] |= heard[:-1]
    keep[:-1] |= heard[1:]
    return times[keep], weights[:, keep]


def _compact(percentages: Tensor) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Round to integers; without gaps (NaN) as uint8, which takes a quarter of the bytes."""
    rounded = percentages.round().numpy()
    return rounded if np.isnan(rounded).any() else rounded.astype(np.uint8)


def branch_shares(prediction: Prediction) -> Tensor:
    """Return the mean MCA gate of each branch as a share of the sum: (blocks, stages, branches)."""
    gates = torch.stack([g.mean(dim=(0, 3)) for g in prediction.attention.multi_scale])
    return gates / gates.sum(-1, keepdim=True)


def multi_scale_figure(prediction: Prediction) -> go.Figure:
    """Draw how each block's gate is divided among kernel sizes (equation 5)."""
    shares = branch_shares(prediction)
    blocks, stages, _ = shares.shape
    names = [f"block {b + 1}, stage {s + 1}" for b in range(blocks) for s in range(stages)]
    figure = go.Figure()
    for branch, name in enumerate(BRANCHES):
        spans = [_span(branch, block, prediction.hop_seconds) for block in range(blocks)]
        figure.add_bar(
            y=names,
            x=(100 * shares[..., branch]).flatten().numpy().round(1),
            name=name,
            orientation="h",
            marker_color=PALETTE[(1, 2, 0, 4)[branch]],
            customdata=[span for span in spans for _ in range(stages)],
            hovertemplate=name + " (%{customdata:.0f} ms): %{x:.0f}%<extra></extra>",
        )
    figure.update_xaxes(title_text="share of the gates (%)", range=[0, 100])
    figure.update_yaxes(autorange="reversed")
    return finish(figure, height=300, barmode="stack")


def _span(branch: int, block: int, hop: float) -> float:
    """Return the receptive field of a branch in ms."""
    kernels = MultiScaleChannelAttention.KERNELS
    if branch == len(kernels):
        return 3 * hop * 1000
    return ((kernels[branch] - 1) * DILATIONS[block] + 1) * hop * 1000


def token_names(count: int) -> tuple[str, ...]:
    """Name the tokens of differential attention: each layer's mean over time, or its mean and its
    deviation from that mean."""
    if count == len(LAYERS):
        return LAYERS
    return tuple(f"{layer}, {part}" for layer in LAYERS for part in ("mean", "spread"))


def differential_figure(prediction: Prediction) -> go.Figure:
    """Draw A_1, A_2 and A_1 - lambda A_2 between the layers, averaged over heads and pieces."""
    maps = prediction.attention
    weight = float(maps.differential_lambda)
    panels = (
        ("A₁", maps.differential_1),
        ("A₂", maps.differential_2),
        (f"A₁ − {weight:.2f} A₂", maps.differential),
    )
    figure = make_subplots(
        1, 3, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=[p[0] for p in panels]
    )
    names = token_names(maps.differential_1.shape[-1])
    few = len(names) == len(LAYERS)
    for i, (_, values) in enumerate(panels):
        mean = values.mean(dim=(0, 1)).numpy().round(3)
        figure.add_heatmap(
            x=names,
            y=names,
            z=mean,
            # A third of a phone's width has room for four numbers, but not for eight.
            text=[[f"{v:.2f}".replace("0.", ".") for v in row] for row in mean] if few else None,
            texttemplate="%{text}" if few else None,
            textfont={"size": 10},
            colorscale=DIVERGING,
            zmin=-1,
            zmax=1,
            showscale=False,
            hovertemplate="%{y} takes %{z:.2f} from %{x}<extra></extra>",
            row=1,
            col=i + 1,
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickangle=-45)
    return finish(figure, height=320)


def describe_map(prediction: Prediction) -> str:
    """Describe the time x channel figure in words."""
    maps = prediction.attention
    parts = []
    for i, (a_t, a_c) in enumerate(zip(maps.temporal, maps.channel, strict=True)):
        # The mean of A_t A_c^T over channels, without computing the full map.
        times, weights = prediction.timeline(a_c.mean(1, keepdim=True) * a_t)
        moment = float(times[int(weights.argmax())])
        parts.append(f"block {i + 1} {100 * float(weights.mean()):.0f}%, highest at {moment:.1f} s")
    return f"Mean weight over all moments and channels: {'; '.join(parts)}."


def describe_branches(prediction: Prediction) -> str:
    """Describe the kernel-size figure in words."""
    shares = branch_shares(prediction).mean(dim=(0, 1))
    parts = [f"{n} {100 * float(s):.0f}%" for n, s in zip(BRANCHES, shares, strict=True)]
    return f"Over all blocks: {', '.join(parts)} (25% each: no preference)."


def describe_differential(prediction: Prediction) -> str:
    """Describe the layer-to-layer figure in words."""
    maps = prediction.attention
    entropies = [
        float(-(a * a.clamp_min(1e-9).log()).sum(-1).mean() / np.log(a.shape[-1]))
        for a in (maps.differential_1, maps.differential_2)
    ]
    return (
        f"Normalised entropy of A₁ {entropies[0]:.2f}, of A₂ "
        f"{entropies[1]:.2f} (1: uniform, 0: one layer only); lambda "
        f"{float(maps.differential_lambda):.2f}."
    )


@dataclass(frozen=True)
class Name:
    """Name a feature in plain words and by its technical term, with its unit if it has one."""

    plain: str
    term: str
    unit: str = ""

    @property
    def full(self) -> str:
        """Return both names, as in "brightness (spectral centroid)"."""
        return f"{self.plain} ({self.term})"

    def value(self, number: float) -> str:
        """Format a value: "2,310 Hz", "0.42"."""
        text = f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
        return f"{text} {self.unit}".rstrip()


NAMES: Mapping[str, Name] = {
    "chroma_stft": Name("spread over the notes", "chroma"),
    "rms": Name("level", "RMS"),
    "spectral_centroid": Name("brightness", "spectral centroid", "Hz"),
    "spectral_bandwidth": Name("width of the spectrum", "spectral bandwidth", "Hz"),
    "rolloff": Name("upper end of the sound", "spectral roll-off", "Hz"),
    "zero_crossing_rate": Name("noisiness", "zero crossings", "per sample"),
    "mfcc1": Name("fullness", "MFCC 1 without level"),
    **{f"mfcc{i}": Name(f"spectral shape {i}", f"MFCC {i}") for i in range(2, MFCC + 1)},
}


SHOWN = 12
ROW = 38  # pixels: two lines of a feature's name
FOR, AGAINST = PALETTE[2], PALETTE[3]


def ranked(acoustic: FeatureAttribution) -> list[tuple[str, float]]:
    """Return features and contributions, sorted by descending absolute value."""
    return sorted(acoustic.contributions.items(), key=lambda item: -abs(item[1]))


def contributions_figure(prediction: Prediction) -> go.Figure:
    """Draw the :data:`SHOWN` largest contributions and the sum of the others."""
    assert prediction.acoustic is not None  # other models have no such card
    order = ranked(prediction.acoustic)
    shown, rest = order[:SHOWN], order[SHOWN:]
    rows = torch.tensor([[prediction.acoustic.features[name] for name in FEATURES]])
    measured = dict(zip(INPUTS, level_free(rows)[0].tolist(), strict=True))
    names = [f"{NAMES[name].plain}<br>({NAMES[name].term})" for name, _ in shown]
    hover = [f"{NAMES[name].full}: {NAMES[name].value(measured[name])}" for name, _ in shown]
    names.append(f"{len(rest)} others<br>together")
    hover.append(", ".join(NAMES[name].term for name, _ in rest))
    amounts = [*(amount for _, amount in shown), sum(amount for _, amount in rest)]
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
    figure.add_vline(x=0, line={"color": TEXT, "width": 1})
    return finish(figure, height=ROW * len(names) + 132, bargap=0.3, margin_b=72)


def describe_contributions(prediction: Prediction) -> str:
    """Describe the contributions figure in words."""
    assert prediction.acoustic is not None
    order = ranked(prediction.acoustic)
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
