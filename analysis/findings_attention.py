"""The section of the findings on whether the attention does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.attention_effects import AttentionEffect, read_effect
from analysis.cells import Cell
from analysis.findings_tables import signed, table
from analysis.measured_run import MeasuredRun
from analysis.paper import FULL
from cry_model.evaluation import percent, words
from cry_model.layers import DifferentialAttention
from cry_model.registry import get_system

NAMES = {
    "differential": "A1 and A2 uniform",
    "temporal": "A<sub>t</sub> its mean over time",
    "channel": "A<sub>c</sub> its mean over channels",
    "channel_fixed": "A<sub>c</sub> its mean over pieces",
    "multi_scale": "MCA gate its mean over channels and branches",
    "multi_scale_fixed": "MCA gate its mean over pieces",
}


def attention_section(cells: Sequence[Cell]) -> list[str]:
    """Lines of the section; none if nothing was measured."""
    effects = {_title(c, run): read_effect(run.folder) for c in cells for run in c.runs.values()}
    effects = {title: effect for title, effect in effects.items() if effect and effect.neutralised}
    if not effects:
        return []
    names = list(dict.fromkeys(name for e in effects.values() for name in e.neutralised))
    rows = [[NAMES.get(name, words(name)), *_changes(effects, name)] for name in names]
    rows += _map_rows(effects)
    count = sum(len(effect.neutralised) for effect in effects.values())
    return [
        "## Does the attention do anything?",
        "",
        "Fitted systems, with one of their attentions made neutral: the change of the balanced "
        "accuracy per recording (below zero where the attention helps), with its interval over "
        "groups, and the share of recordings that get another answer. The entropy of A1 and A2 is "
        f"1 where they are uniform; lambda begins at {DifferentialAttention.LAMBDA_START:g}.",
        "",
        *table(["neutral", *effects], rows),
        "",
        *(_sentence(effects, name) for name in names),
        "",
        f"The intervals are not corrected for their number, {count}: of so many, about "
        f"{count / 20:.0f} would exclude zero by chance where no attention did anything.",
        "",
    ]


def _title(cell: Cell, run: MeasuredRun) -> str:
    return cell.title if run.system == FULL else f"{cell.title}, {get_system(run.system).title}"


def _changes(effects: Mapping[str, AttentionEffect], name: str) -> list[str]:
    cells = []
    for effect in effects.values():
        one = effect.neutralised.get(name)
        cells.append(
            "-" if one is None else f"{signed(one.difference)}, {percent(one.changed.value)}"
        )
    return cells


def _map_rows(effects: Mapping[str, AttentionEffect]) -> list[list[str]]:
    rows = [["seeds"], ["entropy of A1"], ["entropy of A2"], ["lambda, least to greatest"]]
    for effect in effects.values():
        seeds = ", ".join(map(str, effect.seeds))
        shown = ["-", "-"] if effect.entropies is None else map(str, effect.entropies)
        least_to_greatest = "-"
        if effect.weights:
            least_to_greatest = f"{effect.weights[0]:.3f} to {effect.weights[-1]:.3f}"
        for row, text in zip(rows, [seeds, *shown, least_to_greatest], strict=True):
            row.append(text)
    return rows


def _sentence(effects: Mapping[str, AttentionEffect], name: str) -> str:
    """What the intervals say, all cells together; they are not corrected for their number."""
    measured = {t: e.neutralised[name] for t, e in effects.items() if name in e.neutralised}
    helps = [title for title, one in measured.items() if one.difference.high < 0]
    harms = [title for title, one in measured.items() if one.difference.low > 0]
    if not helps and not harms:
        said = "no interval excludes zero"
    else:
        said = "; ".join(
            f"{word} on {', '.join(titles)}"
            for word, titles in (("worse than fitted", helps), ("better than fitted", harms))
            if titles
        )
    return f"- {NAMES.get(name, words(name))}: {said}."
