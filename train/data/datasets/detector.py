"""List the detector's corpus: cries, and all other sounds that are available or synthesised.

Cries come from both folders of Donate-a-Cry and from ESC-10. Other sounds are the other classes of
ESC-10; spoken digits joined into speech, at their own pitch and as high as a child's;
:mod:`~train.data.datasets.other_sounds`; and :mod:`~train.data.synthetic_sounds`. Android uploads
that are not in those two folders have no label, because most contain no audible cry. No cry is
synthetic: when synthetic cries were included, the detector took chainsaws and music for cries.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cry_model.sound import audio
from cry_model.sound.frontend import resample
from train.data import synthetic_sounds
from train.data.corpus import Corpus, DataError, Item
from train.data.datasets import other_sounds, public

NAME = "detector"
CRY, OTHER = "cry", "other"
LABELS = (CRY, OTHER)
FOLDS = 5
APP_CRY, ESC_CRY = "donateacry", "baby_cry"
ANDROID = "donateacry_android"
SPEECH, RAISED_SPEECH = "speech", "raised_speech"
MADE: Mapping[str, int] = {
    "laughter": 100, "mew": 80, "siren": 40, "beeps": 20, "bird": 40,
}  # fmt: skip
"""Kind -> number of synthetic sounds; kinds that resemble a cry have more."""
SPOKEN = 10  # items per speaker and pitch
SPEECH_LICENCE = "CC BY-SA 4.0 (Free Spoken Digit Dataset)"
SECONDS = 6.0  # of joined speech
RATE = 8_000  # Hz, of the digits
RAISED = (130, 190)  # % of the original speed: raises a man's voice to a child's pitch


def kind_of(recording: str) -> str:
    """Return a recording's kind from its name: ``rooster``, ``speech``, ``donateacry``."""
    return recording.partition("/")[0]


def read(root: Path) -> Corpus:
    """List all recordings and synthetic sounds; raise DataError if a corpus is missing."""
    found = other_sounds.read(root).items
    uploads = tuple(_uploads(root))
    android = _android(root, {item.recording.partition("/")[2].lower() for item in uploads})
    path = Path(synthetic_sounds.__file__)  # its modification time invalidates the cached sounds
    made = (
        _item(path, kind, str(number), f"{kind}/{number}", number % FOLDS)
        for kind, count in MADE.items()
        for number in range(count)
    )
    items = (*uploads, *android, *_others(root), *found, *made)
    licences = public.REASONS_LICENCE, public.SOUNDS_LICENCE, SPEECH_LICENCE, other_sounds.LICENCE
    return Corpus(NAME, LABELS, items, "; ".join(licences))


def load(item: Item) -> audio.Recording:
    """Load, join or synthesise the sound of an item."""
    kind, _, name = item.recording.partition("/")
    if kind in (SPEECH, RAISED_SPEECH):
        speaker, _, number = name.partition("/")
        words = tuple(sorted(item.path.glob(f"*_{speaker}_*.wav")))
        return join_speech(words, int(number), kind == RAISED_SPEECH)
    if kind in synthetic_sounds.KINDS:
        wave = torch.from_numpy(synthetic_sounds.make_sound(kind, int(name)))
        return audio.Recording(wave, synthetic_sounds.RATE)
    if kind in other_sounds.KINDS:
        return other_sounds.load(item)
    return audio.load(item.path)


def _item(path: Path, kind: str, name: str, group: str, fold: int) -> Item:
    recording = f"{kind}/{name}"
    label = CRY if kind in (APP_CRY, ESC_CRY) else OTHER
    return Item(path, label, recording, recording, group, fold)


def _uploads(root: Path) -> Iterator[Item]:
    """Yield the uploads in both folders of Donate-a-Cry; of duplicates, only the original."""
    originals = {item.recording.lower(): item for item in public.read_ios(root).items}
    cleaned = {item.recording.lower(): item for item in public.read_donateacry(root).items}
    for item in {**cleaned, **originals}.values():
        fold = zlib.crc32(item.group.encode()) % FOLDS
        yield _item(item.path, APP_CRY, item.recording, item.group, fold)


def _android(root: Path, known: Collection[str]) -> Iterator[Item]:
    """Yield uploads whose names are not ``known``, unlabelled; raise DataError without files."""
    files = sorted((root / ANDROID).glob("*.3gp"))
    if not files:
        raise DataError(
            f"There are no recordings in {root / ANDROID}. Put the files of Donate-a-Cry's "
            f"'donateacry-android-upload-bucket' there ({public.UPLOADS_AT})."
        )
    for path in files:
        if path.stem.lower() not in known:
            group = path.name[: public.INSTALLATION].lower()
            fold = zlib.crc32(group.encode()) % FOLDS
            yield replace(_item(path, ANDROID, path.stem, group, fold), label=None)


def _others(root: Path) -> Iterator[Item]:
    """Yield the items of ESC-10 and of speech joined from spoken digits, or raise DataError."""
    for item in public.read_esc10(root).items:
        own = _item(item.path, str(item.label), item.recording, item.group, item.fold or 0)
        yield replace(own, source=item.source)
    speakers = sorted({path.stem.split("_")[1] for path in (root / SPEECH).glob("*_*_*.wav")})
    if not speakers:
        raise DataError(
            f"There are no spoken digits in {root / SPEECH}. Put the recordings of the Free Spoken "
            "Digit Dataset (<digit>_<speaker>_<take>.wav) there, or name another folder with "
            "--data-root."
        )
    for fold, speaker in enumerate(speakers):
        for kind, number in product((SPEECH, RAISED_SPEECH), range(SPOKEN)):
            yield _item(root / SPEECH, kind, f"{speaker}/{number}", speaker, fold % FOLDS)


def join_speech(files: Sequence[Path], number: int, raised: bool) -> audio.Recording:
    """Join one speaker's words at random into speech; ``number`` seeds order, pauses and pitch.
    Raised speech is played faster, which raises its pitch."""
    rng = np.random.default_rng([number, raised])
    percent = int(rng.integers(*RAISED)) if raised else 100
    parts, length = [], 0
    while length < SECONDS * RATE * percent / 100:
        parts += [_word(files[rng.integers(len(files))]), other_sounds.pause(rng, RATE)]
        length += len(parts[-2]) + len(parts[-1])
    wave = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    return audio.Recording(resample(wave, percent, 100)[: round(SECONDS * RATE)], RATE)


def _word(path: Path) -> NDArray[np.float32]:
    """Return a digit with peak 1; many are too short for :func:`audio.load`, hence the decoder."""
    with path.open("rb") as file:
        wave, rate = audio.decode(file)
    if rate != RATE:
        raise DataError(f"{path} has {rate} Hz where the corpus has {RATE}; take it away.")
    return wave / max(1e-6, np.abs(wave).max())
