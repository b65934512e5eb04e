"""``chance.json`` beside the runs of a protocol: what it gives where labels hardly go with sound.

``python -m train chance`` writes it; :mod:`train.chance` describes its fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.guessing import SCORES
from analysis.measured_run import MeasuredRun
from analysis.run_tables import ResultsError
from analysis.yardsticks import Yardstick
from cry_model.records import Estimate
from cry_model.run_files import read_object

CHANCE = "chance.json"
DEALT = "labels_dealt_out"
TITLE = "linear classifier, labels dealt out anew"


@dataclass(frozen=True)
class Level:
    """A score of a linear classifier.

    Attributes:
        value: with the true labels.
        dealt: with labels that are dealt out anew among groups, the mean and the middle 95 %.
        p: how often dealt labels score at least as well, the true ones counted among them.
    """

    value: float
    dealt: Estimate
    p: float


@dataclass(frozen=True)
class ChanceLevel:
    """Of one dataset under one protocol.

    Attributes:
        folds, seed: of the splits.
        shuffles: how often labels were dealt out.
        front_end: the kind of bands that were heard.
        kept: share of the recordings of each label that got it again, the mean over the labels.
        scores: each metric of :data:`analysis.guessing.SCORES` -> its :class:`Level`.
    """

    folds: int
    seed: int
    shuffles: int
    front_end: str
    kept: float
    scores: Mapping[str, Level]


def read_chance(run: MeasuredRun) -> ChanceLevel | None:
    """What was measured on the dataset and under the protocol of a run, in as many folds.

    Returns:
        None if that was not.

    Raises:
        ResultsError: if the file is malformed.
    """
    path = run.folder.parent / CHANCE
    if not path.is_file():
        return None
    try:
        level = _level(read_object(path))
    except (AttributeError, KeyError, OSError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ResultsError(
            f"{path} is not as train chance writes it ({error!r}); write it again."
        ) from error
    return level if level.folds == run.folds else None


def _level(record: Mapping[str, Any]) -> ChanceLevel:
    kept = [float(share) for share in record["kept"].values()]
    measured = {name: record["scores"][name] for name in SCORES}
    return ChanceLevel(
        folds=int(record["folds"]),
        seed=int(record["seed"]),
        shuffles=int(record["shuffles"]),
        front_end=str(record["front_end"]),
        kept=sum(kept) / len(kept),
        scores={
            name: Level(
                float(one["value"]),
                Estimate(*(float(one[end]) for end in ("mean", "low", "high"))),
                float(one["p"]),
            )
            for name, one in measured.items()
        },
    )


def dealt(runs: Sequence[MeasuredRun], metric: str) -> tuple[Yardstick, ...]:
    """What dealt labels score under each protocol of the runs; of what was not asked, nothing.

    Args:
        runs: any.
        metric: one of :data:`analysis.guessing.SCORES`.
    """
    found = []
    for run in {run.folder.parent: run for run in runs}.values():
        level = read_chance(run)
        if level is not None:
            told = level.scores[metric].dealt
            found.append(Yardstick(DEALT, TITLE, run.dataset, run.protocol, told))
    return tuple(found)
