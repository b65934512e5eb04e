"""Turn the scores of held-out recordings into what is said of a detector, beside the tagger."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cry_model.metrics import bootstrap, mean
from cry_model.records import DetectorRecord, Estimate
from cry_model.results import DamagedFileError, read_table, require_columns, require_unique
from train.data import synthetic_sounds
from train.data.datasets.detector import APP_CRY, CRY, ESC_CRY, OTHER
from train.scoring import results

TABLE = "scores.csv"
NUMBERS = ("fold", "score", "tagger", "seconds")
MAY_BE_EMPTY = ("label", "condition", "without", "stretches", "tagger_stretches")
ACCEPTED, CERTAIN = 0.97, 0.99  # share of the cries that reach the threshold, and "maybe"
SYNTHETIC = {kind: f"{kind} (synthetic)" for kind in synthetic_sounds.KINDS}
DOUBTED = 0.05  # share of the other sounds that may reach "maybe"
TAGGED = 0.5  # an upload is a cry for certain where the tagger hears one with this probability
STRETCH = 5.0  # s, in which false alarms count once
ONSETS = "onset"  # the condition whose stretches are of growing time since the onset


def read_scores(folder: Path) -> pd.DataFrame:
    """Read ``scores.csv``, empty if there is none yet; raise DataError if it is damaged."""
    path = folder / TABLE
    if not path.exists():
        return pd.DataFrame()
    with results.trusting(path):
        table = read_table(path)
        require_columns(table, ("recording", "kind", "group"), numbers=NUMBERS)
        if missing := [name for name in MAY_BE_EMPTY if name not in table]:
            raise DamagedFileError(f"is damaged: it has no column {', '.join(missing)}")
        require_unique(table, "fold", "without", "condition", "recording")
        return table


@dataclass(frozen=True)
class DetectorScore:
    """A detector on held-out recordings: shares that reach the threshold, the tagger's beside them.

    Cries are those of ESC-10, and the uploads in which the tagger hears one; in others there may be
    none.
    """

    threshold: float  # ACCEPTED of the held-out cries reach it
    maybe: float  # CERTAIN of them reach it, unless more than DOUBTED of the other sounds do
    area: Estimate  # AUC of those cries against all other sounds
    accepted: Estimate
    false_accepts: Estimate
    tagger_area: Estimate  # of YAMNet
    tagger_false_accepts: Estimate  # where it accepts as many cries
    kinds: dict[str, tuple[float, float]] = field(default_factory=dict)
    conditions: dict[str, tuple[float, float]] = field(default_factory=dict)
    unheard: dict[str, float] = field(default_factory=dict)  # families left out of the fit
    alarms_per_hour: tuple[float, float] = (0.0, 0.0)  # stretches of STRETCH of other sound
    delay: float | None = None  # median seconds from the onset of a cry; None if most are missed

    def record(self) -> DetectorRecord:
        """Return what of it goes with the weights."""
        return DetectorRecord(
            self.threshold,
            self.accepted,
            self.false_accepts,
            self.area,
            dict(self.unheard),
            self.maybe,
            {kind: own for kind, (own, _) in self.kinds.items()},
            {name: own for name, (own, _) in self.conditions.items()},
            self.tagger_false_accepts.value,
            self.alarms_per_hour[0],
            self.delay,
        )


def summarise(table: pd.DataFrame) -> DetectorScore:
    """Score the rows of ``scores.csv``: ``condition`` is empty where nothing was changed,
    ``without`` names the family that the detector was fitted without (empty for the folds)."""
    folds = table[table["without"] == ""]
    plain = folds[folds["condition"] == ""]
    certain = (plain["kind"] == ESC_CRY) | (
        (plain["kind"] == APP_CRY) & (plain["tagger"] >= TAGGED)
    )
    cries, others = plain[certain], plain[plain["label"] == OTHER]
    threshold, level = (lower_quantile(cries[name], ACCEPTED) for name in ("score", "tagger"))
    maybe = max(lower_quantile(cries["score"], CERTAIN), lower_quantile(others["score"], DOUBTED))
    passes = folds.assign(passes=folds["score"] >= threshold, tagged=folds["tagger"] >= level)
    changed = passes[(passes["condition"] != "") & (passes["condition"] != ONSETS)]
    unheard = table[table["without"] != ""]
    unheard = unheard.assign(passes=unheard["score"] >= threshold)
    hours = others["seconds"].sum() / 3600
    both = (("stretches", threshold), ("tagger_stretches", level))
    alarms = [sum((v >= limit).sum() for v in others[name].map(numbers)) for name, limit in both]
    onsets = folds[folds["condition"] == ONSETS]["stretches"].map(numbers)
    return DetectorScore(
        threshold=threshold,
        maybe=min(threshold, maybe),
        area=_area(pd.concat([cries, others]), "score"),
        accepted=_share(cries, "score", threshold),
        false_accepts=_share(others, "score", threshold),
        tagger_area=_area(pd.concat([cries, others]), "tagger"),
        tagger_false_accepts=_share(others, "tagger", level),
        kinds=_by(passes[passes["condition"] == ""].replace({"kind": SYNTHETIC}), "kind"),
        conditions=_by(changed, "condition"),
        unheard=unheard.groupby("without", sort=False)["passes"].mean().to_dict(),
        alarms_per_hour=tuple(float(count / hours) for count in alarms) if hours else (0.0, 0.0),
        delay=_delay(onsets, threshold),
    )


def lower_quantile(scores: pd.Series, share: float) -> float:
    """Return the greatest threshold that at least ``share`` of the scores reach."""
    ranked = np.sort(scores.to_numpy())
    return float(ranked[len(ranked) - int(np.ceil(share * len(ranked)))])


def numbers(text: str) -> np.ndarray:
    """Return the numbers of a cell of the table."""
    return np.array(str(text).split(), dtype=float)


def _delay(onsets: pd.Series, threshold: float) -> float | None:
    """Return the median seconds to the first score, one every half, at the threshold."""
    first = [np.flatnonzero(scores >= threshold) for scores in onsets]
    seconds = [0.5 * (at[0] + 1) if len(at) else np.inf for at in first]
    median = float(np.median(seconds)) if seconds else np.inf
    return median if np.isfinite(median) else None


def _by(table: pd.DataFrame, column: str) -> dict[str, tuple[float, float]]:
    shares = table.groupby(column, sort=False)[["passes", "tagged"]].mean()
    return {name: (float(own), float(theirs)) for name, own, theirs in shares.itertuples()}


def _share(table: pd.DataFrame, column: str, threshold: float) -> Estimate:
    reached = (table[column] >= threshold).to_numpy(dtype=float)
    return mean(reached, table["group"].tolist())


def _area(table: pd.DataFrame, column: str) -> Estimate:
    labels, score = (table["label"] == CRY).to_numpy(np.int64), table[column].to_numpy()
    both = np.column_stack([-score, score])  # of two classes, both areas are the same
    return bootstrap("macro_auc", labels, both, table["group"].tolist())


def describe(score: DetectorScore) -> str:
    """Return the numbers as lines of text; of a pair, the second is YAMNet's."""

    def text(value: object) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name} {text(one)}" for name, one in value.items())
        return "/".join(map(text, value)) if isinstance(value, tuple) else f"{value:.3f}"

    plain = {name: value for name, value in vars(score).items() if value is not None}
    return "\n".join(
        f"{name:22} {value if isinstance(value, Estimate) else text(value)}"
        for name, value in plain.items()
    )
