"""Summarise the findings on one screen: the paper's numbers beside ours, linked to their panels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mode

from analysis.panels.ablation import ABLATION
from analysis.panels.base import COMPARED, CellKey, short_title, system_title
from analysis.panels.confusion import count_confusions, row_shares
from analysis.stats.claims import MAIN, PAPER_SYSTEMS, SYNTHETIC, JudgedCell, Verdict
from analysis.stats.paper import FULL, WITHOUT, read_paper
from analysis.stats.runs import PAPER_RECIPE, SPLITS, FoundRuns, MeasuredRun, find_runs
from analysis.stats.side_results import permuted_label_runs
from analysis.templates import environment
from cry_model.checkpoint import to_json, write_atomically
from cry_model.networks.registry import ON_FEATURES, list_models
from cry_model.records import dataset_title, words

VERDICTS = "verdicts.json"
PAPER_CORPUS = "challenge6_cuts"
HEADINGS = {
    "none": "No claim of the paper is confirmed here, and none is contradicted.",
    "against": "The paper's ranking is not reproduced.",
    "some": "Some claims of the paper hold here, others do not.",
    "all": "The paper's claims hold here.",
}


@dataclass(frozen=True)
class Bar:
    """Store one line of a small chart: its title, its score, and the link to its panel."""

    title: str
    value: float
    link: str = ""


Groups = Mapping[str, Sequence[Bar]]
"""Heading within a card -> its bars."""


def write_verdicts(cells: Sequence[JudgedCell], results: Path) -> None:
    """Write the claims by verdict, judged by balanced accuracy on real recordings."""
    verdicts: dict[str, list[str]] = {verdict.value: [] for verdict in Verdict}
    for cell in cells:
        for finding in cell.findings[MAIN] if not cell.is_synthetic else ():
            verdicts[finding.verdict.value].append(f"{finding.claim.name}: {cell.title}")
    write_atomically(results / VERDICTS, to_json(verdicts).encode())


def on_the_page(view: str, dataset: str, protocol: str) -> str:
    """Return the address of a panel with its corpus and split selected."""
    return f"?tab=analysis&view={view}&corpus={dataset}&split={protocol}"


Link = Callable[[str, str, str], str]


def overview_html(found: FoundRuns, results: Path, link: Link = on_the_page) -> str:
    """Return the overview; empty if no model of the paper was measured. Without verdicts in
    ``results``, claims are not counted. ``link``: (panel, dataset, protocol) -> address."""
    cells = [key for key in found.cells if PAPER_SYSTEMS & found.of(*key).keys()]
    if not cells:
        return ""
    path = results / VERDICTS
    verdicts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    filters = {
        "points": lambda points: f"{round(points):+d}" if round(points) else "0",
        "percent": lambda share: f"{100 * share:.0f}",
    }
    template = environment(filters).get_template("overview.html.j2")
    return template.render(
        heading=_heading(verdicts),
        verdicts=verdicts,
        no_better=_no_better(found),
        paper=read_paper(),
        columns=[_column(found, CellKey(*key), link) for key in cells],
        rows=[(name, short_title(name)) for name in list_models() if name in PAPER_SYSTEMS],
        ablations=WITHOUT,
        full=FULL,
        permuted=[_permuted(found.of(*key).get(FULL)) for key in cells],
        hidden=_hidden(found, link),
        own=_own_corpus(found, link, results),
        matrices=list(_matrices(found, cells, link)),
        changed=_changed(found),
    )


def _heading(verdicts: Mapping[str, Sequence[str]]) -> str:
    if not verdicts:
        return ""
    confirmed, against = verdicts[Verdict.CONFIRMED.value], verdicts[Verdict.CONTRADICTED.value]
    if not confirmed:
        return HEADINGS["against" if against else "none"]
    return HEADINGS["some" if against or verdicts[Verdict.UNDECIDED.value] else "all"]


def _no_better(found: FoundRuns) -> list[str]:
    """Return the real corpora on which no model is better than chance on unseen babies."""
    return [
        dataset_title(dataset)
        for dataset, protocol in found.cells
        if protocol == "baby"
        and dataset != SYNTHETIC
        and not any(r.evaluation.better_than_chance for r in found.of(dataset, protocol).values())
    ]


def _column(found: FoundRuns, cell: CellKey, link: Link) -> dict[str, object]:
    runs = found.of(*cell)
    ablated = cell in ABLATION.cells(found)
    evaluations = {name: run.evaluation for name, run in runs.items()}
    return {
        "dataset": dataset_title(cell.dataset),
        "split": SPLITS[cell.protocol],
        "scores": {name: e.metrics[MAIN] for name, e in evaluations.items()},
        "chance": next(iter(evaluations.values())).chance,
        "links": {
            name: link("ablation" if ablated and name not in COMPARED[1:] else "systems", *cell)
            for name in runs
        },
    }


def _permuted(run: MeasuredRun | None) -> float | None:
    """Return a model's mean score over its runs with permuted labels; None if there are none."""
    fits = permuted_label_runs(run) if run is not None else ()
    scores = [fit.evaluation.metrics[MAIN].value for fit in fits]
    return sum(scores) / len(scores) if scores else None


def _hidden(found: FoundRuns, link: Link) -> Groups:
    """Return the improved model's scores on the corpus with the most splits, by corpus title."""
    runs = [run for run in found.runs if run.system == FULL]
    dataset = mode(run.dataset for run in runs) if runs else ""
    runs, bars = [run for run in runs if run.dataset == dataset], []
    if len(runs) < 2:
        return {}
    for run in runs:
        there = link("leakage", run.dataset, run.protocol)
        bars.append(Bar(SPLITS[run.protocol], run.evaluation.metrics[MAIN].value, there))
        if (score := _permuted(run)) is not None:
            bars.append(Bar(f"{SPLITS[run.protocol]}, labels permuted", score, there))
    return {dataset_title(dataset): bars}


def _own_corpus(found: FoundRuns, link: Link, results: Path) -> Groups:
    """Return the paper's printed score and ours on its own corpus, by split and recipe."""
    shown = {*COMPARED, ON_FEATURES}
    runs = [run for run in found.runs if run.dataset == PAPER_CORPUS and run.system in shown]
    if not runs:
        return {}
    printed = "the paper, random segments"
    groups = {printed: [Bar(system_title(FULL), read_paper().accuracy[FULL])]}
    for protocol in SPLITS:
        own = [run for run in runs if run.protocol == protocol]
        groups[f"ours, {SPLITS[protocol]}"] = _bars(own, link)
    recipe = find_runs(results / PAPER_RECIPE).runs
    for protocol, epochs in dict.fromkeys((run.protocol, run.preset["epochs"]) for run in recipe):
        own = [r for r in recipe if (r.protocol, r.preset["epochs"]) == (protocol, epochs)]
        groups[f"ours, {SPLITS[protocol]}, the paper's recipe, {epochs} epochs"] = _bars(own)
    return {head: bars for head, bars in groups.items() if bars}


def _bars(runs: Sequence[MeasuredRun], link: Link | None = None) -> list[Bar]:
    """Return a bar per run, the highest score first; ``link`` gives the address of its panel."""
    bars = []
    for run in runs:
        there = "" if link is None else link("systems", run.dataset, run.protocol)
        bars.append(Bar(system_title(run.system), run.evaluation.metrics[MAIN].value, there))
    return sorted(bars, key=lambda bar: -bar.value)


def _matrices(
    found: FoundRuns, cells: Sequence[tuple[str, str]], link: Link
) -> Iterator[tuple[str, str, list[tuple[str, list[float]]]]]:
    """Yield title, link and rows (label, shares by predicted label) of the paper's three models."""
    key = next((key for key in cells if found.of(*key).keys() >= set(COMPARED)), None)
    for system in COMPARED if key is not None else ():
        run = found.of(*key)[system]
        counts = count_confusions(run)
        shares = row_shares(counts).fillna(0)  # NaN for a label that does not occur
        rows = [(words(label), list(row)) for label, row in shares.iterrows()]
        yield system_title(system), link("confusion", *key), rows


def _changed(found: FoundRuns) -> dict[str, str]:
    """Return how our training differs from the paper's: epochs, front ends and folds."""
    runs = [run for run in found.runs if run.system in PAPER_SYSTEMS]
    epochs = sorted({int(run.preset["epochs"]) for run in runs if "epochs" in run.preset})
    kinds = {str(run.preset.get("front_end", {}).get("kind", "")) for run in runs} - {""}
    return {
        "epochs": f"{epochs[0]} to {epochs[-1]}" if epochs else "unknown",
        "front ends": " and ".join(sorted(kinds)) or "unknown",
        "folds": ", ".join(map(str, sorted({run.folds for run in runs}))),
    }
