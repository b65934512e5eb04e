"""Compare the splits: how much of a score is due to recordings or babies seen in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import partial

import pandas as pd

from analysis.figures.curves import leakage_figure
from analysis.figures.intervals import difference_figure
from analysis.figures.theme import SYSTEM_COLOURS, signed
from analysis.panels import base
from analysis.stats.comparison import pair
from analysis.stats.paper import FULL
from analysis.stats.runs import (
    METRIC_TITLES,
    PROTOCOLS,
    SPLITS,
    Chance,
    FoundRuns,
    MeasuredRun,
    ResultsError,
    chance_level,
)
from analysis.stats.side_results import DEALT, FITTED, Baseline, baselines_of, without_truth
from cry_model.metrics import SCORES
from cry_model.networks.registry import list_models
from cry_model.records import Estimate

NOT_RUN = "not run"
SCORE_CAPTION = (
    "Each recording counts once, with its mean over segments. Random segments: other segments of "
    "the same recording were in training. New recordings: the whole recording was held out. Unseen "
    "babies: all recordings of a baby (or of a source, where none is named) were held out. "
    "Intervals: 95%, resampling babies or sources; all seeds of a model are pooled."
)
CORPUS_CAPTION = (
    "The recordings of this corpus appear to be halves of longer ones, and no baby is named. “New "
    "recordings” keeps those of one label and one length together; “random segments” may test a "
    "half whose other half was in training."
)
BASELINE_CAPTIONS = {
    "sample_rate": "The sample rate correlates with the label here: alone, without the "
    "sound, it is already better than chance.",
    DEALT: "Permuted labels: labels are permuted many times among babies (or sources) with equal "
    "numbers of recordings, for a linear classifier on the mean and deviation of each band (mean, "
    "2.5th to 97.5th percentile). If it beats chance, it recognises recordings or babies; a little "
    "comes from labels that a permutation leaves unchanged.",
    FITTED: "A model with permuted labels was fitted by the same recipe: one fit with its "
    "interval, or the mean of several with their range.",
}
LOSS_CAPTION = (
    "Paired by recording, in percentage points; the interval resamples babies or sources, the same "
    "for both splits. Each split has its own fits; the interval does not include the variation "
    "between seeds."
)


def score_data(
    runs: Sequence[MeasuredRun], metric: str, beside: Sequence[Baseline], level: Chance
) -> pd.DataFrame:
    """Return a row for each mark: models, baselines, and the line of the chance level."""
    rows = [
        ("system", run.system, run.protocol, *astuple(run.evaluation.metrics[metric]))
        for run in runs
    ]
    rows += [("beside", y.name, y.protocol, *astuple(y.estimate)) for y in beside]
    rows.append(("line", level.name, None, level.value, None, None))
    return pd.DataFrame(rows, columns=["mark", "name", "protocol", metric, "low", "high"])


def score_table(
    drawn: pd.DataFrame, metric: str, splits: Sequence[str], level: Chance
) -> pd.DataFrame:
    """Return a row for each model and baseline, and the chance level; a column for each split."""
    texts = drawn.assign(text=base.interval_texts(drawn, "{:.3f} [{:.3f}, {:.3f}]"))
    texts = texts.pivot(index="title", columns="split", values="text")
    table = texts.reindex(index=drawn["title"].unique(), columns=list(splits)).fillna(NOT_RUN)
    table.loc[level.name] = f"{level.value:.3f}"
    return table.rename_axis(index=METRIC_TITLES[metric], columns=None).reset_index()


def loss_data(pairs: Mapping[str, tuple[MeasuredRun, MeasuredRun]], metric: str) -> pd.DataFrame:
    """Return a row per model: the metric under the loose split minus that under the strict one;
    raise ComparisonError if the two runs of a model were not tested on the same recordings."""
    rows = []
    for system, (loose, strict) in pairs.items():
        both = pair(loose, strict)
        lost = astuple(both.difference(metric))
        splits = loose.protocol, strict.protocol
        rows.append((system, metric, *splits, *lost, both.recordings, both.groups))
    ends = ["loose", "strict", "lost", "low", "high"]
    return pd.DataFrame(rows, columns=["system", "metric", *ends, "recordings", "groups"])


def loss_table(losses: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return :func:`loss_data` for reading."""
    splits, ends = losses[["loose", "strict"]].map(SPLITS.get), losses[["lost", "low", "high"]]
    return pd.DataFrame(
        {
            "model": losses["system"].map(base.system_title),
            "difference": splits["loose"] + " minus " + splits["strict"],
            METRIC_TITLES[metric]: [signed(Estimate(*row)) for row in ends.to_numpy()],
        }
    )


def leakage(found: FoundRuns, cell: base.CellKey, metric: str) -> tuple[base.Exhibit, ...]:
    """Draw one metric of every model under each split, and its drop from loosest to strictest."""
    runs = _of_dataset(found, cell.dataset)
    pairs = under_two_splits(found, cell.dataset)
    losses = loss_data(pairs, metric)
    beside, problems = _beside(runs, metric)
    level = chance_level(runs[0].evaluation, metric)
    assert level is not None  # all of SCORES have one
    data = score_data(runs, metric, beside, level)
    drawn = _drawn(data, metric, {y.name: y.title for y in beside})
    splits = [SPLITS[p] for p in PROTOCOLS if p in set(drawn["protocol"])]
    captions = [base.meaning_text(metric), SCORE_CAPTION]
    if cell.dataset.startswith("challenge6"):
        captions.append(CORPUS_CAPTION)
    captions += [
        caption
        for name, caption in BASELINE_CAPTIONS.items()
        if any(own.name.startswith(name) for own in beside)
    ]
    end = f"{cell.dataset}-{metric}".replace("_", "-")
    name = METRIC_TITLES[metric]
    dots = losses.rename(columns={"lost": "value"}).assign(
        name=losses["system"].map(base.system_title).str.replace(" w", "<br>w"),
        colour=losses["system"].map(SYSTEM_COLOURS),
    )
    return (
        base.Exhibit(
            f"leakage-{end}",
            f"{name[0].upper()}{name[1:]} under each split",
            data,
            leakage_figure(drawn, splits, name, (level.value, level.name)),
            score_table(drawn, metric, splits, level),
            f"{_above_chance(pairs, metric, level)}\n\n{' '.join([*captions, *problems])}",
        ),
        base.Exhibit(
            f"leakage-lost-{end}",
            "Drop from the loosest to the strictest split",
            losses,
            difference_figure(dots, "drop (points)"),
            loss_table(losses, metric),
            f"Models with a drop whose interval is above zero: {(losses['low'] > 0).sum()} of "
            f"{len(losses)}. Recordings: {losses['recordings'][0]}, babies or sources: "
            f"{losses['groups'][0]}.\n\n{LOSS_CAPTION}",
        ),
    )


def _drawn(data: pd.DataFrame, metric: str, baselines: Mapping[str, str]) -> pd.DataFrame:
    """Return models, then baselines, each in the order of the splits, for the figure."""
    titles = {system: base.short_title(system) for system in list_models()} | dict(baselines)
    order = {name: number for number, name in enumerate(titles)}
    drawn = data[data["mark"] != "line"].rename(columns={metric: "value"})
    return drawn.assign(
        title=drawn["name"].map(titles), split=drawn["protocol"].map(SPLITS)
    ).sort_values(
        ["name", "protocol"],
        key=lambda own: own.map(order if own.name == "name" else PROTOCOLS.index),
    )


def _above_chance(
    pairs: Mapping[str, tuple[MeasuredRun, MeasuredRun]], metric: str, level: Chance
) -> str:
    """Describe how far the improved, or else the first, model is above chance under both splits."""
    system, parts = FULL if FULL in pairs else next(iter(pairs)), []
    for run in pairs[system]:
        ends = astuple(run.evaluation.metrics[metric])
        above = Estimate(*(end - level.value for end in ends))
        parts.append(f"{SPLITS[run.protocol]} {signed(above)}")
    return f"{base.system_title(system)}, {METRIC_TITLES[metric]} above chance: {', '.join(parts)}."


def _beside(runs: list[MeasuredRun], metric: str) -> tuple[list[Baseline], list[str]]:
    """Return the baselines of the runs, and the errors for those that cannot be read."""
    found, problems = [], []
    for read in (*(partial(baselines_of, run) for run in runs), partial(without_truth, runs)):
        try:
            found += read(metric)
        except ResultsError as error:
            problems.append(str(error))
    return found, problems


def under_two_splits(found: FoundRuns, dataset: str) -> dict[str, tuple[MeasuredRun, MeasuredRun]]:
    """Return model -> its runs under the loosest and the strictest split, if it has several."""
    runs = _of_dataset(found, dataset)  # from the loosest split to the strictest
    own = {name: [run for run in runs if run.system == name] for name in list_models()}
    return {name: (runs[0], runs[-1]) for name, runs in own.items() if len(runs) > 1}


def leakage_cells(found: FoundRuns) -> tuple[base.CellKey, ...]:
    """Return a cell for each dataset on which a model was measured under two or more splits."""
    first: dict[str, base.CellKey] = {}
    for cell in base.cells_with(found):
        first.setdefault(cell.dataset, cell)
    return tuple(cell for name, cell in first.items() if under_two_splits(found, name))


def _of_dataset(found: FoundRuns, dataset: str) -> list[MeasuredRun]:
    known = list_models()
    return [run for run in found.runs if run.dataset == dataset and run.system in known]


LEAKAGE = base.Panel(
    name="leakage",
    title="Unseen babies",
    lead="How much of a score depends on the split: the same models, tested on random segments of "
    "known recordings, on new recordings, and on unseen babies.",
    draw=leakage,
    cells=leakage_cells,
    selectors=(base.metric_selector(SCORES),),
    by_protocol=False,
)
