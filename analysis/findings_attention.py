"""The section of the findings on whether the attention does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.attention_effects import AttentionEffect, read_effect
from analysis.cells import Cell
from analysis.findings_tables import signed, table
from analysis.paper import FULL
from cry_model.evaluation import percent, words

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
    found = {c.title: read_effect(c.runs[FULL].folder) for c in cells if FULL in c.runs}
    effects = {title: effect for title, effect in found.items() if effect is not None}
    if not effects:
        return []
    names = list(dict.fromkeys(name for e in effects.values() for name in e.neutralised))
    rows = [[NAMES.get(name, words(name)), *_changes(effects, name)] for name in names]
    rows += _map_rows(effects)
    return [
        "## Does the attention do anything?",
        "",
        "The fitted improved ECAPA-TDNN, with one of its attentions made neutral: the change of "
        "the balanced accuracy per recording (below zero where the attention helps), with its "
        "interval over groups, and the share of recordings that get another answer. The entropy "
        "of A1 and A2 is 1 where they are uniform.",
        "",
        *table(["the improved system", *effects], rows),
        "",
        *(_sentence(effects, name) for name in names),
        "",
    ]


def _changes(effects: Mapping[str, AttentionEffect], name: str) -> list[str]:
    cells = []
    for effect in effects.values():
        one = effect.neutralised.get(name)
        cells.append(
            "-" if one is None else f"{signed(one.difference)}, {percent(one.changed.value)}"
        )
    return cells


def _map_rows(effects: Mapping[str, AttentionEffect]) -> list[list[str]]:
    rows = [["entropy of A1"], ["entropy of A2"], ["lambda, least to greatest"]]
    for effect in effects.values():
        shown = ["-", "-"] if effect.entropies is None else map(str, effect.entropies)
        least_to_greatest = "-"
        if effect.weights:
            least_to_greatest = f"{effect.weights[0]:.3f} to {effect.weights[-1]:.3f}"
        for row, text in zip(rows, [*shown, least_to_greatest], strict=True):
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
