"""Tag sounds with YAMNet, a public tagger of 521 AudioSet classes and the detector's teacher.

Neither it nor its weights are part of the product. Source: Hershey et al., "CNN Architectures for
Large-Scale Audio Classification", ICASSP 2017; weights from TensorFlow Hub, Apache-2.0.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm import tqdm

from cry_model.checkpoint import write_atomically
from cry_model.sound.audio import Recording
from cry_model.sound.frontend import FrontEnd, resample
from train.data.corpus import Clips, DataError, Item

NAME = "yamnet"
RATE, WINDOW, STEP = 16_000, 15_600, 7_800  # Hz, samples: a window of 0.975 s every 0.4875 s
CRY = "Baby cry, infant cry"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "cry": (CRY, "Crying, sobbing", "Whimper"),
    "baby laughter": ("Baby laughter",),
    "laughter": ("Laughter", "Giggle", "Snicker", "Belly laugh", "Chuckle, chortle"),
    "child": ("Child speech, kid speaking", "Babbling", "Children shouting", "Children playing",
        "Child singing"),
    "speech": ("Speech", "Conversation", "Narration, monologue", "Speech synthesizer"),
    "shout": ("Shout", "Bellow", "Whoop", "Yell", "Screaming", "Wail, moan", "Groan", "Grunt",
        "Cheering"),
    "singing": ("Singing", "Choir", "Yodeling", "Chant", "Mantra", "Synthetic singing", "Humming"),
    "cat": ("Cat", "Meow", "Caterwaul", "Purr"),
    "dog": ("Dog", "Bark", "Howl", "Whimper (dog)", "Yip"),
    "livestock": ("Livestock, farm animals, working animals", "Sheep", "Goat", "Bleat",
        "Cattle, bovinae", "Moo", "Pig", "Horse"),
    "fowl": ("Fowl", "Chicken, rooster", "Crowing, cock-a-doodle-doo", "Duck", "Goose", "Turkey"),
    "animal": ("Animal", "Domestic animals, pets", "Wild animals"),
    "bird": ("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet", "Squawk", "Owl",
        "Crow"),
    "siren": ("Siren", "Civil defense siren", "Ambulance (siren)", "Police car (siren)",
        "Fire engine, fire truck (siren)", "Alarm"),
    "horn": ("Vehicle horn, car horn, honking", "Air horn, truck horn", "Train horn", "Toot"),
    "bell": ("Bell", "Church bell", "Chime", "Tubular bells", "Glockenspiel"),
    "whistle": ("Whistle", "Whistling"),
    "wind": ("Flute", "Wind instrument, woodwind instrument", "Brass instrument"),
    "strings": ("Bowed string instrument", "Violin, fiddle"),
    "music": ("Music", "Musical instrument"),
    "vehicle": ("Vehicle", "Engine"),
    "water": ("Water", "Rain", "Ocean"),
    "breath": ("Breathing", "Cough", "Sneeze", "Snoring"),
    "impact": ("Knock", "Thump, thud", "Bang", "Explosion"),
    "tool": ("Tools", "Power tool", "Chainsaw"),
    "silence": ("Silence",),
}  # fmt: skip
"""The detector's soft targets: group -> classes, the most probable of which gives its value."""


class Tagger:
    """YAMNet in TensorFlow Lite, loaded from a folder; raise DataError if a file is missing."""

    step = STEP / RATE

    def __init__(self, folder: Path):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise DataError(
                "The detector's teacher runs on 'ai-edge-litert': pip install -r "
                "requirements-dev.txt."
            ) from None
        model, names = folder / "yamnet.tflite", folder / "class_map.csv"
        if not (model.exists() and names.exists()):
            raise DataError(
                "Put YAMNet's yamnet.tflite (google/yamnet, for TensorFlow Lite) and its "
                f"class_map.csv (github.com/tensorflow/models) into {folder}."
            )
        self.interpreter = Interpreter(str(model), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]
        with names.open(newline="") as file:
            self.names = [row["display_name"] for row in csv.DictReader(file)]

    def __call__(self, wave: Tensor, rate: int) -> Tensor:
        """Return class probabilities (windows, 521) of (samples,), a window every :data:`STEP`."""
        sound = resample(wave / wave.abs().max().clamp_min(1e-6), rate, RATE, 16).numpy()
        count = max(1, -(-(len(sound) - WINDOW) // STEP) + 1)
        sound = np.pad(sound, (0, max(0, (count - 1) * STEP + WINDOW - len(sound))))
        answers = []
        for start in range(0, count * STEP, STEP):
            window = sound[start : start + WINDOW].astype(np.float32)
            self.interpreter.set_tensor(self.input, window)
            self.interpreter.invoke()
            answers.append(self.interpreter.get_tensor(self.output)[0].copy())
        return torch.from_numpy(np.stack(answers))

    def cries(self, wave: Tensor, rate: int) -> Tensor:
        """Return probabilities (windows,) of a baby's cry in (samples,)."""
        return self(wave, rate)[:, self.names.index(CRY)]

    def grouped(self, wave: Tensor, rate: int) -> Tensor:
        """Return (windows, groups): the highest class probability in each of :data:`GROUPS`."""
        answers = self(wave, rate)
        columns = [[self.names.index(name) for name in group] for group in GROUPS.values()]
        return torch.stack([answers[:, own].amax(1) for own in columns], 1)


def tag(
    clips: Clips,
    front_end: FrontEnd,
    load: Callable[[Item], Recording],
    tagger: Tagger,
    cache: Path,
) -> Sequence[Tensor]:
    """Return tags (windows, groups) for each clip, from a file in ``cache`` if it exists.

    The tagger gets the original full-band recording, aligned with the prepared clip.
    """
    groups = zlib.crc32(repr(GROUPS).encode())
    path = cache / f"{NAME}-{clips.fingerprint()}-{groups:08x}.safetensors"
    if path.exists():
        kept = load_file(path)
        return kept["tags"].float().split(kept["windows"].tolist())
    tags, items = [], tqdm(clips.items, desc="Tagging", unit="clip")
    for item, wave in zip(items, clips.waveforms, strict=True):
        recording = load(item)
        begin = round(front_end.prepare(recording).offset * recording.sample_rate)
        length = len(wave) * recording.sample_rate // front_end.config.sample_rate
        sound = recording.waveform[begin : begin + length]
        tags.append(tagger.grouped(sound, recording.sample_rate).half())
    windows = torch.tensor([len(rows) for rows in tags])
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save({"tags": torch.cat(tags), "windows": windows}))
    return [rows.float() for rows in tags]
