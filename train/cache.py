"""A corpus decoded once: one safetensors file of int16 samples that training reads.

The samples are what :meth:`cry_model.frontend.FrontEnd.prepare` gave (one rate, one band, one
level, ends trimmed), scaled to each clip's peak, so the rounding lies 96 dB below it. Front ends
that prepare recordings alike (the log-mel and the MFCC one do) share a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cry_model.acoustic_features import AcousticConfig
from cry_model.checkpoint import write_atomically
from cry_model.frontend import FrontEndConfig
from cry_model.registry import AnyConfig, make_front_end
from train.clips import Clips, load_clips
from train.corpus import Corpus, DataError, Item
from train.datasets import Dataset

SUFFIX = ".safetensors"
FORMAT = "2"
PREPARES = (
    "sample_rate", "low_hz", "high_hz", "window", "hop", "trim_db", "trim_margin",
)  # fmt: skip
"""The fields of a front end's configuration that decide what ``prepare`` gives."""


@dataclass(frozen=True)
class Prepared:
    """A corpus's name, labels and terms, and what of it can be used, in memory."""

    corpus: Corpus
    clips: Clips


def preparation(config: AnyConfig) -> dict[str, float | str]:
    """What of a front end decides the content of the file."""
    if isinstance(config, AcousticConfig):  # its own level and its whole length
        return {"kind": config.kind, "sample_rate": config.sample_rate}
    return {name: getattr(config, name) for name in PREPARES}


def cache_path(folder: Path, name: str, config: AnyConfig) -> Path:
    """Where the corpus ``name`` lies in ``folder`` when prepared for this front end."""
    facts = json.dumps(preparation(config)).encode()
    digest = hashlib.sha256(facts).hexdigest()[:8]
    return folder / f"{name}-{config.sample_rate}hz-{digest}{SUFFIX}"


def listing(items: Sequence[Item]) -> str:
    """Changes when a file of the corpus, its label or its group does."""
    digest = hashlib.sha256()
    for item in items:
        status = item.path.stat()
        facts = (*astuple(replace(item, path=None)), status.st_size, status.st_mtime_ns)
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def prepare(dataset: Dataset, root: Path, folder: Path, config: AnyConfig) -> tuple[Prepared, Path]:
    """The corpus under ``root`` from its file in ``folder``, which is written if need be.

    Raises:
        DataError: if there is no such corpus, or nothing in it can be used.
    """
    corpus = dataset.read(root)
    path, state = cache_path(folder, corpus.name, config), listing(corpus.items)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # who comes second waits, and finds it
        if not path.exists() or read_header(path).get("listing") != state:
            clips = load_clips(corpus, make_front_end(config), dataset.load)
            if dataset.regroup is not None:
                clips = regrouped(corpus, clips, dataset.regroup, config)
            write_atomically(path, encode(corpus, clips, config, state))
            del clips  # two copies of a large corpus may not fit
        data = load(path, config)
    return replace(data, corpus=replace(data.corpus, notes=corpus.notes)), path


def regrouped(
    corpus: Corpus, clips: Clips, regroup: Callable[[Clips], tuple[Item, ...]], config: AnyConfig
) -> Clips:
    """The clips in the groups that are heard as the standard front end prepares them.

    So that all systems split a corpus alike, whatever they listen to.
    """
    heard, standard = clips, FrontEndConfig()
    if preparation(config) != preparation(standard):
        heard = load_clips(corpus, make_front_end(standard))
    found = {item.recording: item for item in regroup(heard)}
    return replace(clips, items=tuple(found.get(i.recording, i) for i in clips.items))


def encode(corpus: Corpus, clips: Clips, config: AnyConfig, state: str) -> bytes:
    """The bytes of the file."""
    peaks = torch.stack([wave.abs().max() for wave in clips.waveforms])
    scaled = [
        (wave / peak * 32767).round().to(torch.int16)
        for wave, peak in zip(clips.waveforms, peaks, strict=True)
    ]
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
        "samples": torch.cat(scaled),
        "lengths": torch.tensor([len(wave) for wave in clips.waveforms]),
        "peaks": peaks,
        "seconds": torch.tensor(clips.seconds, dtype=torch.float64),
        "rates": torch.tensor(clips.rates),
    }
    return save(tensors, header)


def read_header(path: Path) -> dict[str, str]:
    """What is written before the samples; empty for a file that is damaged or not one of ours."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError):
        return {}
    return header if header.get("format") == FORMAT else {}


def load(path: Path, config: AnyConfig) -> Prepared:
    """Reads what :func:`prepare` wrote.

    Raises:
        DataError: if the file is missing, damaged, or was prepared for another front end.
    """
    if not path.exists():
        raise DataError(f"There is no file '{path}'; 'python -m train prepare' writes one.")
    header = read_header(path)
    if not header:
        raise DataError(f"'{path}' is damaged or not a prepared corpus; prepare it again.")
    if json.loads(header["preparation"]) != preparation(config):
        raise DataError(f"'{path}' was prepared for another front end; prepare it for this one.")
    with safe_open(path, "pt") as file:
        samples, lengths, peaks, seconds, rates = (
            file.get_tensor(name) for name in ("samples", "lengths", "peaks", "seconds", "rates")
        )
    items = tuple(
        Item(**{**fields, "path": Path(fields["path"])}) for fields in json.loads(header["items"])
    )
    corpus = Corpus(header["name"], tuple(json.loads(header["labels"])), items, header["licence"])
    waveforms = tuple(
        part.float() * (peak / 32767)
        for part, peak in zip(samples.split(lengths.tolist()), peaks, strict=True)
    )
    labels, left_out = torch.tensor(corpus.indices()), json.loads(header["left_out"])
    facts = tuple(seconds.tolist()), tuple(rates.tolist())
    return Prepared(corpus, Clips(items, labels, *facts, waveforms, left_out))
