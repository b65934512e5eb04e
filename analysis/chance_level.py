"""``chance.json`` beside the runs of a protocol: what it gives where labels say nothing.

``python -m train chance`` writes it; :mod:`train.chance` describes its fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.measured_run import MeasuredRun
from analysis.run_tables import ResultsError
from analysis.yardsticks import Yardstick
from cry_model.evaluation import Estimate

CHANCE = "chance.json"
DEALT = "labels_dealt_out"


@dataclass(frozen=True)
class Level:
    """A score of a linear classifier.

    Attributes:
        value: with the true labels.
        dealt: with labels that are dealt out anew among groups, the mean and the middle 95 %.
        p: how often dealt labels score at least as well.
    """

    value: float
    dealt: Estimate
    p: float


@dataclass(frozen=True)
class ChanceLevel:
    """Of one dataset under one protocol.

    Attributes:
        shuffles: how often labels were dealt out.
        scores: metric -> its :class:`Level`.
    """

    shuffles: int
    scores: Mapping[str, Level]


def read_chance(folder: Path) -> ChanceLevel | None:
    """What was measured; None if it was not.

    Args:
        folder: of a protocol, which holds those of its runs.

    Raises:
        ResultsError: if the file is malformed.
    """
    path = folder / CHANCE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        scores = {
            name: Level(one["value"], Estimate(one["mean"], one["low"], one["high"]), one["p"])
            for name, one in record["scores"].items()
        }
        return ChanceLevel(int(record["shuffles"]), scores)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path} is not as train chance writes it ({error!r}); write it again."
        ) from error


def dealt(runs: Sequence[MeasuredRun], metric: str) -> tuple[Yardstick, ...]:
    """What dealt labels score under each protocol of the runs; of what was not asked, nothing."""
    found = []
    for folder, run in {run.folder.parent: run for run in runs}.items():
        level = read_chance(folder)
        if level is not None and metric in level.scores:
            told = level.scores[metric].dealt
            found.append(Yardstick(DEALT, run.dataset, run.protocol, told))
    return tuple(found)
