"""Figures as files; skips where there is no Chromium."""

import shutil
import xml.etree.ElementTree as ElementTree

import plotly.graph_objects as go
import pytest

from analysis.figures.theme import SYSTEM_COLOURS, on_paper
from analysis.svg import DrawingError, write_svgs
from cry_model.registry import list_models


def test_every_system_has_a_colour_of_its_own():
    assert set(SYSTEM_COLOURS) == set(list_models())
    assert len(set(SYSTEM_COLOURS.values())) == len(SYSTEM_COLOURS)


def test_a_figure_is_drawn_the_same_each_time(tmp_path):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed")
    bar, line = go.Bar(x=["a"], y=[2], marker_color="#0072B2"), go.Scatter(x=["a"], y=[1])
    figure = on_paper(go.Figure([bar, line]), 300)
    figure.update_layout(height=200, title_text="50 % of <b>it</b>")
    first, second = tmp_path / "one" / "bar.svg", tmp_path / "two" / "bar.svg"
    write_svgs({first: figure, second: figure})
    assert first.read_bytes() == second.read_bytes()
    tree = ElementTree.parse(first).getroot()
    assert (tree.get("width"), tree.get("height")) == ("300", "200")
    assert "rgb(0, 114, 178)" in first.read_text()
    assert "50 % of" in "".join(tree.itertext())


def test_a_missing_chromium_is_named(tmp_path, monkeypatch):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DrawingError, match="Chromium is missing"):
        write_svgs({tmp_path / "x.svg": go.Figure()})
