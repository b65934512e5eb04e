"""Evaluate a detector on its scores of held-out recordings, with the tagger as baseline."""

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
ACCEPTED, CERTAIN = 0.97, 0.99  # target recall at the threshold, and at the "maybe" threshold
SYNTHETIC = {kind: f"{kind} (synthetic)" for kind in synthetic_sounds.KINDS}
DOUBTED = 0.05  # false-positive rate allowed at the "maybe" threshold
TAGGED = 0.5  # least tagger probability at which an upload counts as a cry
STRETCH = 5.0  # s; several false alarms within one stretch count once
ONSETS = "onset"  # condition whose ``stretches`` are scores at increasing time after the onset


def read_scores(folder: Path) -> pd.DataFrame:
    """Read ``scores.csv``; return an empty table if it is missing; raise DataError if damaged."""
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
    """Held-out scores of a detector and of the tagger: shares of sounds above the threshold.

    Cries are those of ESC-10 and the uploads in which the tagger finds one; other uploads may have
    none.
    """

    threshold: float  # ACCEPTED of the held-out cries reach it
    maybe: float  # CERTAIN of them reach it, unless more than DOUBTED of the other sounds would
    area: Estimate  # ROC AUC of those cries against all other sounds
    accepted: Estimate  # recall at the threshold
    false_accepts: Estimate  # false-positive rate at the threshold
    tagger_area: Estimate  # of YAMNet
    tagger_false_accepts: Estimate  # of YAMNet at the same recall
    kinds: dict[str, tuple[float, float]] = field(default_factory=dict)
    conditions: dict[str, tuple[float, float]] = field(default_factory=dict)
    unheard: dict[str, float] = field(default_factory=dict)  # by family left out of training
    alarms_per_hour: tuple[float, float] = (0.0, 0.0)  # false alarms, in stretches of STRETCH
    delay: float | None = None  # median seconds from onset to detection; None if most are missed

    def record(self) -> DetectorRecord:
        """Return the record that is stored with the weights."""
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
    """Score the rows of ``scores.csv``: ``condition`` is empty for unmodified recordings,
    ``without`` is the family left out of training (empty for the folds)."""
    folds = table[table["without"] == ""]
    plain = folds[folds["condition"] == ""]
    certain = (plain["kind"] == ESC_CRY) | (
        (plain["kind"] == APP_CRY) & (plain["tagger"] >= TAGGED)
    )
    cries, others = plain[certain], plain[plain["label"] == OTHER]
    threshold, level = (lower_quantile(cries[name], ACCEPTED) for name in ("score", "tagger"))
    maybe = max(lower_quantile(cries["score"], CERTAIN), lower_quantile(others["score"], DOUBTED))
    passes = table.assign(passes=table["score"] >= threshold, tagged=table["tagger"] >= level)
    changed = ~passes["condition"].isin(["", ONSETS])
    unheard = passes[passes["without"] != ""].groupby("without", sort=False)["passes"]
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
        kinds=_by(passes.loc[plain.index].replace({"kind": SYNTHETIC}), "kind"),
        conditions=_by(passes[changed], "condition"),
        unheard=unheard.mean().to_dict(),
        alarms_per_hour=tuple(float(count / hours) for count in alarms) if hours else (0.0, 0.0),
        delay=_delay(onsets, threshold),
    )


def lower_quantile(scores: pd.Series, share: float) -> float:
    """Return the highest threshold that at least ``share`` of the scores reach."""
    return -float(np.quantile(-scores, share, method="inverted_cdf"))


def numbers(text: str) -> np.ndarray:
    """Parse the space-separated numbers in a cell of the table."""
    return np.array(str(text).split(), dtype=float)


def _delay(onsets: pd.Series, threshold: float) -> float | None:
    """Return the median seconds to the first score (two a second) that reaches the threshold."""
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
    both = np.column_stack([-score, score])  # with two classes, both have the same AUC
    return bootstrap("macro_auc", labels, both, table["group"].tolist())


def describe(score: DetectorScore) -> str:
    """Format the scores as lines of text; the second value of a pair is YAMNet's."""

    def text(value: object) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name} {text(one)}" for name, one in value.items())
        return "/".join(map(text, value)) if isinstance(value, tuple) else f"{value:.3f}"

    plain = {name: value for name, value in vars(score).items() if value is not None}
    return "\n".join(
        f"{name:22} {value if isinstance(value, Estimate) else text(value)}"
        for name, value in plain.items()
    )
