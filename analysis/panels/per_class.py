"""How well a system finds each class: precision, recall, F1, and the curves of its ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.figures.curves import precision_recall_figure, roc_figure
from analysis.figures.intervals import MEASURE_TITLES, class_dots, guessing
from analysis.panels.base import (
    SYSTEM,
    CellKey,
    Exhibit,
    Panel,
    cells_with,
    scored_on,
    system_title,
)
from analysis.panels.class_words import auc_finding, precision_finding, recall_finding
from analysis.stats.per_class import (
    ANSWERED,
    RANKED,
    ClassScores,
    Curve,
    precision_recall_curve,
    roc_curve,
    thinned,
)
from analysis.stats.recordings import label_numbers, probabilities_of
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import Estimate, words

POINTS = (
    "At random each class is answered as often as any other. Recall alone rewards answering a "
    "class often; read it beside the precision. Undefined (–): a class that is never answered has "
    "no precision, one that does not occur has no recall."
)
CURVES = (
    "The probabilities of all folds (and seeds) are ranked together as they are. That alone pushes "
    "an area below that of guessing where nothing is learnt: of a class that is tested much in a "
    "fold, little was left to learn from (Parker et al. 2007). A click on a name hides its curve."
)


def per_class(found: FoundRuns, cell: CellKey, system: str) -> tuple[Exhibit, ...]:
    """The table with its points, the ROC curves, the precision-recall curves."""
    run = found.of(*cell)[system]
    scores, name = run.class_scores, f"{cell.dataset}-{cell.protocol}-{system}"
    rocs, precision_recalls = (_curves(run, of) for of in (roc_curve, precision_recall_curve))
    chance = run.evaluation.chance
    return (
        Exhibit(
            f"per-class-{name}",
            recall_finding(system_title(system), scores, chance),
            score_data(scores, chance),
            class_dots(scores, chance),
            score_table(scores),
            f"{scored_on(run)} {POINTS}",
        ),
        Exhibit(
            f"roc-{name}",
            auc_finding(scores),
            _curve_data(rocs, "false_positive_rate", "true_positive_rate"),
            roc_figure(rocs, scores),
            note=f"Each class against the rest, with the area under its curve. {CURVES}",
        ),
        Exhibit(
            f"precision-recall-{name}",
            precision_finding(scores),
            _curve_data(precision_recalls, "recall", "precision").assign(
                share=lambda data: data["class"].map({own.label: own.share for own in scores})
            ),
            precision_recall_figure(precision_recalls, scores),
            note="Each class against the rest, with its average precision; the thin line is its "
            "share of the recordings, where guessing lies. With few recordings of a class its "
            f"average precision tends to be too high, resampled ones more so. {CURVES}",
        ),
    )


def score_data(scores: Sequence[ClassScores], chance: float) -> pd.DataFrame:
    """A row for each class and measure."""
    rows = [
        {
            "class": own.label,
            "recordings": own.support,
            "measure": measure,
            "value": e.value,
            "low": e.low,
            "high": e.high,
            "at_random": _at_random(own, measure, chance),
        }
        for own in scores
        for measure, e in own.measures.items()
    ]
    return pd.DataFrame(rows)


def _at_random(own: ClassScores, measure: str, chance: float) -> float:
    if not own.support:
        return float("nan")
    ranked = {"auc": 0.5, "average_precision": own.share}
    return ranked[measure] if measure in RANKED else guessing(measure, own.share, chance)


def score_table(scores: Sequence[ClassScores]) -> pd.DataFrame:
    """A row for each class, with intervals; of one width, so that text sorts as numbers do."""
    return pd.DataFrame(
        {
            "Class": [words(own.label) for own in scores],
            "Recordings": [own.support for own in scores],
            **{
                _capital(MEASURE_TITLES[measure]): [_text(own.measures[measure]) for own in scores]
                for measure in (*ANSWERED, *RANKED)
            },
        }
    )


def _capital(title: str) -> str:
    return title[0].upper() + title[1:]


def _text(e: Estimate) -> str:
    return "–" if np.isnan(e.value) else f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]"


def _curves(run: MeasuredRun, curve_of: Callable[..., Curve | None]) -> dict[str, Curve]:
    truth = label_numbers(run.recordings, run.labels)
    probabilities = probabilities_of(run.recordings, run.labels)
    found = {label: curve_of(truth == c, probabilities[:, c]) for c, label in enumerate(run.labels)}
    return {label: thinned(curve) for label, curve in found.items() if curve is not None}


def _curve_data(curves: Mapping[str, Curve], x: str, y: str) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"class": label, x: curve.x.round(5), y: curve.y.round(5)})
        for label, curve in curves.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["class", x, y])


PER_CLASS = Panel(
    name="per-class",
    title="Per class",
    lead="Which reasons a system finds and which it misses, and whether its probabilities put the "
    "right recordings first.",
    draw=per_class,
    cells=cells_with,
    places=3,
    selectors=(SYSTEM,),
)
