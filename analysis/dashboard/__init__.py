"""The Analysis tab and the static report: what was measured, drawn from the results folder."""
