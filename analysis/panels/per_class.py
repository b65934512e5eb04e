"""Show how well a model finds each class: precision, recall, F1, and the curves of its ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.figures.curves import precision_recall_figure, roc_figure
from analysis.figures.intervals import MEASURE_TITLES, class_dots
from analysis.panels.base import (
    SYSTEM,
    CellKey,
    Exhibit,
    Panel,
    cells_with,
    scored_on,
    system_title,
)
from analysis.stats.per_class import (
    ANSWERED,
    RANKED,
    ClassScores,
    Curve,
    precision_recall_curve,
    roc_curve,
    thinned,
)
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import Estimate, words
from cry_model.results import label_numbers, probabilities_of

POINTS = (
    "The grey marks are what choosing a label at random would score. Recall alone rewards "
    "predicting a class often, so read it with the precision. A dash means undefined: a class that "
    "is never predicted has no precision, one that does not occur has no recall."
)
CURVES = (
    "The probabilities of all folds and seeds are ranked together. Where nothing is learnt, this "
    "alone pushes the area below chance, because a class that is frequent in a test fold was rare "
    "in its training folds (Parker et al. 2007). Click a name to hide its curve."
)
ROC = f"Each class against the rest, with the area under its curve in the legend. {CURVES}"
PRECISION = (
    "Each class against the rest, with its average precision in the legend. The thin line is the "
    "share of the class, the chance level. With few recordings of a class the average precision "
    f"tends to be too high. {CURVES}"
)


def per_class(found: FoundRuns, cell: CellKey, system: str) -> tuple[Exhibit, ...]:
    """Draw the scores with their table, the ROC curves and the precision-recall curves."""
    run = found.of(*cell)[system]
    scores, name = run.class_scores, f"{cell.dataset}-{cell.protocol}-{system}"
    chance, title = run.evaluation.chance, system_title(system)
    rocs = curve_data(run, roc_curve, "false_positive_rate", "true_positive_rate")
    precisions = curve_data(run, precision_recall_curve, "recall", "precision")
    precisions["share"] = precisions["class"].map({own.label: own.share for own in scores})
    return (
        Exhibit(
            f"per-class-{name}",
            f"Recall, precision and F1 of each class: {title}",
            score_data(scores, chance),
            class_dots(score_data(scores, chance), ANSWERED),
            score_table(scores),
            f"{scored_on(run)}\n\n{POINTS}",
        ),
        Exhibit(
            f"roc-{name}",
            f"ROC curves: {title}",
            rocs,
            roc_figure(_named(rocs, scores, "auc"), run.labels),
            note=f"Macro AUC {run.evaluation.metrics['macro_auc']}, chance 0.500.\n\n{ROC}",
        ),
        Exhibit(
            f"precision-recall-{name}",
            f"Precision-recall curves: {title}",
            precisions,
            precision_recall_figure(_named(precisions, scores, "average_precision"), run.labels),
            note=PRECISION,
        ),
    )


def score_data(scores: Sequence[ClassScores], chance: float) -> pd.DataFrame:
    """Return a row for each class and measure."""
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
    return {
        "recall": chance,
        "precision": own.share,
        "f1": 2 * own.share * chance / (own.share + chance),
        "auc": 0.5,
        "average_precision": own.share,
    }[measure]


def score_table(scores: Sequence[ClassScores]) -> pd.DataFrame:
    """Return a row for each class; texts are of one width, so that they sort as numbers do."""
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


def curve_data(
    run: MeasuredRun, curve_of: Callable[..., Curve | None], x: str, y: str
) -> pd.DataFrame:
    """Return the points of the curve of each class that has one: columns class, ``x`` and ``y``."""
    truth = label_numbers(run.recordings, run.labels)
    probabilities = probabilities_of(run.recordings, run.labels)
    parts = [pd.DataFrame(columns=["class", x, y])]
    for number, label in enumerate(run.labels):
        curve = curve_of(truth == number, probabilities[:, number])
        if curve is not None:
            points = dict(zip((x, y), thinned(curve), strict=True))
            parts.append(pd.DataFrame({"class": label, **points}).round(5))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _named(curves: pd.DataFrame, scores: Sequence[ClassScores], area: str) -> pd.DataFrame:
    """Add what the legend says: the class and the area under its curve."""
    areas = {own.label: own.measures[area] for own in scores}
    names = {c: f"{words(c)} {e.value:.2f} [{e.low:.2f}, {e.high:.2f}]" for c, e in areas.items()}
    return curves.assign(name=curves["class"].map(names))


PER_CLASS = Panel(
    name="per-class",
    title="Per class",
    lead="Which classes a model finds and which it misses, and how well its probabilities rank the "
    "recordings of a class.",
    draw=per_class,
    cells=cells_with,
    places=3,
    selectors=(SYSTEM,),
)
