"""The recordings of a ``fit``, by the names that its command was given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cry_model.front_ends import AnyConfig
from train.cache import SUFFIX, Prepared, cache_path, load, prepare
from train.clips import join
from train.corpus import DataError, related
from train.datasets import DATASETS
from train.duplicates import near_duplicates


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
    items = tuple(replace(item, label=None) for item in clips.items)
    clips = replace(clips, items=items, labels=clips.labels * 0 - 1)
    licences = dict.fromkeys([data.corpus.licence, extra.corpus.licence])
    terms = replace(data.corpus, licence="; ".join(licences))
    return Prepared(terms, join(data.clips, clips))


def describe(data: Prepared) -> str:
    """How many recordings there are, and what was left out and why."""
    clips = data.clips
    lines = [f"Left out {recording}: {why}" for recording, why in clips.left_out.items()]
    unlabelled = len(clips.labelled(False).items)
    groups = len({item.group for item in clips.items})
    return "\n".join(
        [
            *lines,
            f"{data.corpus.name}: {len(clips.items)} recordings in {groups} groups, "
            f"{unlabelled} of them unlabelled, {len(clips.left_out)} left out.",
        ]
    )
