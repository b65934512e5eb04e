"""Draw tables as Plotly figures."""
