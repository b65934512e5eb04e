"""Write docs/results.md and the table in README from the result files."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from analysis import results_studies as studies
from analysis.figures.theme import signed
from analysis.overview import write_verdicts
from analysis.results_studies import Row, seeds_text
from analysis.stats.claims import MAIN, PAPER_SYSTEMS, Finding, JudgedCell, Verdict, cells_of
from analysis.stats.comparison import DRAWS, scores_by
from analysis.stats.paper import CLAIMS, FULL, LIKE_ACCURACY, MODULES, read_paper
from analysis.stats.runs import (
    METRIC_TITLES,
    PAPER_RECIPE,
    SPLITS,
    FoundRuns,
    MeasuredRun,
    ResultsError,
    find_runs,
)
from analysis.stats.side_results import read_personal
from analysis.templates import environment
from cry_model.checkpoint import write_atomically
from cry_model.networks.registry import get_system, list_models
from cry_model.records import dataset_title, words

BEGIN, END = "<!-- results: python -m analysis results -->", "<!-- end of results -->"
MEASURED = ("accuracy", "balanced_accuracy", "macro_auc")
HELD_OUT = ("esc10", 0)
"""Corpus, and its fold that no choice was based on."""


def write_results(results: Path, out: Path) -> None:
    """Write all tables of the results folder to ``out``, and the verdicts beside the runs; raise
    ResultsError if results are missing or malformed, or include no model of the paper."""
    found = _all_runs(results)
    cells = cells_of(found)
    text = page(found, cells, results)
    write_verdicts(cells, results)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text.encode())


def write_readme_table(results: Path, out: Path) -> None:
    """Replace the text between the two markers of ``out`` by :func:`scores_by_split`; raise
    ResultsError like :func:`write_results`, or if a marker is missing."""
    text = out.read_text(encoding="utf-8")
    parts = re.fullmatch(f"(.*{BEGIN}\n).*({END}.*)", text, re.DOTALL)
    if parts is None:
        raise ResultsError(f"{out} has no place for the table: put {BEGIN} and {END} into it.")
    table = markdown(scores_by_split(_all_runs(results).runs))
    write_atomically(out, f"{parts[1]}\n{table}\n\n{parts[2]}".encode())


def _all_runs(results: Path) -> FoundRuns:
    """Return the runs; raise ResultsError if one of them cannot be read."""
    found = find_runs(results)
    if found.problems:
        raise ResultsError(found.problems[0])
    return found


def page(found: FoundRuns, cells: Sequence[JudgedCell], results: Path) -> str:
    """Return the page: the template filled with the tables of this module; raise ResultsError if
    results are malformed or include no model of the paper."""
    attention, maps = studies.attention_rows(cells)
    recipe = cells_of(find_runs(results / PAPER_RECIPE))
    texts = environment({"table": markdown}, autoescape=False, lstrip_blocks=False)
    text = texts.get_template("results.md.j2").render(
        draws=DRAWS,
        scores=scores_by_split(found.runs),
        claims=claim_rows(),
        counts=list(count_rows(cells)),
        verdicts={METRIC_TITLES[metric]: verdict_rows(cells, metric) for metric in LIKE_ACCURACY},
        ablation=ablation_rows(cells),
        cells=[(cell, measured_rows(cell)) for cell in cells],
        held_out=held_out_rows(cells),
        permutation=list(studies.permutation_rows(cells)),
        permuted=list(studies.permuted_label_rows(cells)),
        hybrid=studies.hybrid_rows(cells),
        map_tests=list(studies.map_test_rows(cells)),
        attention=attention,
        maps=maps,
        pruning=list(studies.pruning_rows(cells)),
        detector=studies.detector_tables(results),
        personal=read_personal(results),
        recipe=[(cell, measured_rows(cell)) for cell in recipe],
        recipe_fitting=list(fitting_rows(recipe)),
        fitting=list(fitting_rows(cells)),
        unfinished=["/".join(folder.parts[-3:]) for folder in found.unfinished],
    )
    return f"{text.rstrip()}\n"


def markdown(rows: Sequence[Row]) -> str:
    """Return a Markdown table with all columns but the first right-aligned."""
    heads = list(rows[0])
    rule = ["---", *["---:"] * (len(heads) - 1)]
    lines = [heads, rule, *([row[head] for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scores_by_split(runs: Sequence[MeasuredRun]) -> list[Row]:
    """Return balanced accuracies: a row per model of the paper, a column per split; raise
    ResultsError if no model of the paper was measured."""
    models = [name for name in list_models() if name in PAPER_SYSTEMS]
    scored = {(run.dataset, run.protocol, run.system): run.evaluation for run in runs}
    splits = dict.fromkeys((r.dataset, r.protocol) for r in runs if r.system in models)
    if not splits:
        raise ResultsError("No model of the paper was measured there; fit some first.")
    rows = [{METRIC_TITLES[MAIN]: get_system(name).title} for name in models]
    chance = {METRIC_TITLES[MAIN]: "chance level"}
    for dataset, protocol in splits:
        head = f"{dataset_title(dataset)}, {SPLITS[protocol]}"
        column = [scored.get((dataset, protocol, name)) for name in models]
        for row, evaluation in zip(rows, column, strict=True):
            row[head] = "-" if evaluation is None else str(evaluation.metrics[MAIN])
        chance[head] = f"{next(filter(None, column)).chance:.3f}"
    return [*rows, chance]


def claim_rows() -> list[Row]:
    """Return the paper's claims, with its accuracies and where it states them."""
    paper = read_paper()
    return [
        {
            "claim": claim.name,
            "accuracy in the paper": " and ".join(f"{paper.accuracy[b]:.2%}" for b in claim.better)
            + f" against {paper.accuracy[claim.worse]:.2%}",
            "where": claim.where,
        }
        for claim in CLAIMS
    ]


def count_rows(cells: Sequence[JudgedCell]) -> Iterable[Row]:
    """Yield the number of claims per verdict; the synthetic corpus is counted separately."""
    for metric in LIKE_ACCURACY:
        for name, synthetic in (("recordings", False), ("synthetic cries", True)):
            own = [cell for cell in cells if cell.is_synthetic == synthetic]
            count = Counter(finding.verdict for cell in own for finding in cell.findings[metric])
            if own:
                counts = {verdict.value: str(count[verdict]) for verdict in Verdict}
                yield {"verdicts": f"{METRIC_TITLES[metric]}, {name}", **counts}


def verdict_rows(cells: Sequence[JudgedCell], metric: str) -> list[Row]:
    """Return the verdicts by one metric: a row per claim, a column per split."""
    return [
        {
            METRIC_TITLES[metric]: claim.name,
            **{cell.title: _verdict(cell, cell.findings[metric][i], metric) for cell in cells},
        }
        for i, claim in enumerate(CLAIMS)
    ]


def _verdict(cell: JudgedCell, finding: Finding, metric: str) -> str:
    if finding.verdict is Verdict.ABSENT:
        return finding.reason or finding.verdict.value
    of = [cell.runs[system].evaluation for system in finding.claim.systems]
    mark = "" if any(e.better_than_chance for e in of) else "°"
    if metric == "accuracy" and all(e.metrics[metric].value < e.majority_accuracy for e in of):
        mark += "†"
    parts = "; ".join(
        f"{signed(part.difference)} ({part.seeds_agree}/{len(part.by_seed)})"
        for part in finding.comparisons
    )
    return f"**{finding.verdict.value}**{mark} {parts}, p = {finding.corrected:.3f}"


def ablation_rows(cells: Sequence[JudgedCell]) -> list[Row]:
    """Return the improved model's loss without each module; no rows if no ablation was run."""
    lost = {
        (cell.title, part.other): signed(part.difference)
        for cell in cells
        for finding in cell.findings[MAIN]
        for part in finding.comparisons
        if part.one == FULL and part.other in MODULES
    }
    titles = dict.fromkeys(title for title, _ in lost)
    return [
        {
            "lost without": module,
            "the paper (accuracy)": f"{read_paper().drop(system):+.3f}",
            **{title: lost.get((title, system), "-") for title in titles},
        }
        for system, module in MODULES.items()
        if lost
    ]


def measured_rows(cell: JudgedCell) -> list[Row]:
    """Return the scores of each model on one split, and of a constant answer."""
    heads = ["per recording", "seeds", *map(METRIC_TITLES.get, MEASURED), "parameters"]
    rows = [
        [
            get_system(run.system).title,
            seeds_text(run.seeds),
            *(str(run.evaluation.metrics[name]) for name in MEASURED),
            f"{run.parameters / 1e6:.2f} M",
        ]
        for run in cell.runs.values()
    ]
    e = cell.evaluation
    always = f'always "{words(e.majority_label)}"'
    rows.append([always, "", f"{e.majority_accuracy:.3f}", f"{e.chance:.3f}", "0.500", ""])
    return [dict(zip(heads, row, strict=True)) for row in rows]


def held_out_rows(cells: Sequence[JudgedCell]) -> list[Row]:
    """Return accuracies on the fold that no choice was based on, averaged over seeds."""
    dataset, fold = HELD_OUT
    rows = []
    for cell in (own for own in cells if own.dataset == dataset):
        for run in cell.runs.values():
            scores = scores_by(run, "accuracy", "seed", "fold").groupby("fold")["value"].mean()
            column = f"{cell.title}, fold {fold + 1}"
            rows.append({"accuracy": get_system(run.system).title, column: f"{scores[fold]:.3f}"})
    return rows


def fitting_rows(cells: Sequence[JudgedCell]) -> Iterable[Row]:
    """Yield training settings: one row for all models of a split that were trained alike."""
    for cell in cells:
        alike: defaultdict[str, list[MeasuredRun]] = defaultdict(list)
        for run in cell.runs.values():
            alike[json.dumps((_fitting(run), run.preset), sort_keys=True)].append(run)
        for runs in alike.values():
            titles = ", ".join(get_system(run.system).title for run in runs)
            yield {
                "split": cell.title,
                "models": "all" if len(runs) == len(cell.runs) > 1 else titles,
                **_fitting(runs[0]),
                "hours": f"{sum(run.wall_seconds for run in runs) / 3600:.1f}",
            }


def _fitting(run: MeasuredRun) -> dict[str, str]:
    preset = run.preset
    front_end = preset.get("front_end", {})
    epochs = str(preset.get("epochs", ""))
    if preset.get("samples_per_epoch"):  # otherwise one piece per recording
        epochs += f" of {preset['samples_per_epoch']} pieces"
    return {
        "preset": ", ".join(filter(None, [str(preset.get("name", "")), run.settings_text])),
        f"epochs (paper: {read_paper().epochs})": epochs,
        "batch": str(preset.get("batch", "")),
        "front end": f"{front_end.get('num_bands', '')} {front_end.get('kind', '')}".strip(),
        "folds": str(run.folds),
        "seeds": seeds_text(run.seeds),
        **{name: run.fitted_with(name) for name in ("device", "precision")},
    }
