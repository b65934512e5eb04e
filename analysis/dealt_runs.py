"""Systems that were fitted to labels dealt out anew: ``shuffled-*/`` beside the run's own files.

What ``python -m train fit --shuffle-labels SEED`` writes, put there by whoever keeps the results.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.chance_level import dealt
from analysis.measured_run import MeasuredRun
from analysis.run_tables import ResultsError
from analysis.runs import read_run
from analysis.yardsticks import Yardstick
from cry_model.records import Estimate
from cry_model.registry import get_system
from cry_model.run_files import RUN

FITTED = "fitted_to_dealt_"
"""How the names of the yardsticks begin; a system's follows."""


def dealt_runs(run: MeasuredRun) -> tuple[MeasuredRun, ...]:
    """The same system under the same split, with other labels: a run for each dealing, often none.

    Raises:
        ResultsError: if one is malformed, unfinished or of something else.
    """
    found = []
    for path in sorted(run.folder.glob(f"shuffled-*/{RUN}")):
        dealt = read_run(path.parent)
        same = ("dataset", "protocol", "system", "folds", "settings", "preset")
        if any(getattr(dealt, name) != getattr(run, name) for name in same):
            raise ResultsError(f"{path.parent} was not fitted as {run.folder} was; move it away.")
        found.append(dealt)
    return tuple(found)


def fitted_to_dealt(runs: Sequence[MeasuredRun], metric: str) -> tuple[Yardstick, ...]:
    """What each run's dealings score, to stand beside it."""
    return tuple(
        Yardstick(
            name=f"{FITTED}{run.system}",
            title=f"{get_system(run.system).title}, labels dealt out anew{_how_many(found)}",
            dataset=run.dataset,
            protocol=run.protocol,
            estimate=_together([one.evaluation.metrics[metric] for one in found]),
        )
        for run in runs
        if (found := dealt_runs(run))
    )


def _how_many(found: Sequence[MeasuredRun]) -> str:
    return f" (mean and range of {len(found)})" if len(found) > 1 else ""


def _together(scores: Sequence[Estimate]) -> Estimate:
    """Of one dealing its interval; of several their mean, the least and the greatest."""
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores]
    return Estimate(sum(values) / len(values), min(values), max(values))


def without_truth(runs: Sequence[MeasuredRun], metric: str) -> tuple[Yardstick, ...]:
    """All that was scored beside these runs with labels that were dealt out anew.

    Raises:
        ResultsError: if a file of them is malformed.
    """
    return *dealt(runs, metric), *fitted_to_dealt(runs, metric)
