"""Find the audio of a recording named in a table, and write a player for it."""

from __future__ import annotations

import base64
import io
import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePath

import soundfile
from markupsafe import Markup

from analysis.panels.base import UNLICENSED
from cry_model.sound import audio
from cry_model.sound.audio import Recording

SECONDS = 60  # at most, since the page contains the audio
VARIABLE = "CRY_DATA"
NOT_TO_BE_PLAYED = "The source of these recordings states no licence, so they are not played here."
NOT_FOUND = (
    f"Audio is not kept with the results. To play it, start the page with {VARIABLE} set to the "
    "folder of recordings."
)
PLAYER = Markup(
    '<p class="name">{name}{cut}</p><audio controls autoplay aria-label="{name}" src="{address}">'
    '</audio><button type="button">Ask about it</button>'
)
SILENT = Markup('<p class="name">{}</p><p>{}</p>')


def data_uri(sound: Recording, start: float = 0.0, end: float = SECONDS) -> str:
    """Encode a stretch, in seconds, as a 16-bit mono wav in a data URI."""
    rate, file = sound.sample_rate, io.BytesIO()
    wave = sound.waveform[round(start * rate) : round(end * rate)].clamp(-1, 1)
    soundfile.write(file, wave.numpy(), rate, "PCM_16", format="WAV")
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"


def player_html(name: str, sound: Recording) -> Markup:
    """Write a player that starts at once, below the recording's name."""
    cut = f" (the first {SECONDS} s)" if sound.duration > SECONDS else ""
    return PLAYER.format(name=name, cut=cut, address=data_uri(sound))


def find_audio(dataset: str, recording: str) -> Recording:
    """Load a recording of the results.

    Raises:
        AudioError: if ``CRY_DATA`` does not contain it as audio, or if its source states no
            licence.
    """
    if dataset.startswith(UNLICENSED):
        raise audio.AudioError(NOT_TO_BE_PLAYED)
    if (path := find_recording(dataset, recording)) is None:
        raise audio.AudioError(NOT_FOUND)
    return audio.load(path)


def find_recording(dataset: str, recording: str) -> Path | None:
    """Return the file of a recording below ``CRY_DATA``, by its path, name or stem.

    Names are looked up among the files in the dataset's folder only, so none leads out of it. If
    two folders contain a file of that name, it is ambiguous, and neither is returned.
    """
    root = os.environ.get(VARIABLE)
    if not root:
        return None
    folder = _folder(Path(root), dataset)
    return None if folder is None else _index(folder).get(recording)


def _folder(root: Path, dataset: str) -> Path | None:
    if dataset == f"folder-{root.resolve().name}":  # a user's own corpus: the data root itself
        return root
    own = dataset != ".." and PurePath(dataset).parts == (dataset,)
    return root / dataset if own else None


@lru_cache(maxsize=16)
def _index(folder: Path) -> Mapping[str, Path]:
    """Map stem, file name and path below ``folder`` to the file; drop ambiguous names."""
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        if path.suffix.lower() in audio.SUFFIXES and not hidden and path.is_file():
            for name in {path.stem, path.name, below.as_posix()}:
                named[unicodedata.normalize("NFC", name)].append(path)
    return {
        name: paths[0] for name, paths in named.items() if len({path.parent for path in paths}) == 1
    }


def play(request: dict[str, str]) -> dict[str, str]:
    """Return the HTML that plays a recording of a dataset, or a sentence on why it cannot."""
    dataset, recording = str(request.get("dataset", "")), str(request.get("recording", ""))
    try:
        sound = find_audio(dataset, recording)
    except audio.AudioError as error:
        return {"html": SILENT.format(recording, error)}
    return {"html": player_html(recording, sound)}
