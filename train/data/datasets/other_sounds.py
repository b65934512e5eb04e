"""Fetch and read non-cry sounds under free licences from Debian packages.

They are spoken words in thirty languages, animals, engines, games, drums and songs, and instruments
of a General MIDI soundfont, rendered by FluidSynth. None is distributed with the product. Each
package's copyright file, kept next to its sounds, names their authors and licences.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cry_model.sound import audio
from cry_model.sound.frontend import resample
from train.data.corpus import Corpus, DataError, Item

if TYPE_CHECKING:
    from mido import MidiFile

NAME = "other_sounds"
LABEL = "other"
LICENCE = "free licences (Debian main), of each sound in the copyright file of its package"
FOLDS = 5
RATE = 16_000  # Hz
SECONDS = 10.0  # taken from the middle of a file, at most
JOINED = 6  # files of one source joined in an item, because most are short
MOST = 25  # items per source, at most
PAUSES = (0.03, 0.5)  # s, between joined files

WORDS = (
    "alsa-utils", "asterisk-core-sounds-en-wav", "asterisk-core-sounds-es-wav",
    "asterisk-core-sounds-fr-wav", "asterisk-core-sounds-it-wav", "asterisk-core-sounds-ru-wav",
    "asterisk-prompt-it-menardi-wav", "festvox-ru", "fillets-ng-data-cs", "fillets-ng-data-nl",
    "gcin-voice", "kajongg", "klettres-data", "ktuberling-data", "qabcs-data", "saytime",
    "wims-help",
)  # fmt: skip
EFFECTS = Path(__file__).with_name("effects.txt")  # names of packages
INSTRUMENTS = (
    "asterisk-moh-opsound-wav", "chuck-data", "exadrums", "fretsonfire-songs-muldjord",
    "fretsonfire-songs-sectoid", "horgand-data", "hydrogen-data", "hydrogen-drumkits",
    "hydrogen-drumkits-effects", "lmms-common", "muse", "rakarrack", "sc3-plugins-language",
    "singularity-music", "solfege", "sonic-pi-samples", "supercollider-common",
)  # fmt: skip
SOUNDFONT, FONT = "fluid-soundfont-gm", "FluidR3_GM.sf2"
PROGRAMS: Mapping[str, tuple[int, ...]] = {
    "bells": (8, 9, 10, 11, 12, 13, 14, 15, 98, 108, 112, 113),
    "choir": (52, 53, 54, 85, 91),
    "whistles": (72, 75, 78, 79),
    "instruments": (
        *range(8), *range(24, 52), *range(55, 72), 73, 74, 76, 77, *range(80, 85), *range(86, 91),
        *range(92, 98), *range(99, 108), 109, 110, 111,
    ),
    "scenes": (121, 122, 123, 124, 125, 126, 127),  # breath, sea, bird, phone, rotor, clapping, gun
}  # fmt: skip
"""Kind -> General MIDI programs, from 0."""
SCALE = (0, 2, 4, 5, 7, 9, 11, 12, -3, -5)  # semitones above the root
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 7, 12), (0, 5, 9))
LENGTHS = (0.15, 0.25, 0.4, 0.7, 1.2, 2.0)  # s
TICKS = 960  # per second
NAMED: Mapping[str, re.Pattern[str]] = {
    "laughs": re.compile(r"laugh|giggle|haha"),
    "cats": re.compile(r"meow|kitten|(^|-)cat(-|$)"),
    "crowds": re.compile(r"crowd|cheer|boo$|applau|audience|child"),
    "horns": re.compile(r"siren|alarm|(?<!t)horn(?!et)"),
}
"""Kind -> pattern of its lower-case file names."""
LANGUAGE = re.compile(r"[a-z]{2}([_@][A-Za-z@]+)?")
A_CRY = re.compile(r"baby.?cry|^cry(_|$)")
KINDS = (*PROGRAMS, *NAMED, "words", "effects")
SUFFIXES = (".wav", ".ogg", ".oga", ".opus", ".mp3", ".flac", ".au")


def read(root: Path) -> Corpus:
    """List the sounds in ``root/other_sounds`` as ``kind/source/number``, or raise DataError.

    The group is the source: a folder of a package, one language of its words, or a soundfont
    program.
    """
    found = sources(root / NAME)
    if not found:
        raise DataError(
            f"There are no sounds in {root / NAME}; 'python -m train prepare {NAME} --data-root "
            f"{root}' fetches them on Debian or Ubuntu."
        )
    items = []
    for (kind, source), paths in found.items():
        fold = zlib.crc32(source.encode()) % FOLDS
        for number in range(min(MOST, -(-len(paths) // JOINED))):
            name = f"{kind}/{source}/{number}"
            items.append(Item(paths[number * JOINED], LABEL, name, name, source, fold))
    return Corpus(NAME, (LABEL,), tuple(items), LICENCE)


@cache
def sources(folder: Path) -> Mapping[tuple[str, str], tuple[Path, ...]]:
    """Map kind and source to their files, in a random but reproducible order."""
    found: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not A_CRY.search(path.stem.lower()):
            found[source_of(path.relative_to(folder))].append(path)
    shuffled = {}
    for (kind, source), paths in sorted(found.items()):
        rng = np.random.default_rng(zlib.crc32(source.encode()))
        shuffled[kind, source] = tuple(paths[i] for i in rng.permutation(len(paths)))
    return shuffled


def source_of(path: Path) -> tuple[str, str]:
    """Return the kind and source of a file from its path below the corpus's folder."""
    package, folder = path.parts[0], path.parent.name
    if package == SOUNDFONT:
        return folder, f"{package}/{path.stem.partition('-')[0]}"
    spoken = re.search(r"_desc(?:_([A-Za-z_@]+))?\.", path.name)  # spoken names in Tux Paint
    if spoken:
        return "words", f"{package}/words-{spoken[1] or 'en'}"
    name = path.stem.lower()
    kind = next((kind for kind, pattern in NAMED.items() if pattern.search(name)), "effects")
    if package in WORDS:
        language = next((part for part in path.parts[:-1] if LANGUAGE.fullmatch(part)), "")
        spoken = folder != "noises" and "laugh" not in name
        return "words" if spoken else kind, f"{package}/{language}".rstrip("/")
    return "instruments" if package in INSTRUMENTS else kind, f"{package}/{folder}"


def load(item: Item) -> audio.Recording:
    """Load and concatenate the files of an item; raise AudioError if none has a sound."""
    folder = next(parent for parent in item.path.parents if parent.name == NAME)
    kind, number = item.recording.partition("/")[0], int(item.recording.rpartition("/")[2])
    paths = sources(folder)[kind, item.group]
    return join(paths[number * JOINED : (number + 1) * JOINED], number)


def join(paths: Iterable[Path], number: int) -> audio.Recording:
    """Join the middles of all readable files, with pauses; raise AudioError if none is usable."""
    rng, parts = np.random.default_rng(number), []
    for path in paths:
        try:
            with path.open("rb") as file:
                wave, rate = audio.decode(file)
        except (audio.AudioError, OSError):
            continue
        wave = torch.from_numpy(wave)
        spare = max(0, len(wave) - round(SECONDS * rate)) // 2
        wave = resample(wave[spare : len(wave) - spare], rate, RATE, 16)
        peak = wave.abs().max() if len(wave) else torch.zeros(())
        if peak > audio.SILENCE_PEAK:
            parts += [wave / peak, torch.from_numpy(pause(rng, RATE))]
    if not parts:
        raise audio.AudioError("None of these files holds a sound.")
    return audio.Recording(torch.cat(parts), RATE)


def pause(rng: np.random.Generator, rate: int) -> NDArray[np.float32]:
    """Return the pause between joined files: faint noise instead of silence."""
    return (1e-3 * rng.standard_normal(int(rng.uniform(*PAUSES) * rate))).astype(np.float32)


def write(root: Path) -> None:
    """Fetch the packages, extract their sounds, and render the soundfont with FluidSynth.

    Report and skip unavailable packages. Raise DataError if a program or mido is missing, or if
    nothing can be fetched or rendered.
    """
    if missing := [n for n in ("apt-get", "dpkg-deb", "fluidsynth") if not shutil.which(n)]:
        raise DataError(
            f"Without {', '.join(missing)} these sounds cannot be fetched. Run this on Debian or "
            "Ubuntu after 'apt-get install fluidsynth', in a container say, and copy "
            f"{root / NAME} here."
        )
    if find_spec("mido") is None:
        raise DataError("Scores are written with 'mido': pip install -r requirements-dev.txt.")
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root, prefix=f".{NAME}-") as temporary:
        folder = Path(temporary) / NAME
        names = (*WORDS, *EFFECTS.read_text().split(), *INSTRUMENTS)
        fetched = [name for name in names if fetch(name, folder)]
        if not fetched:
            raise DataError("No package could be fetched; run 'apt-get update' and try again.")
        if fetch(SOUNDFONT, folder):
            play(next((folder / SOUNDFONT).rglob(FONT)), folder / SOUNDFONT)
        drop_copies(folder)
        folder.rename(root / NAME)


def drop_copies(folder: Path) -> None:
    """Delete duplicate files except the first, so that no two folds share a sound."""
    seen: set[bytes] = set()
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest in seen:
            path.unlink()
        seen.add(digest)


def fetch(package: str, folder: Path) -> bool:
    """Download a Debian package to ``folder/package``; return whether it worked."""
    with TemporaryDirectory(dir=folder.parent) as temporary:
        run = partial(subprocess.run, cwd=temporary, capture_output=True)
        run(["apt-get", "download", package])
        files = list(Path(temporary).glob("*.deb"))
        if not files:
            print(f"{package} is not to be had here.")
        elif run(["dpkg-deb", "--extract", files[0], "whole"]).returncode:
            print(f"{package} is damaged.")
        else:
            count = keep_sounds(Path(temporary) / "whole", folder / package)
            print(f"{package}: {count} files.")
            return True
    return False


def keep_sounds(whole: Path, folder: Path) -> int:
    """Move all sounds, the soundfont and the copyright file; return the number of files."""
    count = 0
    for path in list(whole.rglob("*")):
        wanted = path.suffix.lower() in SUFFIXES or path.name in ("copyright", FONT)
        if wanted and path.is_file() and not path.is_symlink():
            below = path.relative_to(whole).parts[2:]  # usr/share
            target = folder.joinpath(*below) if len(below) > 1 else folder / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
            count += 1
    return count


def play(font: Path, folder: Path) -> None:
    """Render phrases of :data:`PROGRAMS` to ``folder/kind/program-number.wav``; delete the font."""
    import soundfile  # imported here, because listing the sounds does not need it

    for kind, programs in PROGRAMS.items():
        (folder / kind).mkdir(parents=True)
        for program in programs:
            rng = np.random.default_rng(program)
            score, wave = folder / "score.mid", folder / "score.wav"
            phrases = 5 if kind in ("instruments", "scenes") else 14
            compose(program, phrases, rng).save(score)
            command = ["fluidsynth", "-ni", "-q", "-r", str(RATE), "-F", str(wave)]
            played = subprocess.run([*command, str(font), str(score)], capture_output=True)
            if played.returncode or not wave.exists():
                raise DataError(f"FluidSynth could not play program {program} of {font.name}.")
            sound, _ = soundfile.read(wave, dtype="float32", always_2d=True)
            for number in range(phrases):
                part = sound.mean(1)[round(number * SECONDS * RATE) :][: round(SECONDS * RATE)]
                soundfile.write(folder / kind / f"{program}-{number}.wav", part, RATE)
            score.unlink()
            wave.unlink()
    font.unlink()


def compose(program: int, phrases: int, rng: np.random.Generator) -> MidiFile:
    """Compose phrases of :data:`SECONDS` for a program: melodies or chords, some with bends."""
    from mido import Message, MidiFile, MidiTrack

    events: list[tuple[float, Message]] = [(0.0, Message("program_change", program=program))]
    for phrase in range(phrases):
        at, end = phrase * SECONDS, (phrase + 1) * SECONDS - 1.5
        root, alone = int(rng.integers(50, 86)), rng.random() < 0.6
        while at < end:
            chord = [[int(rng.choice(SCALE))]] if alone else CHORDS
            keys = [root + step for step in chord[rng.integers(len(chord))]]
            length, loud = float(rng.choice(LENGTHS)), int(rng.integers(50, 127))
            events += [(at, Message("note_on", note=key, velocity=loud)) for key in keys]
            if rng.random() < 0.35:  # up and down by two semitones
                for share in np.linspace(0, 1, max(2, round(20 * length))):
                    bend = round(8191 * np.sin(2 * np.pi * share))
                    events.append((at + share * length, Message("pitchwheel", pitch=bend)))
            events += [(at + length, Message("note_off", note=key)) for key in keys]
            at += length + (rng.uniform(0.1, 0.6) if rng.random() < 0.3 else 0.0)
    track, now = MidiTrack(), 0
    for seconds, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=round(seconds * TICKS) - now))
        now = round(seconds * TICKS)
    return MidiFile(ticks_per_beat=TICKS // 2, tracks=[track])  # two beats a second
