"""Show the performance per class: precision, recall, F1, ROC and precision-recall curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.figures.curves import precision_recall_figure, roc_figure
from analysis.figures.intervals import MEASURE_TITLES, class_dots
from analysis.panels import base
from analysis.stats.per_class import (
    ANSWERED,
    Curve,
    class_scores,
    precision_recall_curve,
    roc_curve,
    thinned,
)
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import words

DRAWS, FEW_DRAWS = 1000, 100
"""Bootstrap resamples for few classes, and for many."""
POINTS = (
    "Recall: the share of a class's recordings that get its label. Precision: the share of "
    "answers with this label that are right. F1: the harmonic mean of both. Grey marks: "
    "the score of a random label. Recall alone rewards predicting a class often, "
    "so read it with the precision. A dash means undefined: a class that is never predicted has "
    "no precision, one that does not occur has no recall."
)
CURVES = (
    "The probabilities of all folds and seeds are ranked together. If nothing was learned, this "
    "alone pushes the area below chance, because a class that is frequent in a test fold was rare "
    "in its training folds (Parker et al. 2007). Click a name to hide its curve."
)
ROC = (
    "Each class against the rest, with the area under its curve (AUC) in the legend: how often a "
    f"recording of the class gets a higher probability for it than another one. {CURVES}"
)
PRECISION = (
    "Each class against the rest, with its average precision in the legend: the mean precision "
    "over all levels of recall. The thin line is the share of the class, the chance level. With "
    f"few recordings of a class the average precision tends to be too high. {CURVES}"
)


def per_class(found: FoundRuns, cell: base.CellKey, system: str) -> tuple[base.Exhibit, ...]:
    """Draw the scores with their table, the ROC curves and the precision-recall curves."""
    run = found.of(*cell)[system]
    name, title = f"{cell.dataset}-{cell.protocol}-{system}", base.system_title(system)
    labels, told = base.shown_classes(run)
    draws = DRAWS if labels == run.labels else FEW_DRAWS
    scores = with_chance(class_scores(run.recordings, run.labels, draws), run.evaluation.chance)
    if not run.scored:
        ranked = scores["measure"].isin(["auc", "average_precision"])
        scores.loc[ranked, ["value", "low", "high"]] = np.nan
    points = base.Exhibit(
        f"per-class-{name}",
        f"Recall, precision and F1 of each class: {title}",
        scores.drop(columns="share"),
        class_dots(scores[scores["class"].isin(labels)], ANSWERED),
        score_table(scores),
        f"{base.scored_on(run)}\n\n{told}{POINTS}",
    )
    if not run.scored:
        return (points,)
    rocs = curve_data(run, labels, roc_curve, "false_positive_rate", "true_positive_rate")
    precisions = curve_data(run, labels, precision_recall_curve, "recall", "precision")
    shares = scores.drop_duplicates("class").set_index("class")["share"]
    precisions["share"] = precisions["class"].map(shares).round(5)
    return (
        points,
        base.Exhibit(
            f"roc-{name}",
            f"ROC curves: {title}",
            rocs,
            roc_figure(_named(rocs, scores, "auc"), run.labels),
            note=f"Macro AUC {run.evaluation.metrics['macro_auc']}, chance 0.500.\n\n{told}{ROC}",
        ),
        base.Exhibit(
            f"precision-recall-{name}",
            f"Precision-recall curves: {title}",
            precisions,
            precision_recall_figure(_named(precisions, scores, "average_precision"), run.labels),
            note=f"{told}{PRECISION}",
        ),
    )


def with_chance(scores: pd.DataFrame, chance: float) -> pd.DataFrame:
    """Add ``at_random``: the score of a random label; NaN if the class does not occur."""
    share = scores["share"].where(scores["recordings"] > 0)
    levels = {
        "recall": 0 * share + chance,
        "precision": share,
        "f1": 2 * share * chance / (share + chance),
        "auc": 0 * share + 0.5,
        "average_precision": share,
    }
    at_random = pd.concat([levels[m][scores["measure"] == m] for m in levels])
    return scores.assign(at_random=at_random)


def score_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row per class, for reading."""
    texts = scores.assign(text=base.interval_texts(scores)).pivot(
        index="class", columns="measure", values="text"
    )
    classes = scores.drop_duplicates("class")
    table = {"Class": classes["class"].map(words), "Recordings": classes["recordings"]}
    for measure, title in MEASURE_TITLES.items():
        table[title[0].upper() + title[1:]] = classes["class"].map(texts[measure])
    return pd.DataFrame(table)


def curve_data(
    run: MeasuredRun, classes: Sequence[str], curve_of: Callable[..., Curve | None], x: str, y: str
) -> pd.DataFrame:
    """Return the points of the curves of these classes: columns class, ``x`` and ``y``."""
    parts = []
    for label in classes:
        positive = (run.recordings["label"] == label).to_numpy()
        curve = curve_of(positive, run.recordings[f"p_{label}"].to_numpy())
        if curve is not None:
            points = dict(zip((x, y), thinned(curve), strict=True))
            parts.append(pd.DataFrame({"class": label, **points}).round(4))
    return pd.concat(parts, ignore_index=True)


def _named(curves: pd.DataFrame, scores: pd.DataFrame, area: str) -> pd.DataFrame:
    """Add legend names: the class and the area under its curve."""
    areas = scores[scores["measure"] == area]
    names = areas["class"].map(words) + " " + base.interval_texts(areas)
    return curves.assign(name=curves["class"].map(dict(zip(areas["class"], names, strict=True))))


PER_CLASS = base.Panel(
    name="per-class",
    title="Per class",
    lead="Which classes a model finds and which it misses, and how well its probabilities rank the "
    "recordings of a class.",
    draw=per_class,
    cells=base.cells_with,
    selectors=(base.SYSTEM,),
)
