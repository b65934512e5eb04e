"""Provide stand-ins for tests of the page: records, sounds, diaries, a detector of high sounds."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from analysis.panels.base import CellKey
from analysis.panels.errors import ERRORS
from analysis.stats.paper import FULL
from analysis.stats.runs import RESULTS, find_runs
from cry_model import CheckpointConfig, save_checkpoint
from cry_model.checkpoint import ASSETS, BUNDLED, DEFAULT_DETECTOR, read_config
from cry_model.records import Agreement, Estimate
from train.fit.presets import DETECTOR_FRONT_END

ROOT = Path(__file__).parents[1]
CLASSIFIERS = sorted(folder for folder in ASSETS.iterdir() if folder != DEFAULT_DETECTOR)
"""Folders of the bundled checkpoints, without the detector."""
LABELS = ("awake", "diaper", "hug", "hungry", "sleepy", "uncomfortable")
FEATURE_MLP = read_config(ASSETS / BUNDLED["six-class-features"])
EVALUATION, CALIBRATION = FEATURE_MLP.evaluation, FEATURE_MLP.calibration
"""Of a model of six classes that is better than chance."""
AGREEMENT = Agreement(
    teacher="challenge6-features-16khz-feature-mlp",
    dataset="donateacry_ios",
    recordings=400,
    groups=150,
    folds=5,
    seeds=(0,),
    agreement=Estimate(0.55, 0.5, 0.6),
    constant_label="hungry",
    constant=Estimate(0.31, 0.26, 0.35),
    gain=Estimate(0.24, 0.19, 0.29),
    divergence=Estimate(0.3, 0.27, 0.33),
    constant_divergence=Estimate(0.5, 0.46, 0.54),
    teacher_evaluation=EVALUATION,
)
DETECTOR_RECORD = replace(read_config(DEFAULT_DETECTOR).detector, threshold=0.5, maybe=0.4)


def detector_config():
    """Return the configuration of a small detector with synthetic measurements."""
    return CheckpointConfig(
        "improved-ecapa-tdnn",
        ("cry", "other"),
        DETECTOR_FRONT_END,
        settings={"channels": 16, "stages": 1},
        detector=DETECTOR_RECORD,
    )


HUM_BANDS = 12  # of 40 bands: those below about 600 Hz


def write_detector(folder):
    """Write a detector that takes sound above 600 Hz, but no hum or silence, for a cry."""
    system, settings = "improved-ecapa-tdnn-no-diff-attention", {"channels": 8, "stages": 1}
    config = replace(detector_config(), system=system, settings=settings)
    model = config.build()
    with torch.no_grad():
        # Only one input of the classifier counts: the mean over time of the bands above.
        heard = model.stem[0].weight
        heard.zero_()
        heard[0, HUM_BANDS:, heard.shape[-1] // 2] = 1
        model.stem[0].bias.zero_()
        model.classifier.weight.zero_()
        model.classifier.weight[0, 0] = 20
        model.classifier.bias.copy_(torch.tensor([-10.0, 0.0]))
    save_checkpoint(folder / DEFAULT_DETECTOR.name, model, config)
    return folder / DEFAULT_DETECTOR.name


RATE = 16_000


def hum(seconds, rate):
    """Return a 320 Hz tone, which the stand-in detector rejects, (samples,)."""
    return 0.3 * np.sin(2 * np.pi * 320 * np.arange(round(seconds * rate)) / rate)


def cry(seconds, rate=RATE, hz=700.0):
    """Return a frequency-modulated tone with two overtones, (samples,)."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * hz * t + 3 * np.sin(2 * np.pi * t)
    return 0.2 * sum(np.sin(k * phase) / k for k in (1, 2, 3))


def scene(*lengths, rate=RATE):
    """Return hum and cry in turn, hum first; ``lengths`` in seconds."""
    kinds = (hum, cry)
    return np.concatenate([kinds[i % 2](seconds, rate) for i, seconds in enumerate(lengths)])


def write(path, wave, rate=RATE):
    soundfile.write(path, wave, rate)
    return path


def checkpoints(folder):
    """Fill ``folder`` with the bundled checkpoints and the stand-in detector; return it."""
    for path in CLASSIFIERS:
        shutil.copytree(path, folder / path.name)
    write_detector(folder)  # not the bundled one: no test depends on its output
    return folder


def page_root(folder):
    """Copy or link what app.py needs, with the stand-in detector; return ``folder``."""
    shutil.copy(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "assets" / "examples", folder / "assets" / "examples")
    shared = ("analysis", "cry_model", "assets/results", "assets/paper_reference.json")
    for path in (*shared, "assets/icon.png"):
        (folder / path).symlink_to(ROOT / path)
    checkpoints(folder / "assets" / "checkpoints")
    return folder


REASONS = ("hungry", "sleepy", "Teeth")


def diary(days, effect=2.0, a_day=4, seed=0, **changed):
    """Return a diary: embeddings cluster by reason; a feed precedes each day's first cry by 1 h."""
    rng = np.random.default_rng(seed)
    centres = effect * rng.standard_normal((len(REASONS), 25))
    kind = rng.choice(len(REASONS), days * a_day, p=(0.5, 0.3, 0.2))
    rows = (centres[kind] + rng.standard_normal((len(kind), 25))).round(3)
    stamps = [
        f"2026-03-{1 + i // a_day:02d}T{3 * (i % a_day) + 2:02d}:00:00+01:00"
        for i in range(len(kind))
    ]
    said = {"said": "Maybe: hungry.", "seconds": 4.5, "probability": 0.97, "spark": "0123456789"}
    said |= {"model": "six-class", "prior": {"hungry": 0.6, "sleepy": 0.4}}
    found = [
        {"id": f"cry-{i}", "at": at, "was": REASONS[k], "embedding": row.tolist(), **said}
        for i, (at, k, row) in enumerate(zip(stamps, kind, rows, strict=True))
    ]
    care = [{"at": f"2026-03-{1 + day:02d}T01:00:00+01:00", "kind": "fed"} for day in range(days)]
    whole = {"format": "infant-cry-diary", "names": {"Teeth": "Teeth"}, "care": care}
    return {**whole, "cries": found, **changed}


PLAYED = CellKey("donateacry", "clip")
"""Dataset and protocol of runs whose recordings the page may play."""


def most_confident_error(found, cell):
    """Return the recording at the top of the list of errors."""
    return ERRORS.exhibits(found, cell)[0].table["Recording"].iloc[0]


def recordings(folder):
    """Link a sound for each recording of :data:`PLAYED` but the most confident error."""
    found, cell = find_runs(RESULTS), PLAYED
    names = set(found.of(*cell)[FULL].recordings["recording"])
    (folder / cell.dataset / "all").mkdir(parents=True)
    for name in names - {most_confident_error(found, cell)}:
        sound = folder / cell.dataset / "all" / f"{name}.wav"
        sound.symlink_to(ROOT / "assets" / "examples" / "synthetic_rhythmic.wav")
    return folder
