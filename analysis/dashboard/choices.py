"""What several panels let a visitor choose, and what they say about the run that is chosen."""

from __future__ import annotations

from analysis.dashboard.panel import Selector
from analysis.dashboard.systems import systems_there
from analysis.measured_run import MeasuredRun
from cry_model.records import group_name

SYSTEM = Selector("system", "System", systems_there)


def scored_on(run: MeasuredRun) -> str:
    """On what a run was scored and what its intervals resample, in two sentences."""
    e, group = run.evaluation, group_name(run.dataset)
    each = "" if group.startswith("group") else f", each one {group}"
    seeds = "one seed" if len(e.seeds) == 1 else f"{len(e.seeds)} seeds, whose rows are pooled"
    return (
        f"{e.recordings} recordings, `{run.protocol}` protocol, {e.split}, {seeds}. "
        f"Intervals: 95 %, of 1,000 resamplings of the {e.groups} groups{each}."
    )
