"""The page of the findings, put together from tables and sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from analysis.findings_attention import attention_section
from analysis.findings_caveats import (
    control_line,
    corpus_line,
    guessing_line,
    own_seeds_line,
    precision_line,
    put_aside_line,
    seeds_line,
    variant_line,
)
from analysis.findings_chance import chance_lines
from analysis.findings_dealt import as_good_line
from analysis.findings_tables import GUESSING, fitting_table, measured_table, verdict_table
from analysis.findings_words import absent_lines, ahead_lines, claim_line, headline, leakage_lines
from analysis.stats.claims import LEVEL, MAIN, METRICS, Cell
from analysis.stats.comparison import DRAWS
from analysis.stats.paper import Paper
from analysis.stats.runs import FoundRuns
from cry_model.records import group_name, words

CAVEATS = (
    corpus_line,
    variant_line,
    guessing_line,
    control_line,
    as_good_line,
    precision_line,
)


class Figure(NamedTuple):
    """A file and what it shows."""

    name: str
    words: str


LEAKAGE = Figure(
    "leakage.svg",
    f"{words(MAIN).capitalize()} per recording under each split, with 95 % intervals over groups; "
    "the dotted line is guessing. In grey, where it was asked, what is scored with labels that "
    "were dealt out anew: by a linear classifier, the mean and the middle 95 % of many dealings, "
    "and by systems that were fitted to some, the mean, the least and the greatest (of one: its "
    "interval).",
)
ABLATION = Figure(
    "ablation.svg",
    f"{words(MAIN).capitalize()} that the improved ECAPA-TDNN loses without each module, with 95 % "
    "intervals of the paired difference; the paper prints accuracies without intervals.",
)


def page(found: FoundRuns, cells: Sequence[Cell], paper: Paper, figures: Collection[str]) -> str:
    """The whole page, in Markdown; ``figures`` are the names of those that were drawn."""
    lines = [
        "# Does the paper's story hold?",
        "",
        "Written by `python -m analysis findings` from the files of the results; nothing here was "
        "typed by hand but the paper's own numbers.",
        "",
        *dict.fromkeys(f"{headline(cells, metric)}\n" for metric in METRICS),
        " ".join(filter(None, (say(cells) for say in CAVEATS))),
        "",
        f"By {words(MAIN)}:",
        "",
        *ahead_lines(cells, MAIN),
        *(claim_line(cells, MAIN, i, paper) for i in range(len(cells[0].findings[MAIN]))),
        "",
        *_verdicts(cells),
        *_measured(cells),
        *_pictured("What a split lets through", leakage_lines(cells), LEAKAGE, figures),
        *_with_blank(chance_lines(cells)),
        *_pictured("What a module is worth", [], ABLATION, figures),
        *attention_section(cells),
        "## What was reduced",
        "",
        *fitting_table(cells, paper),
        "",
        f"Epochs of the paper: {paper.epochs_where}. Hours are those of all folds and seeds on the "
        "device that is named, each fit's own, also where several shared it.",
    ]
    if found.unfinished:
        names = (f"`{'/'.join(folder.parts[-3:])}`" for folder in found.unfinished)
        lines += ["", f"Not finished, and left out: {', '.join(names)}."]
    return "\n".join(lines) + "\n"


def _verdicts(cells: Sequence[Cell]) -> list[str]:
    lines = ["## Verdicts", ""]
    for metric in METRICS:
        lines += [*verdict_table(cells, metric), ""]
    groups = " or ".join(dict.fromkeys(group_name(cell.dataset) for cell in cells))
    return [
        *lines,
        'The better system minus the worse one as the claim has it (of "MCA helps most": without '
        "RSE minus without MCA; without differential attention minus without MCA), scored per "
        "recording on the same folds and seeds. In brackets the 95 % interval of the paired "
        f"difference over {DRAWS} draws of whole groups ({groups}), the same for both; in "
        "parentheses in how many of the seeds the difference has this sign. p: both systems' "
        f"answers swapped at random within groups, {DRAWS} times, two-sided, after Holm's "
        "correction over the claims of the column. Confirmed or contradicted: the interval "
        f"excludes zero and p is at most {LEVEL}. {seeds_line(cells)} {GUESSING}: none of "
        "the systems is better than guessing there.",
        "",
        *_with_blank(absent_lines(cells, MAIN)),
    ]


def _measured(cells: Sequence[Cell]) -> list[str]:
    lines = ["## Measured", ""]
    for cell in cells:
        e = cell.evaluation
        title = f"**{cell.title}**: {e.recordings} recordings, {e.groups} groups, {e.split}"
        said = filter(None, (own_seeds_line(cell), put_aside_line(cell)))
        lines += [title, "", *measured_table(cell), "", *_with_blank([" ".join(said)])]
    return lines


def _pictured(
    heading: str, lines: Sequence[str], figure: Figure, figures: Collection[str]
) -> list[str]:
    if figure.name not in figures:
        return []
    image = f"![{figure.words}](figures/{figure.name})"
    return [f"## {heading}", "", *_with_blank(lines), image, "", figure.words, ""]


def _with_blank(lines: Sequence[str]) -> list[str]:
    return [*lines, ""] if any(lines) else []
