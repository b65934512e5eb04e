"""List the corpora by name, and decode each once, into one safetensors file of int16 samples.

Samples are scaled to each clip's peak, so quantisation noise lies 96 dB below it. Front ends with
equal preparation, such as log-mel and MFCC, share a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cry_model.checkpoint import write_atomically
from cry_model.networks.registry import make_front_end
from cry_model.records import counted
from cry_model.sound.audio import Recording
from cry_model.sound.front_end_config import AnyConfig, FrontEndConfig
from train.data.corpus import (
    ONLY_LEARNT,
    Archive,
    Clips,
    Corpus,
    DataError,
    Item,
    Prepared,
    join,
    load_clips,
    load_file,
    preparation,
    related,
)
from train.data.datasets import challenge6, detector, folder, other_sounds, public, synthetic6
from train.data.splits import FOLDS, has_test_part, near_duplicates

SUFFIX = ".safetensors"
FORMAT = "2"


@dataclass(frozen=True)
class Dataset:
    """One entry of the registry."""

    name: str  # as given to --dataset; also its folder in the data root (for "folder", the root)
    read: Callable[[Path], Corpus]  # lists the recordings in a data root, or raises DataError
    regroup: Callable[[Clips], tuple[Item, ...]] | None = None  # finds groups from the audio
    archive: Archive | None = None  # where it can be downloaded
    write: Callable[[Path], None] | None = None  # generates it in a data root
    load: Callable[[Item], Recording] = load_file  # loads the audio of an item


DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(public.DONATEACRY, public.read_donateacry, archive=public.DONATEACRY_ARCHIVE),
        Dataset(public.IOS, public.read_ios, archive=public.DONATEACRY_ARCHIVE),
        Dataset(public.ESC10, public.read_esc10, archive=public.ESC10_ARCHIVE),
        Dataset(public.CRIES, public.read_cries),
        Dataset(challenge6.NAME, challenge6.read, challenge6.regroup),
        Dataset(challenge6.CUTS, challenge6.read_cuts, challenge6.regroup_cuts),
        Dataset(folder.NAME, folder.read, folder.regroup),
        Dataset(detector.NAME, detector.read, load=detector.load),
        Dataset(
            other_sounds.NAME, other_sounds.read, write=other_sounds.write, load=other_sounds.load
        ),
        Dataset(synthetic6.NAME, synthetic6.read, write=synthetic6.write),
    )
}


def cache_path(folder: Path, name: str, config: AnyConfig) -> Path:
    """Return the path in ``folder`` of the corpus ``name`` prepared for this front end."""
    facts = json.dumps(preparation(config)).encode()
    digest = hashlib.sha256(facts).hexdigest()[:8]
    return folder / f"{name}-{config.sample_rate}hz-{digest}{SUFFIX}"


def listing(items: Sequence[Item]) -> str:
    """Return a hash of the items of a corpus and their files' sizes and modification times."""
    digest = hashlib.sha256()
    for item in items:
        status = item.path.stat()
        facts = (*astuple(replace(item, path=None)), status.st_size, status.st_mtime_ns)
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def prepare(dataset: Dataset, root: Path, folder: Path, config: AnyConfig) -> tuple[Prepared, Path]:
    """Return a prepared corpus and its file, written if needed; raise DataError if missing."""
    corpus = dataset.read(root)
    path, state = cache_path(folder, corpus.name, config), listing(corpus.items)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # a second process waits and reuses the file
        if not path.exists() or read_header(path).get("listing") != state:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # rounding in resampling depends on it, and so the fingerprint
            try:
                clips = load_clips(corpus, make_front_end(config), dataset.load)
                if dataset.regroup is not None:
                    clips = regrouped(corpus, clips, dataset.regroup, config)
            finally:
                torch.set_num_threads(threads)
            write_atomically(path, encode(corpus, clips, config, state))
            del clips  # two copies of a large corpus may not fit in memory
        data = load(path, config)
    return replace(data, corpus=replace(data.corpus, notes=corpus.notes)), path


def regrouped(
    corpus: Corpus, clips: Clips, regroup: Callable[[Clips], tuple[Item, ...]], config: AnyConfig
) -> Clips:
    """Return clips regrouped with the standard front end, so that all systems share splits."""
    heard, standard = clips, FrontEndConfig()
    if preparation(config) != preparation(standard):
        heard = load_clips(corpus, make_front_end(standard))
    found = {item.recording: item for item in regroup(heard)}
    return replace(clips, items=tuple(found.get(i.recording, i) for i in clips.items))


def encode(corpus: Corpus, clips: Clips, config: AnyConfig, state: str) -> bytes:
    """Serialise a prepared corpus to the bytes of its file."""
    peaks = torch.stack([wave.abs().max() for wave in clips.waveforms])
    pairs = zip(clips.waveforms, peaks, strict=True)
    header = {
        "format": FORMAT,
        "name": corpus.name,
        "labels": json.dumps(corpus.labels),
        "licence": corpus.licence,
        "items": json.dumps([{**asdict(item), "path": item.path.name} for item in clips.items]),
        "left_out": json.dumps(clips.left_out),
        "preparation": json.dumps(preparation(config)),
        "listing": state,
    }
    tensors = {
        "samples": torch.cat([(w / peak * 32767).round().to(torch.int16) for w, peak in pairs]),
        "lengths": torch.tensor([len(wave) for wave in clips.waveforms]),
        "peaks": peaks,
        "seconds": torch.tensor(clips.seconds, dtype=torch.float64),
        "rates": torch.tensor(clips.rates),
    }
    return save(tensors, header)


def read_header(path: Path) -> dict[str, str]:
    """Return the header of a prepared file; empty if it is damaged or of another format."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError):
        return {}
    return header if header.get("format") == FORMAT else {}


def load(path: Path, config: AnyConfig) -> Prepared:
    """Read what :func:`prepare` wrote; raise DataError if missing, damaged or of another config."""
    if not path.exists():
        raise DataError(f"There is no file '{path}'; 'python -m train prepare' writes one.")
    if not (header := read_header(path)):
        raise DataError(f"'{path}' is damaged or not a prepared corpus; prepare it again.")
    if json.loads(header["preparation"]) != preparation(config):
        raise DataError(f"'{path}' was prepared for another front end; prepare it for this one.")
    with safe_open(path, "pt") as file:
        samples, lengths, peaks, seconds, rates = map(
            file.get_tensor, ("samples", "lengths", "peaks", "seconds", "rates")
        )
    items = tuple(Item(Path(facts.pop("path")), **facts) for facts in json.loads(header["items"]))
    corpus = Corpus(header["name"], tuple(json.loads(header["labels"])), items, header["licence"])
    parts = zip(samples.split(lengths.tolist()), peaks, strict=True)
    waveforms = tuple(part.float() * (peak / 32767) for part, peak in parts)
    labels, left_out = torch.tensor(corpus.indices()), json.loads(header["left_out"])
    seconds, rates = tuple(seconds.tolist()), tuple(rates.tolist())
    return Prepared(corpus, Clips(items, labels, seconds, rates, waveforms, left_out))


def find_corpus(name: str, root: Path | None, cache: Path, config: AnyConfig) -> Prepared:
    """Return a corpus by file name, or by name from data root or cache; raise DataError if none."""
    if name.endswith(SUFFIX):
        return load(Path(name), config)
    own = name.startswith(f"{folder.NAME}-")  # as a run and its checkpoint name it
    if name not in DATASETS and not own:
        raise DataError(f"There is no dataset '{name}'; use one of {', '.join(DATASETS)}.")
    if root is not None:
        return prepare(DATASETS[folder.NAME if own else name], root, cache, config)[0]
    path = cache_path(cache, name, config)
    if not path.exists():
        raise DataError(
            "Say where the recordings are: --data-root FOLDER or CRY_DATA; or give --dataset a "
            "file that 'python -m train prepare' wrote."
        )
    return load(path, config)


def with_unlabelled(data: Prepared, extra: Prepared) -> Prepared:
    """Add recordings of another corpus without their labels, except those already in the first: of
    the same name if the corpora are related, and else of the same sound."""
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
    """Return the corpus with the folds to use, and their number: one for its own test part, unless
    ``folds`` is above 1 or the protocol is ``clip``."""
    official = {item.fold for item in data.clips.items} - {None}
    if len(official) > 1 and ONLY_LEARNT not in official:
        return data, folds or FOLDS
    if has_test_part(data.clips.items) and folds in (None, 1) and protocol != "clip":
        return data, 1
    items = tuple(replace(item, fold=None) for item in data.clips.items)
    return replace(data, clips=replace(data.clips, items=items)), folds or FOLDS


def describe(data: Prepared) -> str:
    """Describe a corpus: numbers of recordings, those left out and why, and its own split."""
    clips, left_out = data.clips, data.clips.left_out
    unlabelled = sum(item.label is None for item in clips.items)
    groups = len({item.group for item in clips.items})
    lines = [
        *(f"Left out {recording}: {why}" for recording, why in left_out.items()),
        f"{data.corpus.name}: {counted(len(clips.items), 'recording')} in "
        f"{counted(groups, 'group')}, "
        f"{unlabelled} of them unlabelled, {len(left_out)} left out.",
    ]
    if has_test_part(clips.items):
        fold_of = Counter(item.fold for item in clips.items)
        lines.append(
            f"Its own split: {fold_of[ONLY_LEARNT]} recordings for training, {fold_of[0]} for "
            f"testing. 'fit --folds {FOLDS}' cross-validates over all of them instead."
        )
    return "\n".join([*lines, *data.corpus.notes])


SHOWN = 5  # messages of one kind


def cautions(data: Prepared, folds: int, protocol: str = "baby") -> list[str]:
    """Return warnings about labels, groups and sounds that are probably mistakes."""
    items, found = data.clips.labelled().items, []
    table = pd.DataFrame([asdict(item) for item in items], columns=[f.name for f in fields(Item)])
    given = table[table["group"] != table["recording"]]
    for kind, rows, blanks in (("label", table, r"[\s_-]+"), ("group", given, r"\s+")):
        names = pd.Series(sorted(set(rows[kind])), dtype=str)
        alike = names.groupby([re.sub(blanks, "", folder.plain(name)) or name for name in names])
        twins = [", ".join(map(repr, own)) for _, own in alike if len(own) > 1]
        found += _few([f"the {kind}s {own} differ only in case or blanks." for own in twins])
    for kind in ("label", "group"):
        same = table.drop_duplicates(["source", kind]).groupby("source", sort=False)["recording"]
        pairs = [" and ".join(own[:2]) for _, own in same if len(own) > 1]
        found += _few([f"one sound has two {kind}s: {pair}." for pair in pairs])
    if has_test_part(items):
        found += _test_part(items)
    else:
        groups = table.groupby("label")["group"].nunique()
        if few := [f"{label} ({count})" for label, count in groups.items() if count < folds]:
            names = ", ".join(few)
            found.append(f"fewer than {folds} groups, so some folds lack the label: {names}.")
    guessed = set(table["recording"]).issuperset(table["group"])
    if protocol == "baby" and guessed and data.corpus.name.startswith(f"{folder.NAME}-"):
        found.append(
            "no table names the babies, so each recording counts as one unless it sounds like "
            f"another, and protocol baby equals recording; name the babies in {folder.GROUPS}."
        )
    return [f"Please check: {sentence}" for sentence in found]


def _test_part(items: Sequence[Item]) -> list[str]:
    """Return warnings about labels missing from one part of a split, and groups in both."""
    learnt = [item for item in items if item.fold == ONLY_LEARNT]
    tested = [item for item in items if item.fold != ONLY_LEARNT]
    known, asked = {item.label for item in learnt}, {item.label for item in tested}
    groups, found = {item.group for item in tested}, []
    if unknown := sorted(asked - known):
        found.append(f"labels tested but never trained on: {', '.join(unknown)}.")
    if untested := sorted(known - asked):
        found.append(f"labels never tested: {', '.join(untested)}.")
    if both := sum(item.group in groups for item in learnt):
        found.append(
            f"{both} training recordings share a group or their sound with the test part; protocol "
            "baby leaves them out of training."
        )
    return found


def _few(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - SHOWN
    return [*sentences[:SHOWN], *([f"{more} more like these"] if more > 0 else [])]
