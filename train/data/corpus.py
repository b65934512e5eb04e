"""Describe a corpus, and hold its recordings in memory as the front end wants them.

A 7 s clip is 0.2 MB at the front end's 8 kHz: whole corpora fit on any device.
"""

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

from cry_model.networks.registry import AnyConfig, AnyFrontEnd
from cry_model.sound import audio
from cry_model.sound.acoustic_features import AcousticConfig, AcousticFrontEnd
from cry_model.sound.frontend import Clip, Pieces

ONLY_LEARNT = -1
"""The fold of a recording that its authors put outside of their test part."""
UNEXPECTED = "This recording could not be read ({}); please give another one, and report it."
PREPARES = ("sample_rate", "low_hz", "high_hz", "window", "hop", "trim_db", "trim_margin")
"""The fields of a front end's configuration that decide what ``prepare`` gives."""
FAMILIES = (
    {"donateacry", "donateacry_ios", "cries", "detector"},
    {"esc10", "cries", "detector"},
    {"other_sounds", "detector"},
    {"challenge6", "challenge6_cuts", "challenge6-features", "challenge6-features-16khz"},
)
"""Corpora that share recordings, or have them as features."""


class DataError(ValueError):
    """A corpus that is missing or unusable; the message says what to put where."""


def related(one: str, other: str) -> bool:
    """Tell whether two corpora, by name, hold recordings of the same babies."""
    return one == other or any({one, other} <= family for family in FAMILIES)


@dataclass(frozen=True)
class Item:
    """One recording."""

    path: Path
    label: str | None  # None if nobody has named one
    recording: str  # a name that no other recording of the corpus has
    source: str  # the longer recording that it was cut from; its own name where it is whole
    group: str  # the baby, or the nearest to it that the corpus tells: on one side of a split
    fold: int | None = None  # of the corpus's authors, from 0; ONLY_LEARNT for what is not tested
    piece: int | None = None  # its part, from 0, where recordings were cut before splitting

    @property
    def unit(self) -> str:
        """What a fit is tested on as a whole: the recording, or the part of it that was cut."""
        return self.recording if self.piece is None else f"{self.recording}#{self.piece}"


@dataclass(frozen=True)
class Corpus:
    """A dataset: its recordings, not decoded yet, their labels in the order of the logits, terms,
    and sentences for who reads it, about what was found and passed over."""

    name: str
    labels: tuple[str, ...]
    items: tuple[Item, ...]
    licence: str
    notes: tuple[str, ...] = ()

    def indices(self, items: Sequence[Item] | None = None) -> list[int]:
        """Return the label of each item as an index into ``labels``; -1 for an unlabelled one."""
        order = {None: -1, **{label: i for i, label in enumerate(self.labels)}}
        return [order[item.label] for item in (self.items if items is None else items)]


@dataclass(frozen=True)
class ArchiveFolder:
    """One folder of a data root that an archive fills."""

    name: str
    source: str  # where its contents lie below the archive's one top folder, which "" is
    pattern: str  # which files below ``source`` are taken, one wildcard for each level
    files: int  # how many recordings are expected; the least that is accepted without a digest
    digest: str | None = None  # of all recordings, see :func:`train.data.download.digest`


@dataclass(frozen=True)
class Archive:
    """A zip of a repository: one top folder; its README goes into each of ours."""

    url: str
    file: str  # its name while it lies in the data root
    folders: tuple[ArchiveFolder, ...]


class TableFrontEnd(nn.Module):
    """In the place of a front end where a recording already is its row of features."""

    def __init__(self, config: AcousticConfig):
        super().__init__()
        self.config = config

    def cut(self, clip: Clip) -> Pieces:
        """Return the row (26,) as one piece (1, 26)."""
        return Pieces(clip.waveform.unsqueeze(0), (0.0,), 0.0)

    def forward(self, rows: Tensor) -> Tensor:
        """(batch, 26) -> (batch, 26, 1): features of a single frame, their mean."""
        return rows.unsqueeze(-1)


@dataclass(frozen=True)
class Clips:
    """The usable recordings of a corpus, ready for the front end."""

    items: tuple[Item, ...]
    labels: Tensor  # (clips,) class indices, -1 where there is no label
    seconds: tuple[float, ...]  # of each recording as it lay in the file
    rates: tuple[int, ...]  # Hz, likewise
    waveforms: tuple[Tensor, ...]  # for each clip (samples,), what the front end's prepare gave
    left_out: dict[str, str]  # recording -> why it could not be used

    def subset(self, indices: Sequence[int]) -> Clips:
        """Return some of the clips, in the order of ``indices``."""
        labels = self.labels[torch.as_tensor(indices, dtype=torch.long)]
        every = self.items, self.seconds, self.rates, self.waveforms
        items, seconds, rates, waves = (tuple(values[i] for i in indices) for values in every)
        return Clips(items, labels, seconds, rates, waves, self.left_out)

    def labelled(self, are: bool = True) -> Clips:
        return self.subset([i for i, item in enumerate(self.items) if (item.label is None) != are])

    def pieces(self, front_end: AnyFrontEnd | TableFrontEnd, index: int) -> Pieces:
        return front_end.cut(Clip(self.waveforms[index], 0.0))

    def fingerprint(self) -> str:
        """Return 16 characters that change when sound, label or group of a recording does."""
        digest = hashlib.sha256()
        for item, wave in zip(self.items, self.waveforms, strict=True):
            fact = (item.recording, item.label, item.source, item.group, item.fold, len(wave))
            digest.update(repr(fact).encode())
            digest.update(wave.numpy())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Prepared:
    """A corpus's name, labels and terms, and what of it can be used, in memory."""

    corpus: Corpus
    clips: Clips


def join(first: Clips, second: Clips) -> Clips:
    """Return all clips of both."""
    return Clips(
        first.items + second.items,
        torch.cat([first.labels, second.labels]),
        first.seconds + second.seconds,
        first.rates + second.rates,
        first.waveforms + second.waveforms,
        {**first.left_out, **second.left_out},
    )


def load_file(item: Item) -> audio.Recording:
    """Return what the item's file holds."""
    return audio.load(item.path)


def load_clips(
    corpus: Corpus, front_end: AnyFrontEnd, load: Callable[[Item], audio.Recording] = load_file
) -> Clips:
    """Read every recording; a bad one is left out; raise DataError if none is left."""
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
                "bring the file that 'python -m train prepare' writes where it is installed."
            ) from None
        except Exception as error:  # the other recordings are read all the same
            left_out[item.recording] = UNEXPECTED.format(type(error).__name__)
    if not found:
        first, why = next(iter(left_out.items()))
        raise DataError(f"No recording of {corpus.name} could be read. Of {first}: {why}")
    items, seconds, rates, waveforms = zip(*found, strict=True)
    return Clips(items, torch.tensor(corpus.indices(items)), seconds, rates, waveforms, left_out)


def tabulate(data: Prepared, config: AcousticConfig) -> Prepared:
    """Return clips of an acoustic front end as rows, means over their pieces and frames."""
    front_end, clips = AcousticFrontEnd(config), data.clips
    with torch.inference_mode():
        pieces = (clips.pieces(front_end, i).waveforms for i in range(len(clips.items)))
        rows = [front_end(waves).mean((0, 2)) for waves in pieces]
    return replace(data, clips=replace(clips, waveforms=tuple(row.clone() for row in rows)))


def cut_before_splitting(clips: Clips, config: AnyConfig) -> Clips:
    """Cut every recording in equal parts of about 3 to 5 s that do not overlap, for ``clip``.

    Parts of one recording are clips of their own from here on, and may be split from each other.
    """

    def count(wave: Tensor) -> int:
        length = len(wave) / config.sample_rate
        parts = max(1, math.ceil(length / config.piece_seconds))
        return parts if length / parts >= config.min_seconds else max(1, parts - 1)

    cuts = [wave.tensor_split(count(wave)) for wave in clips.waveforms]
    numbers = [(i, number) for i, parts in enumerate(cuts) for number in range(len(parts))]
    whole = clips.subset([i for i, _ in numbers])
    pairs = zip(whole.items, numbers, strict=True)
    return replace(
        whole,
        items=tuple(replace(item, piece=number) for item, (_, number) in pairs),
        seconds=tuple(clips.seconds[i] / len(cuts[i]) for i, _ in numbers),
        waveforms=tuple(part for parts in cuts for part in parts),
    )


def permute_labels(clips: Clips, labels: Sequence[str], seed: int) -> Clips:
    """Give every group the labels of another one with as many recordings, in any order.

    So a group is as much of one label as before, and all labels are as frequent. If labels have
    nothing to do with the sound but through how many recordings a group has, one such permutation
    is as likely as another. A group may get its own labels; one that no other is as large as always
    does, in another order. All clips have labels; those of one recording keep one.
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
    """Return what of a front end decides the content of a prepared file."""
    if isinstance(config, AcousticConfig):  # its own level and its whole length
        return {"kind": config.kind, "sample_rate": config.sample_rate}
    return {name: getattr(config, name) for name in PREPARES}
