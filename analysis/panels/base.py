"""Define a panel of the Analysis tab: its choices, and the cards that it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from analysis.stats.paper import FULL, WITHOUT
from analysis.stats.runs import (
    METRIC_TITLES,
    PROTOCOLS,
    SPLITS,
    FoundRuns,
    MeasuredRun,
    ResultsError,
    chance_level,
)
from cry_model.metrics import METRICS
from cry_model.networks.registry import get_system, list_models
from cry_model.records import Estimate, counted, group_name, words


@dataclass(frozen=True)
class Exhibit:
    """Store a figure, a table, or both of the same data."""

    name: str  # of its downloads, without extension: letters, digits and hyphens
    title: str  # the same for all data; plain text
    # everything that figure and table show, a row for each mark; empty without a download
    data: pd.DataFrame = field(default_factory=pd.DataFrame)
    figure: go.Figure | None = None  # None for a table alone
    table: pd.DataFrame | None = None  # the rows to show; None for a figure alone
    # optionally a line of its main numbers, then a caption, the same for all data: how it was
    # measured and what it does not show; Markdown
    note: str = ""
    plays: str = ""  # the dataset, if each row of the table begins with one of its recordings

    @property
    def csv(self) -> str:
        """Format the data as CSV for the download."""
        return self.data.to_csv(index=False, float_format="%.6g")


UNLICENSED = "challenge6"
"""Prefix of the datasets from the paper's corpus, whose source states no licence."""


def played(cell: CellKey) -> str:
    """Return the dataset if its recordings may be played, else an empty string."""
    shared = cell.protocol in PROTOCOLS and not cell.dataset.startswith(UNLICENSED)
    return cell.dataset if shared else ""


def recording_columns(table: pd.DataFrame, dataset: str) -> dict[str, pd.Series]:
    """Return the first columns of a list of recordings: title -> recording, and its group."""
    group = group_name(dataset).capitalize()
    group = "Group" if group == "Recording" else group
    return {"Recording": table["recording"], group: table["group"]}


NOTHING = "Nothing to show yet: the results folder has no finished run for this."
"""Shown by a panel without cells."""


class CellKey(NamedTuple):
    """Identify a dataset and its split (protocol), as in the results folder."""

    dataset: str
    protocol: str


def cells_with(
    found: FoundRuns, fits: Callable[[Mapping[str, MeasuredRun]], bool] = bool
) -> tuple[CellKey, ...]:
    """List the cells whose runs satisfy ``fits``; those with the paper's models first."""
    cells = [CellKey(*cell) for cell in found.cells if fits(found.of(*cell))]
    return tuple(sorted(cells, key=lambda cell: not set(COMPARED) <= set(found.of(*cell))))


class Option(NamedTuple):
    """Store a selector's value and its title for a reader."""

    title: str
    value: str | bool


@dataclass(frozen=True)
class Selector:
    """Define a choice besides dataset and split."""

    name: str  # keyword argument of ``draw`` for the choice
    label: str  # its label on the page
    # (runs, cell) -> what can be chosen there; a switch by default
    options: Callable[[FoundRuns, CellKey], Sequence[Option]] = lambda *_: [
        Option("off", False),
        Option("on", True),
    ]
    # index of the initial option, limited to those offered; or a function that returns its value
    first: int | Callable[[FoundRuns, CellKey], object] = 0

    def offered(self, found: FoundRuns, cell: CellKey) -> list[Option]:
        """List the options there; empty if a run cannot be read (drawing reports why)."""
        try:
            return list(self.options(found, cell))
        except ResultsError:
            return []

    def settle(self, found: FoundRuns, cell: CellKey, value: object = None) -> Any:
        """Return the option with this value, or whose text an address gives; otherwise the initial
        one, or None without options."""
        values = [option.value for option in self.offered(found, cell)]
        for own in values:
            if value in (own, str(own)):
                return own
        if not isinstance(self.first, int):
            return self.first(found, cell)
        return values[min(self.first, len(values) - 1)] if values else None


@dataclass(frozen=True)
class Panel:
    """Define one sub-tab of the Analysis tab and one chapter of the report."""

    name: str  # letters and hyphens; its id on the page
    title: str  # of the sub-tab
    lead: str  # the question it answers, in a sentence or two; Markdown
    draw: Callable[..., tuple[Exhibit, ...]]  # (runs, cell, **choices) -> its cards
    # runs -> datasets and splits for which the panel has something to show
    cells: Callable[[FoundRuns], Sequence[CellKey]]
    selectors: tuple[Selector, ...] = field(default=())  # further choices
    # False if it shows all splits of a dataset at once; its cell then has the dataset's first split
    by_protocol: bool = True
    abreast: int = 1  # how many of the first exhibits are side by side on a wide page

    def settle(
        self, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the choice of each selector; missing or invalid values become the initial one."""
        given = choices or {}
        return {s.name: s.settle(found, cell, given.get(s.name)) for s in self.selectors}

    def exhibits(
        self, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any] | None = None
    ) -> tuple[Exhibit, ...]:
        """Draw the cards for a cell, with choices passed through :meth:`settle`; raise ResultsError
        if the predictions of a run cannot be read, ComparisonError if two runs are incomparable."""
        settled = self.settle(found, cell, choices)
        kept, key = found.drawn, (self.name, cell, *settled.items())
        if key not in kept:
            kept[key] = self.draw(found, cell, **settled)
            if len(kept) > MOST_KEPT:
                kept.pop(next(iter(kept)), None)
        return kept[key]


MOST_KEPT = 512  # about 100 kB each; Plotly needs 0.1 to 0.5 s to draw them
COMPARED = (FULL, "ecapa-tdnn", "resnet18")
"""The models whose confusion matrices the paper shows, in its order."""
MEANINGS = {
    "accuracy": "the share of recordings with the right label",
    "balanced_accuracy": "the mean recall over the labels",
    "macro_f1": "the mean F1 over the labels, lowered by misses and by false alarms",
    "macro_auc": "how often a recording of a label gets a higher probability for it than the rest",
    "expected_calibration_error": "the mean gap between confidence and accuracy; lower is better",
}
"""Metric -> its definition, for a caption."""
LOWER_IS_BETTER = frozenset({"expected_calibration_error"})


def system_title(name: str) -> str:
    """Return the title of a model; its name if it is not in the registry."""
    return get_system(name).title if name in list_models() else name


def short_title(name: str) -> str:
    """Return a model's title for tables and figures; for an ablation, what it lacks."""
    return WITHOUT.get(name, system_title(name))


def fewer_seeds(runs: Mapping[str, MeasuredRun]) -> dict[str, str]:
    """Return a suffix for the name of each of our models that has fewer seeds than others."""
    seeds = {name: len(run.seeds) for name, run in runs.items() if name in list_models()}
    most = max(seeds.values(), default=0)
    short = {name: count for name, count in seeds.items() if count < most}
    return {name: f" ({count} seed{'s' * (count > 1)})" for name, count in short.items()}


def systems_there(found: FoundRuns, cell: CellKey) -> list[Option]:
    """List the models measured in a cell, those of the paper's comparison first."""
    there = list(found.of(*cell))
    there.sort(key=lambda name: COMPARED.index(name) if name in COMPARED else len(COMPARED))
    return [Option(system_title(name), name) for name in there]


def labels_there(found: FoundRuns, cell: CellKey) -> list[Option]:
    """List the labels of a cell, which all of its models share."""
    run = next(iter(found.of(*cell).values()))
    return [Option(words(name), name) for name in run.labels]


SYSTEM = Selector("system", "Model", systems_there)
MOST_CLASSES = 30
"""Limit of classes in a figure; a collection of sounds may have a thousand."""


def shown_classes(run: MeasuredRun) -> tuple[tuple[str, ...], str]:
    """Return the classes with the most recordings, and a sentence if others are left out."""
    if len(run.labels) <= MOST_CLASSES:
        return run.labels, ""
    support = run.evaluation.support
    most = sorted(run.labels, key=lambda label: -support.get(label, 0))[:MOST_CLASSES]
    told = f"Shown: the {MOST_CLASSES} of {len(run.labels)} classes with the most recordings. "
    return tuple(label for label in run.labels if label in most), told


def metric_selector(names: Sequence[str] = tuple(METRICS)) -> Selector:
    """Return a selector of metrics, initially balanced accuracy."""
    options = [Option(METRIC_TITLES[name], name) for name in names]
    at = names.index("balanced_accuracy")
    return Selector("metric", "Metric", lambda *_: options, first=at)


def meaning_text(metric: str) -> str:
    """Define a metric in words: "Accuracy: the share of recordings with the right label."."""
    title = METRIC_TITLES[metric]
    return f"{title[0].upper()}{title[1:]}: {MEANINGS[metric]}."


def interval_texts(
    data: pd.DataFrame, form: str = "{:.2f} [{:.2f}, {:.2f}]", scale: float = 1, begin: str = ""
) -> pd.Series:
    """Format value, low and high of each row, times ``scale``; a dash if there is no value;
    ``begin``: prefix of the names of the three columns."""
    ends = scale * data[[f"{begin}{end}" for end in ("value", "low", "high")]].astype(float)
    texts = [form.format(*row) for row in ends.to_numpy()]
    return pd.Series(texts, ends.index, object).mask(ends.iloc[:, 0].isna(), "–")


def percent_text(e: Estimate) -> str:
    """Format a score in per cent with its interval: "61.8% [56.8, 66.9]"."""
    return f"{100 * e.value:.1f}% [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def points_text(d: Estimate) -> str:
    """Format a difference in points with its interval: "+2.2 points [-1.0, +5.4]"."""
    return f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"


def p_text(p_value: float) -> str:
    """Format a p-value: "p = 0.031"."""
    return "p < 0.001" if p_value < 0.0005 else f"p = {p_value:.3f}"


def chance_text(run: MeasuredRun, metric: str) -> str:
    """Format the chance level of a metric: "chance level 25.0%"."""
    level = chance_level(run.evaluation, metric)
    return "no chance level" if level is None else f"chance level {100 * level.value:.1f}%"


def seeds_text(*runs: Sequence[int]) -> str:
    """Format each distinct set of seeds once: "seed 0", "seeds 0, 1, 2 or 0"."""
    own = sorted({tuple(seeds) for seeds in runs})
    several = len({seed for seeds in own for seed in seeds}) > 1
    return f"seed{'s' if several else ''} " + " or ".join(", ".join(map(str, s)) for s in own)


def sample_text(runs: Sequence[MeasuredRun]) -> str:
    """Describe the test data of the models of a cell: recordings, groups, and each set of seeds."""
    e = runs[0].evaluation
    seeds = seeds_text(*(run.seeds for run in runs))
    return f"{counted(e.recordings, 'recording')}, {counted(e.groups, 'group')}, {seeds}"


def scored_on(run: MeasuredRun) -> str:
    """Describe the split and test data of a run, and what its intervals resample."""
    return (
        f"Split: {SPLITS[run.protocol]}, {run.evaluation.split}; {sample_text([run])}. Intervals: "
        "95%, from 1,000 bootstrap resamplings of whole groups (babies or source recordings)."
    )
