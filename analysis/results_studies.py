"""Tabulate what was measured of models besides their scores, as rows of docs/results.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from analysis.figures.theme import signed
from analysis.stats.claims import MAIN, Cell
from analysis.stats.comparison import DRAWS, ComparisonError, pair, scores_by
from analysis.stats.paper import FULL
from analysis.stats.runs import METRIC_TITLES, MeasuredRun
from analysis.stats.side_results import (
    AttentionAblation,
    Row,
    permuted_label_runs,
    read_attention_ablation,
    read_map_test,
    read_permutation_test,
    read_pruning,
)
from cry_model.networks.registry import HYBRID, get_system

PERMUTED = (MAIN, "macro_auc")
"""The metrics that are shown of permuted labels."""
ATTENTIONS = {
    "differential": "A1 and A2 uniform",
    "temporal": "A<sub>t</sub> its mean over time",
    "channel": "A<sub>c</sub> its mean over channels",
    "channel_fixed": "A<sub>c</sub> its mean over pieces",
    "multi_scale": "gate of MCA its mean over channels and branches",
    "multi_scale_fixed": "gate of MCA its mean over pieces",
}
MAPS = {
    "gradient_times_input": "gradient x input",
    "temporal_attention": "A<sub>t</sub>",
    "spectral_attention": "M, over bands and time",
}


def hybrid_rows(cells: Sequence[Cell]) -> list[Row]:
    """Return what attention over bands and time adds to the improved model, on shared seeds."""
    rows = []
    for cell in (own for own in cells if {FULL, HYBRID} <= own.runs.keys()):
        try:
            found = pair(cell.runs[HYBRID], cell.runs[FULL], draws=DRAWS).compare(MAIN)
        except ComparisonError:  # of other seeds or folds
            continue
        row = {
            METRIC_TITLES[MAIN]: cell.title,
            get_system(HYBRID).title: f"{found.value_one:.3f}",
            get_system(FULL).title: f"{found.value_other:.3f}",
            "difference": str(found.difference),
            "p": f"{found.p_value:.3f}",
            "seeds": seeds_text(found.by_seed),
        }
        rows.append(row)
    return rows


def _titled(cells: Sequence[Cell]) -> Iterator[tuple[str, MeasuredRun]]:
    """Yield all runs of the cells, each with its split and model as a title."""
    for cell in cells:
        for run in cell.runs.values():
            yield f"{cell.title}, {get_system(run.system).title}", run


def map_test_rows(cells: Sequence[Cell]) -> Iterable[Row]:
    """Yield what the probability becomes when what a map marks is kept, and when removed."""
    for title, run in _titled(cells):
        test = read_map_test(run.folder)
        for name, one in () if test is None else test.maps.items():
            yield {
                "probability of the first label": title,
                "map": MAPS.get(name, name),
                "recordings": f"{test.recordings}",
                "whole": f"{test.whole.value:.3f}",
                **{key: f"{one[key].value:.3f}" for key in ("kept", "elsewhere", "removed")},
                "kept - elsewhere": str(one["ahead"]),
                "kept, less A<sub>t</sub>'s": str(one["kept_more"] or "-"),
                "removed, less A<sub>t</sub>'s": str(one["removed_more"] or "-"),
            }


def permutation_rows(cells: Sequence[Cell]) -> Iterable[Row]:
    """Yield what a linear classifier scores with true and with permuted labels."""
    for cell in cells:
        test = read_permutation_test(next(iter(cell.runs.values())))
        if test is None:
            continue
        for metric in PERMUTED:
            score = test.scores.loc[metric]
            yield {
                "linear classifier, per recording": cell.title,
                "features": test.front_end,
                "metric": METRIC_TITLES[metric],
                "true labels": f"{score['value']:.3f}",
                "permuted labels": str(test.permuted(metric)),
                "p": f"{score['p']:.3f}",
                "permutations": f"{test.permutations}",
                "labels unchanged": f"{test.unchanged:.0%}",
                "seed": f"{test.seed}",
            }


def permuted_label_rows(cells: Sequence[Cell]) -> Iterable[Row]:
    """Yield what models score that were fitted to permuted labels."""
    for title, run in _titled(cells):
        permuted = permuted_label_runs(run)
        for metric in PERMUTED if permuted else ():
            by_seed = scores_by(run, metric, "seed").itertuples()
            null = ((one.seeds, one.evaluation.metrics[metric]) for one in permuted)
            yield {
                "per recording": title,
                "metric": METRIC_TITLES[metric],
                "true labels": ", ".join(f"{r.value:.3f} (seed {r.seed})" for r in by_seed),
                "permuted labels": ", ".join(f"{s} (seed {seeds_text(of)})" for of, s in null),
            }


def attention_rows(cells: Sequence[Cell]) -> list[Row]:
    """Return what changes in balanced accuracy without each attention; bold: not zero."""
    ablations = _attention_ablations(cells)
    names = dict.fromkeys(name for one in ablations.values() for name in one.differences)
    return [
        {"ablated": title, **{ATTENTIONS.get(name, name): _change(one, name) for name in names}}
        for title, one in ablations.items()
    ]


def _change(ablation: AttentionAblation, attention: str) -> str:
    if attention not in ablation.differences:
        return "-"
    difference = ablation.differences[attention]
    text = f"{signed(difference)}, {ablation.changed[attention]:.0%}"
    return text if difference.low <= 0 <= difference.high else f"**{text}**"


def map_rows(cells: Sequence[Cell]) -> list[Row]:
    """Return the entropies of A1 and A2 and the range of lambda."""
    return [
        {
            "map": title,
            "seeds": seeds_text(one.seeds),
            "entropy of A1": str(one.entropies[0]),
            "entropy of A2": str(one.entropies[1]),
            "lambda": f"{one.weights[0]:.3f} to {one.weights[-1]:.3f}" if one.weights else "-",
        }
        for title, one in _attention_ablations(cells).items()
        if one.entropies is not None
    ]


def _attention_ablations(cells: Sequence[Cell]) -> dict[str, AttentionAblation]:
    """Return what was measured, by split and model."""
    found = {title: read_attention_ablation(run.folder) for title, run in _titled(cells)}
    return {title: one for title, one in found.items() if one is not None and one.differences}


def pruning_rows(cells: Sequence[Cell]) -> Iterable[Row]:
    """Yield what pruned models and graphs in int8 score and cost."""
    for title, run in _titled(cells):
        found = read_pruning(run.folder)
        for one in found.variants if found else ():
            yield {
                "pruned": title,
                "channels": f"{one.channels}",
                "numbers": one.precision,
                METRIC_TITLES[MAIN]: str(one.scores[MAIN]),
                "difference": signed(one.difference[MAIN]),
                "multiply-adds": f"{one.multiply_adds / 1e9:.3f} G",
                "parameters": f"{one.parameters / 1e6:.2f} M",
                "file": f"{one.bytes / 1e6:.1f} MB",
                "seeds": seeds_text(found.seeds),
            }


def seeds_text(seeds: Iterable[int]) -> str:
    """List seeds."""
    return ", ".join(map(str, seeds))
