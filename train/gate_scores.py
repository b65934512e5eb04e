"""What a gate's scores say: its threshold, and rates on sounds that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cry_model.metrics import auc, bootstrap, mean
from cry_model.records import Estimate, GateRecord, percent
from train.datasets.esc10 import LABELS as ESC10
from train.datasets.gate import CRY

ACCEPTED = 0.95
"""Share of the cries that the threshold lets pass."""


@dataclass(frozen=True)
class GateScore:
    """A gate on held-out recordings, one score each.

    Attributes:
        threshold: that which :data:`ACCEPTED` of ESC-10's held-out cries reach. Those are labelled
            by who heard them; in Donate-a-Cry there is a cry wherever a parent pressed a button.
        area: AUC on ESC-10, cries against its nine other classes, in its own folds.
        accepted, false_accepts: share of ESC-10's cries, and of its other sounds, that reach the
            threshold.
        area_all: AUC on everything.
        kinds: kind of recording -> share that reaches the threshold.
        mixed: decibels that a cry lies above another sound -> share that still reaches it.
        unheard: kinds that a gate was fitted without -> share of them that it accepts.
    """

    threshold: float
    area: Estimate
    accepted: Estimate
    false_accepts: Estimate
    area_all: Estimate
    kinds: dict[str, float] = field(default_factory=dict)
    mixed: dict[str, float] = field(default_factory=dict)
    unheard: dict[str, float] = field(default_factory=dict)

    def record(self) -> GateRecord:
        """What of it goes with the weights."""
        return GateRecord(
            self.threshold, self.accepted, self.false_accepts, self.area, dict(self.unheard)
        )


def summarise(table: pd.DataFrame) -> GateScore:
    """Scores the rows of ``scores.csv``.

    Args:
        table: recording, kind, group, label, score; ``without`` names the kinds that the gate was
            fitted without (empty for the folds), ``snr_db`` is empty where nothing was mixed.
    """
    folds = table[table["without"] == ""]
    plain = folds[folds["snr_db"] == ""]
    esc = plain[plain["kind"].isin(ESC10)]
    cries, others = esc[esc["label"] == CRY], esc[esc["label"] != CRY]
    threshold = lower_quantile(cries["score"])
    passes = plain.assign(passes=plain["score"] >= threshold)
    mixed = folds[folds["snr_db"] != ""]
    mixed = mixed.assign(passes=mixed["score"] >= threshold, snr_db=mixed["snr_db"].astype(float))
    unheard = table[table["without"] != ""]
    unheard = unheard.assign(passes=unheard["score"] >= threshold)
    return GateScore(
        threshold=threshold,
        area=_area(esc),
        accepted=_share(cries, threshold),
        false_accepts=_share(others, threshold),
        area_all=_area(plain),
        kinds=_by(passes, "kind"),
        mixed={f"{snr:g}": share for snr, share in _by(mixed, "snr_db").items()},
        unheard=_by(unheard, "without"),
    )


def lower_quantile(scores: pd.Series) -> float:
    """The greatest threshold that at least :data:`ACCEPTED` of the scores reach."""
    ranked = np.sort(scores.to_numpy())
    return float(ranked[len(ranked) - int(np.ceil(ACCEPTED * len(ranked)))])


def describe(score: GateScore) -> str:
    """The numbers as a few lines of text."""
    rows: list[tuple[str, Estimate]] = [
        ("ESC-10, area under the ROC curve", score.area),
        ("ESC-10, cries accepted", score.accepted),
        ("ESC-10, other sounds accepted", score.false_accepts),
        ("everything, area under the ROC curve", score.area_all),
    ]
    lines = [f"threshold {score.threshold:.3f}"]
    lines += [f"  {name:38} {e.value:.3f}  [{e.low:.3f}, {e.high:.3f}]" for name, e in rows]
    for name, shares in (
        ("accepted", score.kinds),
        ("a cry so many dB above another sound is accepted", score.mixed),
        ("accepted by a gate that was fitted without them", score.unheard),
    ):
        if shares:
            lines.append(f"  {name}: " + ", ".join(f"{k} {percent(v)}" for k, v in shares.items()))
    return "\n".join(lines)


def _by(table: pd.DataFrame, column: str) -> dict[str, float]:
    return table.groupby(column, sort=False)["passes"].mean().to_dict()


def _share(table: pd.DataFrame, threshold: float) -> Estimate:
    return mean((table["score"] >= threshold).to_numpy(dtype=float), table["group"].tolist())


def _area(table: pd.DataFrame) -> Estimate:
    labels = (table["label"] == CRY).to_numpy()
    metric: Callable = lambda y, rows, weights: auc(y == 1, rows[:, 0], weights)  # noqa: E731
    return bootstrap(
        metric, labels.astype(np.int64), table[["score"]].to_numpy(), table["group"].tolist()
    )
