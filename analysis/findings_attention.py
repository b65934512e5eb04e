"""The section of the findings on whether the attention does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.figures.intervals import WITHOUT
from analysis.findings_tables import signed, table
from analysis.lists import grouped
from analysis.stats.claims import Cell
from analysis.stats.side_results import AttentionEffect, Neutralised, read_effect
from cry_model.layers import DifferentialAttention
from cry_model.records import Estimate, percent, words
from cry_model.registry import get_system

NAMES = {
    "differential": "A1 and A2 uniform",
    "temporal": "A<sub>t</sub> its mean over time",
    "channel": "A<sub>c</sub> its mean over channels",
    "channel_fixed": "A<sub>c</sub> its mean over pieces",
    "multi_scale": "MCA gate its mean over channels and branches",
    "multi_scale_fixed": "MCA gate its mean over pieces",
}
Effects = Mapping[tuple[str, str], AttentionEffect]
"""By the title of the cell and the system."""


def attention_section(cells: Sequence[Cell]) -> list[str]:
    """Lines of the section; none if nothing was measured."""
    found = {
        (c.title, run.system): read_effect(run.folder) for c in cells for run in c.runs.values()
    }
    effects = {key: effect for key, effect in found.items() if effect and effect.neutralised}
    if not effects:
        return []
    names = list(dict.fromkeys(name for e in effects.values() for name in e.neutralised))
    count = sum(len(effect.neutralised) for effect in effects.values())
    return [
        "## Does the attention do anything?",
        "",
        "Fitted systems, with one of their attentions made neutral: the change of the balanced "
        "accuracy per recording (below zero where the attention helps), with its interval over "
        "groups, and the share of recordings that get another answer. Bold: the interval excludes "
        "zero.",
        "",
        *table(
            ["neutral", *(NAMES.get(name, words(name)) for name in names)],
            ([_row_title(*key), *_changes(effect, names)] for key, effect in effects.items()),
        ),
        "",
        *(_sentence(effects, name) for name in names),
        "",
        f"The intervals are not corrected for their number, {count}: of so many, about "
        f"{count / 20:g} would exclude zero by chance where no attention did anything, and more "
        "where a label has few groups, whose intervals are narrower than they should be. Those of "
        "one cell are not independent.",
        "",
        "What the maps are like. The entropy of A1 and A2 is 1 where they are uniform; lambda "
        f"begins at {DifferentialAttention.LAMBDA_START:g}.",
        "",
        *table(
            ["map", "seeds", "entropy of A1", "entropy of A2", "lambda, least to greatest"],
            (
                [_row_title(*key), *_maps(effect, effect.entropies)]
                for key, effect in effects.items()
                if effect.entropies is not None
            ),
        ),
        "",
    ]


def _row_title(cell: str, system: str) -> str:
    return f"{cell}, {get_system(system).title}"


def _changes(effect: AttentionEffect, names: Sequence[str]) -> list[str]:
    return [_change(effect.neutralised.get(name)) for name in names]


def _change(one: Neutralised | None) -> str:
    if one is None:
        return "-"
    said = f"{signed(one.difference)}, {percent(one.changed.value)}"
    return said if one.difference.low <= 0 <= one.difference.high else f"**{said}**"


def _maps(effect: AttentionEffect, entropies: tuple[Estimate, Estimate]) -> list[str]:
    weights = effect.weights
    between = f"{weights[0]:.3f} to {weights[-1]:.3f}" if weights else "-"
    return [", ".join(map(str, effect.seeds)), *map(str, entropies), between]


def _sentence(effects: Effects, name: str) -> str:
    """What the intervals say, all cells together; they are not corrected for their number."""
    measured = {key: e.neutralised[name] for key, e in effects.items() if name in e.neutralised}
    helps = [key for key, one in measured.items() if one.difference.high < 0]
    harms = [key for key, one in measured.items() if one.difference.low > 0]
    said = [
        f"{how} on {grouped((cell, WITHOUT.get(system, 'whole')) for cell, system in keys)}"
        for how, keys in (("worse than fitted", helps), ("better than fitted", harms))
        if keys
    ]
    outcome = "; ".join(said) or "no interval excludes zero"
    return f"- {NAMES.get(name, words(name))}, of {len(measured)}: {outcome}."
