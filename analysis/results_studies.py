"""Tabulate results other than the models' scores, as rows of docs/results.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from analysis.figures.theme import signed
from analysis.stats.claims import MAIN, JudgedCell
from analysis.stats.comparison import ComparisonError, pair, scores_by
from analysis.stats.paper import FULL
from analysis.stats.runs import METRIC_TITLES, MeasuredRun
from analysis.stats.side_results import (
    Record,
    parsed,
    permuted_label_runs,
    read_permutation_test,
    read_pruning,
)
from cry_model.networks.registry import HYBRID, get_system
from cry_model.records import Estimate, fine_percent, words
from cry_model.results import RUN

Row = Mapping[str, str]
"""Column title -> cell text."""
NONE = "-"
PERMUTED = (MAIN, "macro_auc")
"""Metrics shown for permuted labels."""
ATTENTIONS = {
    "differential": "A1 and A2 uniform",
    "temporal": "A<sub>t</sub>: mean over time",
    "channel": "A<sub>c</sub>: mean over channels",
    "channel_fixed": "A<sub>c</sub>: mean over pieces",
    "multi_scale": "MCA gate: mean over channels and branches",
    "multi_scale_fixed": "MCA gate: mean over pieces",
}
MAPS = {
    "gradient_times_input": "gradient x input",
    "temporal_attention": "A<sub>t</sub>",
    "spectral_attention": "M, over bands and time",
}


def hybrid_rows(cells: Sequence[JudgedCell]) -> list[Row]:
    """Return what attention over bands and time adds to the improved model, on shared seeds."""
    rows = []
    for cell in (own for own in cells if {FULL, HYBRID} <= own.runs.keys()):
        try:
            found = pair(cell.runs[HYBRID], cell.runs[FULL]).compare(MAIN)
        except ComparisonError:  # the runs have other seeds or folds
            continue
        rows.append(
            {
                METRIC_TITLES[MAIN]: cell.title,
                get_system(HYBRID).title: f"{found.value_one:.3f}",
                get_system(FULL).title: f"{found.value_other:.3f}",
                "difference": str(found.difference),
                "p": f"{found.p_value:.3f}",
                "seeds": seeds_text(found.by_seed),
            }
        )
    return rows


def _titled(cells: Sequence[JudgedCell]) -> Iterator[tuple[str, MeasuredRun]]:
    """Yield every run of the cells, titled by its split and model."""
    for cell in cells:
        for run in cell.runs.values():
            yield f"{cell.title}, {get_system(run.system).title}", run


def map_test_rows(cells: Sequence[JudgedCell]) -> Iterable[Row]:
    """Yield a label's probability when the region that a map marks is kept, and when removed."""
    for title, run in _titled(cells):
        path = run.folder / "explanations.json"
        rows = parsed(path, "python -m train check-explanations of commit cf36738", _map_tests)
        yield from ({"probability of the first label": title, **row} for row in rows or ())


def _map_tests(record: Record) -> list[Row]:
    def text(estimate: Record | None) -> str:
        return NONE if estimate is None else str(Estimate(**estimate))

    return [
        {
            "map": MAPS.get(name, name),
            "recordings": f"{record['recordings']}",
            "whole": f"{record['whole']['value']:.3f}",
            **{key: f"{one[key]['value']:.3f}" for key in ("kept", "elsewhere", "removed")},
            "kept - elsewhere": text(one["ahead"]),
            "kept - A<sub>t</sub>'s": text(one["kept_more"]),
            "removed - A<sub>t</sub>'s": text(one["removed_more"]),
        }
        for name, one in record["maps"].items()
    ]


def permutation_rows(cells: Sequence[JudgedCell]) -> Iterable[Row]:
    """Yield the scores of a linear classifier with true and with permuted labels."""
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


def permuted_label_rows(cells: Sequence[JudgedCell]) -> Iterable[Row]:
    """Yield the scores of models fitted to permuted labels."""
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


def attention_rows(cells: Sequence[JudgedCell]) -> tuple[list[Row], list[Row]]:
    """Return the change in balanced accuracy without each attention, in bold if its interval
    excludes zero; and the entropies of A1 and A2 with the range of lambda."""
    changes, maps = {}, []
    for title, run in _titled(cells):
        path = run.folder / "attention_effect.json"
        found = parsed(path, "python -m train ablate-attention", _attention)
        if found is not None:
            changes[title], own = found
            maps += [{"map": title, **own}] if own else []
    names = dict.fromkeys(name for ablated in changes.values() for name in ablated)
    rows = [
        {"ablated": title, **{name: ablated.get(name, NONE) for name in names}}
        for title, ablated in changes.items()
    ]
    return rows, maps


def _attention(record: Record) -> tuple[Row, Row | None]:
    """Return attention -> change without it, and the statistics of its maps if it has any."""
    changes = {}
    for name, one in record["ablated"].items():
        difference = Estimate(**one["metrics"][MAIN]["difference"])
        text = f"{signed(difference)}, {one['changed']['value']:.0%}"
        is_clear = not difference.low <= 0 <= difference.high
        changes[ATTENTIONS.get(name, name)] = f"**{text}**" if is_clear else text
    maps = record["differential"]
    if not maps:
        return changes, None
    weights = maps["weight"].values()
    return changes, {
        "seeds": seeds_text(record["seeds"]),
        "entropy of A1": str(Estimate(**maps["entropy_1"])),
        "entropy of A2": str(Estimate(**maps["entropy_2"])),
        "lambda": f"{min(weights):.3f} to {max(weights):.3f}",
    }


def pruning_rows(cells: Sequence[JudgedCell]) -> Iterable[Row]:
    """Yield the scores and costs of pruned models and of int8 graphs."""
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
    """Join seeds with commas."""
    return ", ".join(map(str, seeds))


def detector_tables(results: Path) -> dict[str, list[Row]]:
    """Return three tables of the cry detector: totals, kinds of sound, altered cries; empty without
    a run. Raise ResultsError if the file is malformed. ``results``: the results folder."""
    paths = sorted((results / "detector").glob(f"*/*/{RUN}"))
    tables = parsed(paths[0], "python -m train train-detector", _detector) if paths else None
    return tables or {}


def _detector(record: Record) -> dict[str, list[Row]]:
    found, external = record["detector"], record.get("external", {})
    estimates = ("area", "tagger_area", "accepted", "false_accepts", "tagger_false_accepts")
    shown = {name: str(Estimate(**found[name])) for name in estimates}
    own, theirs = found["alarms_per_hour"]
    totals = [
        ("area under the ROC curve", shown["area"], shown["tagger_area"]),
        ("cries accepted", shown["accepted"], "as many"),
        ("other sounds accepted", shown["false_accepts"], shown["tagger_false_accepts"]),
        ("false alarms per hour of other sounds", f"{own:.1f}", f"{theirs:.1f}"),
        ("seconds from onset to detection, median", f"{found['delay']:.1f}", NONE),
        *(
            (f"cries of another corpus: {words(k)}", fine_percent(v), NONE)
            for k, v in external.items()
        ),
    ]
    kinds, conditions = (
        [
            (words(name), *map(fine_percent, both))
            for name, both in sorted(found[shares].items(), key=lambda item: -item[1][0])
        ]
        for shares in ("kinds", "conditions")
    )
    kinds += [
        (f"{family}, fitted without them", fine_percent(share), NONE)
        for family, share in found["unheard"].items()
    ]
    return {
        "totals": _rows("held-out recordings", totals),
        "kinds": _rows("accepted", kinds),
        "conditions": _rows("cries accepted", conditions),
    }


def _rows(head: str, cells: list[tuple[str, str, str]]) -> list[Row]:
    return [{head: name, "detector": own, "YAMNet": theirs} for name, own, theirs in cells]
