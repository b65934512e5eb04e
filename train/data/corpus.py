"""Describe a corpus, and hold its recordings in memory, prepared for a front end."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cry_model.networks.registry import AnyFrontEnd
from cry_model.sound import audio
from cry_model.sound.acoustic_features import AcousticFrontEnd
from cry_model.sound.front_end_config import AcousticConfig, AnyConfig, Clip, cut

ONLY_LEARNT = -1
"""The fold of a recording outside the official test part."""
FAMILIES = (
    {"donateacry", "donateacry_ios", "cries", "detector"},
    {"esc10", "cries", "detector"},
    {"other_sounds", "detector"},
    {"challenge6", "challenge6_cuts", "challenge6-features", "challenge6-features-16khz"},
)
"""Corpora that share recordings, as audio or as features."""


class DataError(ValueError):
    """The data or options are missing or unusable; the message says how to fix this."""


def related(one: str, other: str) -> bool:
    """Return whether two corpora, given by name, have recordings of the same babies."""
    return one == other or any({one, other} <= family for family in FAMILIES)


@dataclass(frozen=True)
class Item:
    """One recording."""

    path: Path
    label: str | None  # None if unlabelled
    recording: str  # unique name within the corpus
    source: str  # the longer recording that it was cut from; its own name if it is whole
    group: str  # the baby, or the corpus's closest proxy for it: never split by "baby"
    fold: int | None = None  # official fold, from 0; ONLY_LEARNT if it is never tested
    piece: int | None = None  # index of the part, from 0, if recordings were cut before splitting

    @property
    def unit(self) -> str:
        """Return the name of the unit of a split: the recording, or the part cut from it."""
        return self.recording if self.piece is None else f"{self.recording}#{self.piece}"


@dataclass(frozen=True)
class Corpus:
    """A dataset, not yet decoded."""

    name: str
    labels: tuple[str, ...]  # in the order of the logits
    items: tuple[Item, ...]
    licence: str
    notes: tuple[str, ...] = ()  # for the user: what was found and skipped

    def indices(self, items: Sequence[Item] | None = None) -> list[int]:
        """Return the label of each item as an index into ``labels``; -1 if it is unlabelled."""
        order = {None: -1, **{label: i for i, label in enumerate(self.labels)}}
        return [order[item.label] for item in (self.items if items is None else items)]


@dataclass(frozen=True)
class ArchiveFolder:
    """One folder of a data root that is extracted from an archive."""

    name: str
    source: str  # its path below the archive's top folder; "" is that folder
    pattern: str  # glob of the files to extract below ``source``, one wildcard per level
    files: int  # expected number of recordings; without a digest, the minimum
    digest: str | None = None  # of all recordings, see :func:`train.data.download.digest`


@dataclass(frozen=True)
class Archive:
    """A zip of a repository, with one top folder; its README is copied into each of ``folders``."""

    url: str
    file: str  # its name in the data root
    folders: tuple[ArchiveFolder, ...]


class TableFrontEnd(nn.Module):
    """Stands in for a front end when recordings are already rows of features."""

    def __init__(self, config: AcousticConfig):
        super().__init__()
        self.config = config

    def forward(self, rows: Tensor) -> Tensor:
        """Turn mean features (batch, 26) into features of a single frame, (batch, 26, 1)."""
        return rows.unsqueeze(-1)


@dataclass(frozen=True)
class Clips:
    """The usable recordings of a corpus, prepared for the front end."""

    items: tuple[Item, ...]
    labels: Tensor  # (clips,) class indices, -1 if unlabelled
    seconds: tuple[float, ...]  # original duration of each recording
    rates: tuple[int, ...]  # original sample rate of each recording, Hz
    waveforms: tuple[Tensor, ...]  # (samples,) per clip, from the front end's ``prepare``
    left_out: dict[str, str]  # recording -> why it could not be used

    def subset(self, indices: Sequence[int]) -> Clips:
        """Return some of the clips, in the order of ``indices``."""
        labels = self.labels[torch.as_tensor(indices, dtype=torch.long)]
        every = self.items, self.seconds, self.rates, self.waveforms
        items, seconds, rates, waves = (tuple(values[i] for i in indices) for values in every)
        return Clips(items, labels, seconds, rates, waves, self.left_out)

    def labelled(self, are: bool = True) -> Clips:
        return self.subset([i for i, item in enumerate(self.items) if (item.label is None) != are])

    def pieces(self, front_end: AnyFrontEnd | TableFrontEnd, index: int) -> Tensor:
        """Cut a clip, (pieces, samples); a row of features is one piece."""
        wave = self.waveforms[index]
        is_row = isinstance(front_end, TableFrontEnd)
        return wave[None] if is_row else cut(Clip(wave, 0.0), front_end.config).waveforms

    def fingerprint(self) -> str:
        """Return a 16-character hash of names, labels, sources, groups, folds and samples."""
        digest = hashlib.sha256()
        for item, wave in zip(self.items, self.waveforms, strict=True):
            fact = (item.recording, item.label, item.source, item.group, item.fold, len(wave))
            digest.update(repr(fact).encode())
            digest.update(wave.numpy())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Prepared:
    """A corpus with its usable recordings in memory."""

    corpus: Corpus
    clips: Clips


def join(first: Clips, second: Clips) -> Clips:
    """Concatenate two sets of clips."""
    return Clips(
        first.items + second.items,
        torch.cat([first.labels, second.labels]),
        first.seconds + second.seconds,
        first.rates + second.rates,
        first.waveforms + second.waveforms,
        {**first.left_out, **second.left_out},
    )


def load_file(item: Item) -> audio.Recording:
    """Load the audio file of an item."""
    return audio.load(item.path)


def load_clips(
    corpus: Corpus, front_end: AnyFrontEnd, load: Callable[[Item], audio.Recording] = load_file
) -> Clips:
    """Load and prepare every recording; skip unreadable ones; raise DataError if none is left."""
    found, left_out = [], {}
    for item in tqdm(corpus.items, desc=f"Reading {corpus.name}", unit="clip"):
        try:
            recording = load(item)
            wave = front_end.prepare(recording).waveform
            found.append((item, recording.duration, recording.sample_rate, wave))
        except audio.AudioError as error:
            left_out[item.recording] = str(error)
        except ImportError as error:
            raise DataError(
                f"Audio files cannot be read without the package '{error.name}'; install it, or "
                "run 'python -m train prepare' where it is installed and copy the file."
            ) from None
        except Exception as error:  # must not stop the other recordings
            left_out[item.recording] = (
                f"This recording could not be read ({type(error).__name__}); please report it and "
                "give another file."
            )
    if not found:
        first, why = next(iter(left_out.items()))
        raise DataError(f"No recording of {corpus.name} could be read. {first}: {why}")
    items, seconds, rates, waveforms = zip(*found, strict=True)
    return Clips(items, torch.tensor(corpus.indices(items)), seconds, rates, waveforms, left_out)


def tabulate(data: Prepared, config: AcousticConfig) -> Prepared:
    """Convert clips of an acoustic front end to rows of features: means over pieces and frames."""
    front_end, clips = AcousticFrontEnd(config), data.clips
    with torch.inference_mode():
        pieces = (clips.pieces(front_end, i) for i in range(len(clips.items)))
        rows = [front_end(waves).mean((0, 2)) for waves in pieces]
    return replace(data, clips=replace(clips, waveforms=tuple(row.clone() for row in rows)))


def cut_before_splitting(clips: Clips, config: AnyConfig) -> Clips:
    """Cut every recording into equal parts of about 3 to 5 s, separate clips, for ``clip``."""

    def count(wave: Tensor) -> int:
        length = len(wave) / config.sample_rate
        parts = max(1, math.ceil(length / config.piece_seconds))
        return parts if length / parts >= config.min_seconds else max(1, parts - 1)

    cuts = [wave.tensor_split(count(wave)) for wave in clips.waveforms]
    whole = clips.subset([i for i, parts in enumerate(cuts) for _ in parts])
    numbers = [number for parts in cuts for number in range(len(parts))]
    items = [replace(item, piece=n) for item, n in zip(whole.items, numbers, strict=True)]
    waves = tuple(part for parts in cuts for part in parts)
    pairs = zip(clips.seconds, cuts, strict=True)
    seconds = tuple(length / len(parts) for length, parts in pairs for _ in parts)
    return replace(whole, items=tuple(items), seconds=seconds, waveforms=waves)


def permute_labels(clips: Clips, labels: Sequence[str], seed: int) -> Clips:
    """Permute labels among groups with equally many recordings, and then within each group.

    If labels depend on the sound only through the size of a group, all such permutations are
    equally likely. A group of unique size keeps its labels, in another order. All clips must be
    labelled; the parts of a recording keep a common label.
    """
    label_of = {item.recording: item.label for item in clips.items}
    of_group: dict[str, list[str]] = defaultdict(list)
    for name, group in {item.recording: item.group for item in clips.items}.items():
        of_group[group].append(name)
    alike: dict[int, list[list[str]]] = defaultdict(list)
    for names in of_group.values():
        alike[len(names)].append(names)
    chance, permuted = np.random.default_rng(seed), {}
    for groups in alike.values():
        for names, donor in zip(groups, chance.permutation(len(groups)), strict=True):
            own = [label_of[name] for name in groups[donor]]
            permuted.update(zip(names, chance.permutation(own).tolist(), strict=True))
    items = tuple(replace(item, label=permuted[item.recording]) for item in clips.items)
    indices = torch.tensor([labels.index(item.label) for item in items])
    return replace(clips, items=items, labels=indices)


def preparation(config: AnyConfig) -> dict[str, float | str]:
    """Return the front end settings that determine the content of a prepared file."""
    if isinstance(config, AcousticConfig):  # keeps original level and length
        return {"kind": config.kind, "sample_rate": config.sample_rate}
    names = ("sample_rate", "low_hz", "high_hz", "window", "hop", "trim_db", "trim_margin")
    return {name: getattr(config, name) for name in names}
