"""What a panel of the dashboard shows: a figure or a table, its finding, its data."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go


@dataclass(frozen=True)
class Exhibit:
    """One figure, one table, or both of the same.

    Attributes:
        name: what its downloads are called, without an ending: letters, digits and hyphens.
        title: what it shows, as a finding where there is one; plain text.
        data: all that the figure or the table was drawn from, a row for each mark.
        figure: None for a table alone.
        table: what is shown in rows; None for a figure alone.
        note: how it was measured and what it does not say; Markdown.
    """

    name: str
    title: str
    data: pd.DataFrame
    figure: go.Figure | None = None
    table: pd.DataFrame | None = None
    note: str = ""

    @property
    def csv(self) -> str:
        """The data as the download has it."""
        return self.data.to_csv(index=False)
