"""The recordings of a ``fit``, by the names that its command was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cry_model.registry import AnyConfig
from train.cache import SUFFIX, Prepared, cache_path, load, prepare
from train.clips import join
from train.corpus import ONLY_LEARNT, DataError, Item, related
from train.datasets import DATASETS
from train.duplicates import near_duplicates
from train.splits import FOLDS, has_test_part


def find_corpus(name: str, root: Path | None, cache: Path, config: AnyConfig) -> Prepared:
    """A prepared file, a corpus under the data root, or one that was prepared earlier.

    Args:
        name: of a dataset, or the path of a file that ``prepare`` wrote.
        root: the data root, if there is one.
        cache: the folder of prepared files.
        config: of the front end that will hear it.

    Raises:
        DataError: if there is no such thing.
    """
    if name.endswith(SUFFIX):
        return load(Path(name), config)
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise DataError(f"There is no dataset '{name}'; there are: {known}, or a prepared file.")
    if root is not None:
        return prepare(DATASETS[name], root, cache, config)[0]
    path = cache_path(cache, name, config)
    if not path.exists():
        raise DataError(
            "Say where the recordings are: --data-root FOLDER or CRY_DATA; or give --dataset a "
            "file that 'python -m train prepare' wrote."
        )
    return load(path, config)


def with_unlabelled(data: Prepared, extra: Prepared) -> Prepared:
    """Adds recordings without their labels, but none that the corpus has itself.

    Those are told by their names where both corpora name the same uploads, else by their sound.
    """
    clips = extra.clips
    if related(data.corpus.name, extra.corpus.name):
        own = {item.recording.lower() for item in data.clips.items}
        known = {i for i, item in enumerate(clips.items) if item.recording.lower() in own}
    else:
        before = len(data.clips.items)
        pairs = near_duplicates([*data.clips.waveforms, *clips.waveforms])
        known = {j - before for i, j in pairs if i < before <= j}
    clips = clips.subset([i for i in range(len(clips.items)) if i not in known])
    items = tuple(replace(item, label=None, fold=None) for item in clips.items)
    clips = replace(clips, items=items, labels=clips.labels * 0 - 1)
    licences = dict.fromkeys([data.corpus.licence, extra.corpus.licence])
    terms = replace(data.corpus, licence="; ".join(licences))
    return Prepared(terms, join(data.clips, clips))


def with_folds(data: Prepared, protocol: str, folds: int | None) -> tuple[Prepared, int]:
    """The corpus as it will be split, and the number of its folds.

    A corpus with a test part of its own is tested on that alone: one fold. With a number of folds,
    or under ``clip``, it is cross-validated over everything instead.

    Args:
        data: the corpus.
        protocol: of :mod:`train.splits`.
        folds: that were asked for; None or 1 for what suits the corpus.
    """
    official = {item.fold for item in data.clips.items} - {None}
    if len(official) > 1 and ONLY_LEARNT not in official:
        return data, folds or FOLDS
    if has_test_part(data.clips.items) and folds in (None, 1) and protocol != "clip":
        return data, 1
    items = tuple(replace(item, fold=None) for item in data.clips.items)
    return replace(data, clips=replace(data.clips, items=items)), folds or FOLDS


def describe(data: Prepared) -> str:
    """How many recordings there are, what was left out and why, and how they are split."""
    clips = data.clips
    lines = [f"Left out {recording}: {why}" for recording, why in clips.left_out.items()]
    unlabelled = len(clips.labelled(False).items)
    groups = len({item.group for item in clips.items})
    return "\n".join(
        [
            *lines,
            f"{data.corpus.name}: {len(clips.items)} recordings in {groups} groups, "
            f"{unlabelled} of them unlabelled, {len(clips.left_out)} left out.",
            *_own_split(clips.items),
            *data.corpus.notes,
        ]
    )


def _own_split(items: Sequence[Item]) -> list[str]:
    """A sentence about the corpus's own test part, if there is one."""
    if not has_test_part(items):
        return []
    learnt = sum(item.fold == ONLY_LEARNT for item in items)
    tested = sum(item.fold == 0 for item in items)
    return [
        f"Its own split: {learnt} recordings are learnt from, {tested} are tested. 'fit --folds "
        f"{FOLDS}' cross-validates over all of them instead."
    ]
