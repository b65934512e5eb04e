"""``python -m train prepare``."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import typer

from train.cli.options import CORPORA, CorpusOptions, one_of, option
from train.data.cache import describe, prepare
from train.data.clips import Prepared
from train.data.corpus import ONLY_LEARNT, DataError, Item
from train.data.datasets import DATASETS, folder
from train.data.datasets.tables import plain
from train.data.download import download
from train.data.splits import FOLDS, has_test_part
from train.fit.presets import PRESETS

SHOWN = 5  # of many alike


def overview(data: Prepared) -> str:
    """Write a line a label: recordings, groups, seconds, and what the corpus's own split tests."""
    clips = data.clips
    table = pd.DataFrame(
        {
            "label": [item.label or "(none)" for item in clips.items],
            "group": [item.group for item in clips.items],
            "seconds": clips.seconds,
            "tested": [item.fold == 0 for item in clips.items],
        }
    )
    lines = table.groupby("label", sort=True).agg(
        recordings=("group", "size"),
        groups=("group", "nunique"),
        seconds=("seconds", "sum"),
        tested=("tested", "sum"),
    )
    if not has_test_part(clips.items):
        lines = lines.drop(columns="tested")
    return lines.rename_axis(None).to_string(float_format="{:.1f}".format)


def cautions(data: Prepared, folds: int, protocol: str = "baby") -> list[str]:
    """Write sentences about labels, groups and sounds that do not look as they were meant."""
    items = data.clips.labelled().items
    found = [
        *_twins("labels", {item.label for item in items}, r"[\s_-]+"),
        *_twins("groups", {item.group for item in items if item.group != item.recording}, r"\s+"),
        *_crossing(items, "labels", lambda item: item.label),
        *_crossing(items, "groups", lambda item: item.group),
        *(_test_part(items) if has_test_part(items) else _few_groups(items, folds)),
    ]
    names = {item.recording for item in items}
    guessed = names.issuperset(item.group for item in items)
    if protocol == "baby" and guessed and data.corpus.name.startswith(f"{folder.NAME}-"):
        found.append(
            "nothing names the babies, so each recording counts as one unless it sounds like "
            f"another, and the protocol baby is that of recordings; name them in {folder.GROUPS}."
        )
    return [f"Please check: {sentence}" for sentence in found]


def _twins(kind: str, names: Iterable[str], blanks: str) -> list[str]:
    """Find names that differ by case or blanks alone."""
    alike = defaultdict(list)
    for name in sorted(names):
        alike[re.sub(blanks, "", plain(name)) or name].append(name)
    twins = [", ".join(map(repr, same)) for same in alike.values() if same[1:]]
    return [f"the {kind} {same} differ only by case or blanks." for same in _few(twins)]


def _crossing(items: Sequence[Item], kind: str, of: Callable[[Item], str | None]) -> list[str]:
    """Find equal sounds with different labels, or in different groups."""
    same: dict[str, dict[str | None, str]] = defaultdict(dict)
    for item in items:
        same[item.source].setdefault(of(item), item.recording)
    pairs = [" and ".join(list(one.values())[:2]) for one in same.values() if len(one) > 1]
    return [f"one sound has two {kind}: {pair}." for pair in _few(pairs)]


def _few_groups(items: Sequence[Item], folds: int) -> list[str]:
    groups = defaultdict(set)
    for item in items:
        groups[item.label].add(item.group)
    few = [f"{label} ({len(own)})" for label, own in sorted(groups.items()) if len(own) < folds]
    if not few:
        return []
    return [f"fewer groups than the {folds} folds, so some lack the label: {', '.join(few)}."]


def _test_part(items: Sequence[Item]) -> list[str]:
    """Find a test part that shares labels too little, or groups at all, with the rest."""
    learnt = [item for item in items if item.fold == ONLY_LEARNT]
    tested = [item for item in items if item.fold != ONLY_LEARNT]
    known, asked = {item.label for item in learnt}, {item.label for item in tested}
    groups = {item.group for item in tested}
    both = sum(item.group in groups for item in learnt)
    found = []
    if unknown := sorted(asked - known):
        found.append(f"labels that are tested but never learnt: {', '.join(unknown)}.")
    if untested := sorted(known - asked):
        found.append(f"labels that are never tested: {', '.join(untested)}.")
    if both:
        found.append(
            f"{both} recordings share a group or their sound with the test part; under the "
            "protocol baby the test is of fits without them."
        )
    return found


def _few(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - SHOWN
    return [*sentences[:SHOWN], *([f"{more} more like these"] if more > 0 else [])]


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(CorpusOptions):
    """Decode a corpus once into one compact file.

    'fit' reads it, also on a machine without audio libraries: copy the file there and give its
    name to --dataset.
    """

    dataset: Annotated[
        str, typer.Argument(parser=one_of(DATASETS), metavar="DATASET", help=f"one of {CORPORA}")
    ]
    download: Annotated[
        bool,
        option(
            "fetch the corpus first, from its public archive; what is there stays",
            "--download",
        ),
    ] = False
    preset: Annotated[str, option("whose front end will hear it", parser=one_of(PRESETS))] = "best"


def run(options: PrepareOptions) -> None:
    """Prepare the corpus and say what is in it."""
    if options.data_root is None:
        raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
    dataset, config = DATASETS[options.dataset], PRESETS[options.preset].front_end
    if options.download:
        download(dataset, options.data_root)
    if dataset.write is not None and not (options.data_root / dataset.name).exists():
        dataset.write(options.data_root)
    data, path = prepare(dataset, options.data_root, options.cache, config)
    folds = 1 if has_test_part(data.clips.items) else FOLDS
    print(overview(data), describe(data), *cautions(data, folds), sep="\n")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB.")
