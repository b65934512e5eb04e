"""Figures as SVG files, drawn by Plotly's own script in a Chromium.

Playwright is what the tests drive the page with; Plotly's exporter (kaleido) would be a second way
to find and start the same browser.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import plotly.graph_objects as go

DRAW = """async (figure) => {
  const element = document.createElement("div");
  document.body.append(element);
  await Plotly.newPlot(element, figure.data, figure.layout, { staticPlot: true });
  return await Plotly.toImage(element, { format: "svg" });
}"""
HEADER = "data:image/svg+xml,"


class DrawingError(RuntimeError):
    """The figures could not be drawn; one sentence says what is missing."""


def write_svgs(figures: Mapping[Path, go.Figure]) -> None:
    """Draws each figure into its file, in the width and height of its layout.

    Raises:
        DrawingError: if Playwright or Chromium is not installed.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise DrawingError("Playwright is missing; pip install -r requirements-dev.txt.") from error
    from plotly.offline import get_plotlyjs

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise DrawingError("Chromium is missing; apt-get install chromium, or set CHROMIUM.")

    def draw() -> dict[Path, str]:
        with sync_playwright() as running:
            browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            page.add_script_tag(content=get_plotlyjs())
            found = {path: page.evaluate(DRAW, _named(f)) for path, f in figures.items()}
            browser.close()
            return found

    try:
        with ThreadPoolExecutor(1) as apart:  # the caller's thread may have an event loop
            drawn = apart.submit(draw).result()
    except Error as error:
        raise DrawingError(f"Chromium did not draw the figures: {error.message}") from error
    for path, address in drawn.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_plain(address, path.stem), encoding="utf-8")


def _named(figure: go.Figure) -> dict[str, Any]:
    """The figure for Plotly's script; a trace without a name of its own would get a random one."""
    drawn = figure.to_plotly_json()
    for number, trace in enumerate(drawn["data"]):
        trace["uid"] = f"{number}"
    return drawn


def _plain(address: str, name: str) -> str:
    """The SVG of a data address, the same however often it is drawn.

    Plotly puts a random word into every id; the name of the file takes its place.
    """
    drawing = unquote(address.removeprefix(HEADER))
    for word in set(re.findall(r'id="defs-([0-9a-f]{6})"', drawing)):
        drawing = drawing.replace(word, name)
    return drawing + "\n"
