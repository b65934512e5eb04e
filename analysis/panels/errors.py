"""List misclassified recordings to play: the most confident errors, and labels that every model
contradicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import log

import pandas as pd

from analysis.panels import base
from analysis.stats.comparison import ComparisonError
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import words
from cry_model.results import probability_columns

KEYS = ["recording", "group", "label"]


def verdicts(runs: Mapping[str, MeasuredRun]) -> pd.DataFrame:
    """Return each model's prediction per recording, from its probabilities averaged over seeds,
    with :func:`analysis.stats.runs.with_errors`; raise ResultsError if these cannot be read."""
    columns = [*KEYS, "answer", "confidence", "true_probability", "loss", "wrong"]
    parts = [run.judged_over_seeds[columns].assign(system=name) for name, run in runs.items()]
    return pd.concat(parts, ignore_index=True)


def errors(table: pd.DataFrame, system: str | None) -> pd.DataFrame:
    """Return the recordings that a model misclassifies, the most confident errors first.

    Columns are those of ``table`` but ``wrong``; ``wrong_systems`` of ``systems``, how many err on
    the recording; and ``others``, the other systems' answers ("tired ×2, hungry"). ``table``: of
    :func:`verdicts`; ``system``: None for each recording's system most confident of a wrong label.
    """
    wrong = table[table["wrong"]]
    if system is not None:
        wrong = wrong[wrong["system"] == system]
    wrong = wrong.sort_values("confidence", ascending=False, kind="stable")
    wrong = wrong.drop_duplicates("recording").drop(columns="wrong")
    count = table.groupby("recording")["wrong"].agg(["sum", "size"])
    said = {recording: Counter(own) for recording, own in table.groupby("recording")["answer"]}
    others = [
        ", ".join(
            label if number == 1 else f"{label} ×{number}"
            for label, number in _ranked(said[recording] - Counter([answer]))
        )
        for recording, answer in zip(wrong["recording"], wrong["answer"], strict=True)
    ]
    return wrong.assign(
        wrong_systems=wrong["recording"].map(count["sum"]).astype(int),
        systems=wrong["recording"].map(count["size"]).astype(int),
        others=pd.Series(others, index=wrong.index, dtype=object),
    ).reset_index(drop=True)


def _ranked(count: Counter[str]) -> list[tuple[str, int]]:
    """Return names and numbers, the largest number first, then in alphabetical order."""
    return sorted(count.items(), key=lambda item: (-item[1], item[0]))


def suspects(runs: Mapping[str, MeasuredRun]) -> pd.DataFrame:
    """Return recordings whose label every model contradicts: wrong in all seeds, at a high loss.

    The loss is the mean log loss over the seeds of each model, then over models. It is high if
    above that at chance, the logarithm of the number of classes. ``suggested`` is the answer of
    most systems (of ties, the one with the higher mean probability), ``votes`` their number. Raise
    ResultsError if predictions cannot be read, ComparisonError if the runs differ in labels.
    """
    if len({run.labels for run in runs.values()}) > 1:
        raise ComparisonError("The models here differ in their labels; fit them all again.")
    labels = list(next(iter(runs.values())).labels)
    values = ["true_probability", "loss", "wrong"]
    means = pd.concat(run.with_errors.groupby(KEYS)[values].mean() for run in runs.values())
    over_seeds = pd.concat(run.judged_over_seeds.set_index(KEYS) for run in runs.values())
    p = over_seeds[probability_columns(labels)].set_axis(labels, axis=1)
    votes = pd.get_dummies(over_seeds["answer"]).reindex(columns=labels, fill_value=0)
    votes = votes.groupby(level=KEYS).sum()
    favoured = votes + p.groupby(level=KEYS).mean() / 2  # half a probability is less than a vote
    every = means.groupby(level=KEYS)
    table = every.mean().assign(
        suggested=favoured.idxmax(axis=1), votes=votes.max(axis=1), systems=every.size()
    )
    doubtful = (table["wrong"] == 1) & (table["systems"] == len(runs))
    table = table[doubtful & (table["loss"] > log(len(labels)))].drop(columns="wrong")
    return table.sort_values("loss", ascending=False, kind="stable").reset_index()


ALL = "all"
GROUPS = 12  # offered in the menu
SURE = 0.9
ERROR_CAPTION = (
    "A row for each misclassified recording, the most confident first. Probabilities are means "
    "over its segments and seeds. For all models together, each recording is shown with the model "
    "that is most confident in a wrong label. Log loss: the negative natural logarithm of the "
    "true label's probability."
)
SUSPECT_CAPTION = (
    "Recordings that every model misclassifies in every seed, at a mean log loss above chance. The "
    "label may be wrong, or the recording hard: models trained on the same recordings make "
    "similar errors, mostly on rare classes. Where no model is better than chance, this list says "
    "little about the labels."
)


def errors_to_listen_to(
    found: FoundRuns, cell: base.CellKey, system: str, label: str, group: str
) -> tuple[base.Exhibit, ...]:
    """List the most confident errors and, with several models, the suspect labels."""
    runs = found.of(*cell)
    table = _chosen(verdicts(runs), label, group)
    whose = None if system == ALL else system
    wrong = errors(table, whose)
    recordings, several = table["recording"].nunique(), len(runs) > 1
    line = (
        f"Misclassified: {len(wrong)} of {recordings} recordings, "
        f"{(wrong['confidence'] >= SURE).sum()} with a confidence of {SURE:.0%} or more, "
        f"{(wrong['wrong_systems'] == wrong['systems']).sum()} by every model."
    )
    chance = f"Log loss at chance {log(len(next(iter(runs.values())).labels)):.2f}."
    confident = base.Exhibit(
        f"errors-{cell.dataset}-{cell.protocol}-{system}",
        f"Most confident errors: {base.system_title(whose) if whose else 'all models'}",
        wrong,
        table=_error_table(wrong, cell.dataset, whose is None, several),
        note=f"{line} {chance}\n\n{ERROR_CAPTION}",
        plays=base.played(cell),
    )
    if not several:
        return (confident,)
    doubtful = _chosen(suspects(runs), label, group)
    better = sum(run.evaluation.better_than_chance for run in runs.values())
    line = (
        f"Suspect labels: {len(doubtful)} of {recordings} recordings. Models better than "
        f"chance: {better} of {len(runs)}. {chance}"
    )
    suspect = base.Exhibit(
        f"suspects-{cell.dataset}-{cell.protocol}",
        "Labels that every model contradicts",
        doubtful,
        table=_suspect_table(doubtful, cell.dataset),
        note=f"{line}\n\n{SUSPECT_CAPTION}",
        plays=base.played(cell),
    )
    return confident, suspect


def _chosen(table: pd.DataFrame, label: str, group: str) -> pd.DataFrame:
    if label != ALL:
        table = table[table["label"] == label]
    if group != ALL:
        table = table[table["group"] == group]
    return table


def _error_table(
    wrong: pd.DataFrame, dataset: str, any_system: bool, several: bool
) -> pd.DataFrame | None:
    """Return the rows for a reader; None if there are none."""
    if wrong.empty:
        return None
    shown = _recordings(wrong, dataset)
    shown["Predicted label"] = wrong["answer"].map(words)
    shown["Confidence (%)"] = (100 * wrong["confidence"]).round(1)
    shown["True label (%)"] = (100 * wrong["true_probability"]).round(1)
    shown["Log loss"] = wrong["loss"].round(2)
    if any_system and several:
        shown["Model"] = wrong["system"].map(base.system_title)
    if several:
        shown["Models wrong"] = _of(wrong["wrong_systems"], wrong["systems"])
        shown["Other models"] = wrong["others"].map(words)
    return shown


def _of(part: pd.Series, whole: pd.Series) -> pd.Series:
    return part.astype(str) + " of " + whole.astype(str)


def _suspect_table(found: pd.DataFrame, dataset: str) -> pd.DataFrame | None:
    if found.empty:
        return None
    shown = _recordings(found, dataset)
    shown["Most models predict"] = found["suggested"].map(words)
    shown["Agreeing"] = _of(found["votes"], found["systems"])
    shown["True label (%)"] = (100 * found["true_probability"]).round(1)
    shown["Mean log loss"] = found["loss"].round(2)
    return shown


def _recordings(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    labels = table["label"].map(words)
    return pd.DataFrame({**base.recording_columns(table, dataset), "True label": labels})


def _systems(found: FoundRuns, cell: base.CellKey) -> list[base.Option]:
    there = base.systems_there(found, cell)
    return [base.Option("All models", ALL), *there] if len(there) > 1 else there


def _groups(found: FoundRuns, cell: base.CellKey) -> list[base.Option]:
    """Return "All", and the groups with the most errors over all models."""
    count: Counter[str] = Counter()
    for run in found.of(*cell).values():
        table = run.judged_over_seeds
        count.update(table["group"].to_numpy()[table["wrong"].to_numpy()])
    short = {name: name if len(name) <= 16 else f"{name[:8]}…" for name in count}
    ranked = _ranked(count)[:GROUPS]
    groups = [base.Option(f"{short[name]} ({n} errors)", name) for name, n in ranked]
    return [base.Option("All", ALL), *groups]


ERRORS = base.Panel(
    name="errors",
    title="Errors",
    lead="Misclassified recordings: the most confident errors, and those whose label every "
    "model contradicts.",
    draw=errors_to_listen_to,
    cells=base.cells_with,
    selectors=(
        base.Selector("system", "Model", _systems),
        base.Selector(
            "label",
            "True label",
            lambda found, cell: [base.Option("All", ALL), *base.labels_there(found, cell)],
        ),
        base.Selector("group", "Baby or source", _groups),
    ),
)
