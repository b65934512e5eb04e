"""Draw ROC, precision-recall, reliability and risk-coverage curves, and scores by split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.theme import (
    LEGEND_BELOW,
    SYSTEM_COLOURS,
    TEXT,
    class_colour,
    class_dash,
    finish,
    system_dash,
    system_symbol,
    with_bars,
)
from cry_model.records import words

BEFORE, AFTER = "before temperature scaling", "after temperature scaling"
"""Names of the probabilities in a reliability diagram."""


def roc_figure(curves: pd.DataFrame, labels: tuple[str, ...]) -> go.Figure:
    """Draw a ROC curve for each class: columns ``class``, ``name`` (for the legend) and both rates;
    ``labels``, those of the model, determine the colours."""
    lines = _class_lines(curves, labels, "false_positive_rate", "true_positive_rate")
    lines.update_traces(hovertemplate="true positive rate %{y:.0%}, false positive rate %{x:.0%}")
    traces = [_diagonal("chance 0.50"), *lines.data]
    return _of_rates(traces, "false positive rate", "true positive rate (recall)")


def precision_recall_figure(curves: pd.DataFrame, labels: tuple[str, ...]) -> go.Figure:
    """Draw a precision-recall curve for each class, and as a thin line its ``share`` of the
    recordings, the precision of a random ranking; otherwise as :func:`roc_figure`."""
    ends = pd.concat([curves.drop_duplicates("class").assign(recall=x) for x in (0, 1)])
    shares = _class_lines(ends, labels, "recall", "share")
    shares.update_traces(line_width=1, opacity=0.7, showlegend=False)
    shares.update_traces(hovertemplate="share of the class %{y:.1%}<extra></extra>")
    lines = _class_lines(curves, labels, "recall", "precision", line_shape="vh")
    lines.update_traces(hovertemplate="precision %{y:.0%}, recall %{x:.0%}")
    return _of_rates([*shares.data, *lines.data], "recall", "precision")


def _class_lines(
    curves: pd.DataFrame, labels: tuple[str, ...], x: str, y: str, **look: Any
) -> go.Figure:
    named = curves.drop_duplicates("class").set_index("name")["class"]
    return px.line(
        curves,
        x=x,
        y=y,
        color="name",
        line_dash="name",
        color_discrete_map={name: class_colour(labels, label) for name, label in named.items()},
        line_dash_map={name: class_dash(labels, label) for name, label in named.items()},
        render_mode="svg",
        **look,
    )


def _of_rates(traces: list[Any], x: str, y: str) -> go.Figure:
    return finish(
        go.Figure(traces),
        height=440 + 12 * sum(trace.showlegend is not False for trace in traces),
        xaxis={"range": [-0.01, 1.01], "title": {"text": x}},
        yaxis={"range": [-0.02, 1.02], "title": {"text": y}},
        legend=LEGEND_BELOW,
        margin_t=12,
    )


def coverage_figure(curves: pd.DataFrame, chosen: str, usual: str) -> go.Figure:
    """Draw the accuracy of each model's most confident answers against coverage.

    ``curves``: of :class:`analysis.stats.calibration.Coverage`, with ``system`` and ``name`` (for
    the legend); ``chosen``: the highlighted system, drawn with its interval and the constant
    answer; ``usual``: the most frequent label.
    """
    own = curves[curves["system"] == chosen]
    named = curves.drop_duplicates("system").set_index("name")["system"]
    lines = px.line(
        curves,
        x="answered",
        y="accuracy",
        color="name",
        line_dash="name",
        color_discrete_map={n: SYSTEM_COLOURS.get(system, TEXT) for n, system in named.items()},
        line_dash_map={n: system_dash(system) for n, system in named.items()},
        render_mode="svg",
    )
    lines.update_traces(line_width=1.2).update_traces(
        line_width=3.5, selector={"name": own["name"].iloc[0]}
    )
    always = f"always “{words(usual)}”"
    constant = own["always_the_most_frequent"]
    figure = go.Figure(
        [
            _band(own, SYSTEM_COLOURS.get(chosen, TEXT)),
            _plain(own["answered"], [constant.iloc[-1]] * len(own), f"{always}, all", "dot"),
            _plain(own["answered"], constant, f"{always}, the same recordings", "dashdot"),
            *lines.data,
        ]
    )
    figure.update_traces(hovertemplate="the most confident %{x:.0%}: accuracy %{y:.1%}")
    first = own["answered"].iloc[0]
    answered = {"tickvals": [first, 0.25, 0.5, 0.75, 1], "range": [0.03, 1.02]}
    return finish(
        figure,
        height=420 + 12 * len(figure.data),
        xaxis={"title": {"text": "share of recordings answered"}, "tickformat": ".0%", **answered},
        yaxis={"title": {"text": "accuracy"}, "tickformat": ".0%"},
        legend=LEGEND_BELOW,
        margin_t=12,
    )


def _plain(x: Any, y: Any, name: str, dash: str) -> go.Scatter:
    line = {"color": TEXT, "dash": dash, "width": 1.5}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name)


def _diagonal(name: str) -> go.Scatter:
    return _plain([0, 1], [0, 1], name, "dot").update(hoverinfo="skip")


def _band(own: pd.DataFrame, colour: str) -> go.Scatter:
    back = own[::-1]
    return go.Scatter(  # the lower ends of the intervals forwards, then the upper ends backwards
        x=pd.concat([own["answered"], back["answered"]]),
        y=pd.concat([own["low"], back["high"]]),
        fill="toself",
        fillcolor=colour,
        opacity=0.2,
        mode="lines",
        line_width=0,
        showlegend=False,
        hoverinfo="skip",
    )


def reliability_figure(bins: pd.DataFrame, system: str) -> go.Figure:
    """Draw accuracy against confidence above, and the number of answers per bin below; ``bins``: of
    :func:`analysis.stats.calibration.reliability`, and :data:`BEFORE` or :data:`AFTER`."""
    colour = SYSTEM_COLOURS.get(system, TEXT)
    drawn = with_bars(bins.rename(columns={"accuracy": "value"}), scale=1)
    drawn["centre"] = (bins["bin_from"] + bins["bin_to"]) / 2
    common = {"color": "probabilities", "custom_data": ["answers"]}
    points = px.line(
        drawn,
        x="confidence",
        y="value",
        error_y="above",
        error_y_minus="below",
        line_dash="probabilities",
        line_dash_map={BEFORE: "dash", AFTER: "solid"},
        symbol="probabilities",
        symbol_map={BEFORE: "circle-open", AFTER: "circle"},
        **common,
    ).update_traces(
        line={"color": colour, "width": 1.5},
        marker_size=9,
        error_y={"thickness": 1.2, "width": 3},
        hovertemplate="%{customdata[0]} answers, confidence %{x:.0%}: accuracy %{y:.0%}",
    )
    bars = px.bar(drawn, x="centre", y="answers", barmode="group", **common).update_traces(
        marker={"color": colour, "line": {"color": colour, "width": 1.5}},
        showlegend=False,
        hovertemplate="%{y} answers",
    )
    bars.update_traces(marker_color="rgba(0, 0, 0, 0)", selector={"name": BEFORE})
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.8, 0.2], vertical_spacing=0.03)
    above = [_diagonal("accuracy equals confidence"), *points.data]
    figure.add_traces(above, rows=1, cols=1).add_traces(bars.data, rows=2, cols=1)
    return finish(
        figure,
        height=470,
        xaxis={"range": [-0.01, 1.01]},
        xaxis2={"range": [-0.01, 1.01], "title": {"text": "confidence"}},
        yaxis={"range": [-0.03, 1.03], "title": {"text": "accuracy"}},
        yaxis2={"title": {"text": "answers"}, "nticks": 3},
        legend=LEGEND_BELOW,
        margin_t=12,
        bargap=0.1,
    )


BASELINE_DASHES = ("dash", "dashdot", "dot", "longdash", "longdashdot")
BASELINE_SYMBOLS = ("diamond-open", "square-open", "circle-open", "x-open", "star-open")
"""Dashes and symbols of the baselines, which are grey."""
SPREAD = 0.4  # share of a split's width


def leakage_figure(
    scores: pd.DataFrame, splits: Sequence[str], metric: str, chance: tuple[float, str]
) -> go.Figure:
    """Draw scores with intervals, joined by a line for each model and each baseline.

    ``scores``: columns ``mark`` ("system", or "beside" for a baseline), ``name``, ``title`` (for
    the legend), ``split``, ``value``, ``low`` and ``high``; ``splits``: from left to right;
    ``chance``: value and name of the dotted line.
    """
    named = scores.drop_duplicates("title").set_index("title")
    systems = {title: row["name"] for title, row in named.iterrows() if row["mark"] == "system"}
    baselines = [title for title in named.index if title not in systems]
    symbols = {title: system_symbol(name) for title, name in systems.items()}
    places = {title: number % len(BASELINE_DASHES) for number, title in enumerate(baselines)}
    steps = {title: number for number, title in enumerate(named.index)}
    abreast = scores["title"].map(steps) / max(1, len(steps) - 1) - 0.5
    place = scores["split"].map({split: number for number, split in enumerate(splits)})
    drawn = with_bars(scores.assign(place=place + SPREAD * abreast), scale=1)
    figure = px.line(
        drawn,
        x="place",
        y="value",
        error_y="above",
        error_y_minus="below",
        color="title",
        line_dash="title",
        symbol="title",
        custom_data=["low", "high", "title"],
        color_discrete_map=dict.fromkeys(baselines, TEXT)
        | {title: SYSTEM_COLOURS.get(name, TEXT) for title, name in systems.items()},
        line_dash_map=dict.fromkeys(systems, "solid")
        | {title: BASELINE_DASHES[place] for title, place in places.items()},
        symbol_map=symbols | {title: BASELINE_SYMBOLS[place] for title, place in places.items()},
    )
    figure.update_traces(
        line_width=1.5,
        marker_size=8,
        error_y={"thickness": 1.2, "width": 3},
        hovertemplate="%{customdata[2]}: %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
        "<extra></extra>",
    )
    value, name = chance
    figure.add_hline(
        value,
        line={"color": TEXT, "dash": "dot", "width": 1.5},
        annotation={"text": f"{name} {value:.3f}", "font_size": 11},
        annotation_position="bottom left",
    )
    # Names are broken, since a phone is no wider than a model's name.
    figure.for_each_trace(lambda trace: trace.update(name=trace.name.replace(" (", "<br>(")))
    return finish(
        figure,
        height=420 + 16 * len(figure.data),
        xaxis={
            "title": None,
            "range": [-0.5, len(splits) - 0.5],
            "tickvals": list(range(len(splits))),
            "ticktext": [split.replace(" ", "<br>") for split in splits],
        },
        yaxis={"title": {"text": f"{metric} per recording"}, "rangemode": "tozero"},
        legend={**LEGEND_BELOW, "title": None},
        margin_t=12,
    )
