"""The common layout: it wins over a figure's own, and leaves the rest."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.theme import GRID, TEXT, finish


def test_the_common_layout_wins_and_the_rest_stays():
    own = {
        "xaxis": {"title": {"text": "seconds"}, "zeroline": True},
        "margin": {"l": 3, "pad": 5},
        "legend": {"title": {"text": "which"}},
        "barmode": "group",
    }
    figure = finish(go.Figure(go.Bar(x=[1], y=[2]), own), height=123)
    layout = figure.layout
    assert (layout.xaxis.title.text, layout.xaxis.zeroline) == ("seconds", False)
    assert (layout.margin.l, layout.margin.pad) == (56, 5)
    assert (layout.legend.title.text, layout.legend.orientation) == ("which", "h")
    assert (layout.barmode, layout.height, layout.font.color) == ("group", 123, TEXT)
    assert len(figure.data) == 1


def test_every_axis_of_subplots_has_the_same_grid():
    figure = finish(make_subplots(1, 2, subplot_titles=["a", "b"]), height=200)
    layout = figure.layout
    axes = (layout.xaxis, layout.xaxis2, layout.yaxis, layout.yaxis2)
    assert {axis.gridcolor for axis in axes} == {GRID}
    assert layout.xaxis2.domain[0] > layout.xaxis.domain[1]
    assert [note.text for note in layout.annotations] == ["a", "b"]
