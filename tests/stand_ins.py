"""Checkpoints in the place of bundled ones that are not there: their shape, none of their sense.

So the page is tested with all of its models, whichever of them this copy of the product has.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from analysis.models import BUNDLED, CHECKPOINTS, SIX
from analysis.panels.base import cells_with
from analysis.panels.errors import ERRORS
from analysis.stats.paper import FULL
from analysis.stats.runs import RESULTS, find_runs
from cry_model import CheckpointConfig, FrontEndConfig, audio, save_checkpoint
from cry_model.acoustic_features import AcousticConfig, AcousticFrontEnd
from cry_model.calibration import Calibration
from cry_model.detector import DEFAULT_DETECTOR
from cry_model.feature_mlp import level_free
from cry_model.records import Agreement, DetectorRecord, Estimate, Evaluation
from train.fit.presets import DETECTOR_FRONT_END

ROOT = Path(__file__).parents[1]
CLASSIFIERS = sorted(folder for folder in CHECKPOINTS.iterdir() if folder != DEFAULT_DETECTOR)
"""The bundled checkpoints but for the detector."""
LABELS = ("awake", "diaper", "hug", "hungry", "sleepy", "uncomfortable")
REASONS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
EVALUATION = Evaluation(
    dataset="challenge6",
    protocol="baby",
    recordings=600,
    groups=300,
    folds=5,
    seeds=(0,),
    chance=1 / 6,
    majority_label="hungry",
    majority_accuracy=0.21,
    metrics={"balanced_accuracy": Estimate(0.41, 0.37, 0.45)},
    recall=dict.fromkeys(LABELS, 0.41),
    support=dict.fromkeys(LABELS, 100),
)
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
CALIBRATION = Calibration(
    dataset="challenge6",
    protocol="baby",
    against="labels",
    teacher_temperature=None,
    recordings=600,
    groups=300,
    folds=5,
    seeds=(0,),
    temperature=1.2,
    promised=0.8,
    threshold=0.85,
    coverage=Estimate(0.81, 0.77, 0.85),
    size=Estimate(2.9, 2.8, 3.0),
    empty=0.0,
    single=0.1,
    full=0.02,
    error_before=Estimate(0.09, 0.07, 0.12),
    error_after=Estimate(0.03, 0.02, 0.06),
    constant_set=LABELS[:5],
    constant_coverage=0.84,
    by_label=dict.fromkeys(LABELS, 0.81),
)


def detector_config():
    """Of a detector whose numbers mean nothing."""
    return CheckpointConfig(
        "improved-ecapa-tdnn",
        ("cry", "other"),
        DETECTOR_FRONT_END,
        settings={"channels": 16, "stages": 1},
        detector=DETECTOR_RECORD,
    )


DETECTOR_RECORD = DetectorRecord(
    threshold=0.5,
    accepted=Estimate(0.95, 0.9, 1.0),
    false_accepts=Estimate(0.03, 0.02, 0.05),
    area=Estimate(0.99, 0.98, 1.0),
    unheard={"rooster": 0.1},
    maybe=0.4,
    kinds={"baby_cry": 0.96, "rooster": 0.05, "siren": 0.004},
    conditions={"0 dB": 0.81, "pitch 1.5": 0.72},
    tagger=0.021,
    alarms_per_hour=3.2,
    delay=1.5,
)
HUM_BANDS = 12  # of 40: those below some 600 Hz


def write_detector(folder):
    """A detector that hears a cry in whatever sounds above 600 Hz, and none in a hum or in
    silence."""
    config = replace(
        detector_config(),
        system="improved-ecapa-tdnn-no-diff-attention",
        settings={"channels": 8, "stages": 1},
    )
    model = config.build()
    with torch.no_grad():
        # The mean over time of what lies above is the first token; nothing else is looked at.
        heard = model.stem[0].weight
        heard.zero_()
        heard[0, HUM_BANDS:, heard.shape[-1] // 2] = 1
        model.stem[0].bias.zero_()
        model.classifier.weight.zero_()
        model.classifier.weight[0, 0] = 20
        model.classifier.bias.copy_(torch.tensor([-10.0, 0.0]))
    save_checkpoint(folder / DEFAULT_DETECTOR.name, model, config)
    return folder / DEFAULT_DETECTOR.name


def hum(seconds, rate):
    """What the stand-in hears no cry in, (samples,)."""
    return 0.3 * np.sin(2 * np.pi * 320 * np.arange(round(seconds * rate)) / rate)


def write(folder, name):
    """A stand-in for the bundled checkpoint ``name`` as ``folder``/``name``."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if name.endswith("feature-mlp"):
            config = CheckpointConfig(
                "feature-mlp",
                LABELS,
                AcousticConfig(),
                training={"dataset": "challenge6", "licence": "none stated", "recordings": 600},
                evaluation=EVALUATION,
                calibration=CALIBRATION,
            )
            model = config.build()
            at_home_with_the_examples(model)
        else:
            six = any(entry.folder == name and entry.family is SIX for entry in BUNDLED)
            band = {"sample_rate": 16000, "high_hz": 7800.0, "window": 640, "hop": 320, "fft": 1024}
            labels = LABELS if six else REASONS
            reasons = replace(
                EVALUATION,
                dataset="donateacry",
                recall=dict.fromkeys(REASONS, 0.2),
                support=dict.fromkeys(REASONS, 90),
            )
            config = CheckpointConfig(
                "improved-ecapa-tdnn",
                labels,
                FrontEndConfig(**(band if six else {})),
                training={"dataset": "donateacry_ios", "licence": "ODbL 1.0", "recordings": 400},
                evaluation=None if six else reasons,
                agreement=AGREEMENT if six else None,
                calibration=replace(
                    CALIBRATION,
                    dataset="donateacry_ios" if six else "donateacry",
                    against="teacher" if six else "labels",
                    teacher_temperature=1.0 if six else None,
                    constant_set=labels[:4],
                    by_label=dict.fromkeys(labels, 0.81),
                ),
            )
            model = config.build()
    save_checkpoint(folder / name, model, config)
    return folder / name


def at_home_with_the_examples(model):
    """Makes a FeatureMLP's recordings be like our examples, noise be outside of them, and its
    answers be of some decision."""
    front_end = AcousticFrontEnd(AcousticConfig())
    features = []
    for path in sorted((ROOT / "assets" / "examples").glob("*.wav")):
        clip = front_end.prepare(audio.load(path))
        features.append(front_end(front_end.cut(clip).waveforms).mean(-1))
    inputs = level_free(torch.cat(features))
    model.mean.copy_(inputs.mean(0))
    model.scale.copy_(3 * inputs.std(0))
    model.limit.fill_(3.0)
    for part in (model.deep, model.kernel):
        part.weights[-1].data.mul_(12)


def checkpoints(folder):
    """``folder`` with every bundled checkpoint, or its stand-in, and the detector's stand-in."""
    for entry in BUNDLED:
        if (CHECKPOINTS / entry.folder).is_dir():
            shutil.copytree(CHECKPOINTS / entry.folder, folder / entry.folder)
        else:
            write(folder, entry.folder)
    write_detector(folder)  # never the bundled one: no test rests on its judgement
    return folder


def page_root(folder, detector=None):
    """A copy of what app.py needs, with all models of the page and the detector in the folder
    ``detector``, by default the stand-in."""
    shutil.copy(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "assets" / "examples", folder / "assets" / "examples")
    for shared in ("analysis", "cry_model", "assets/results", "assets/paper_reference.json"):
        (folder / shared).symlink_to(ROOT / shared)
    loaded = checkpoints(folder / "assets" / "checkpoints")
    if detector is not None:
        shutil.copytree(detector, loaded / DEFAULT_DETECTOR.name, dirs_exist_ok=True)
    return folder


def most_confident_error(found, cell):
    """The recording at the top of the list of errors."""
    return ERRORS.exhibits(found, cell)[0].table["Recording"].iloc[0]


def recordings(folder):
    """A sound for each recording of the cell that the page shows first, but for one."""
    found = find_runs(RESULTS)
    cell = cells_with(found)[0]
    names = set(found.of(*cell)[FULL].recordings["recording"])
    (folder / cell.dataset / "all").mkdir(parents=True)
    for name in names - {most_confident_error(found, cell)}:
        sound = folder / cell.dataset / "all" / f"{name}.wav"
        sound.symlink_to(ROOT / "assets" / "examples" / "synthetic_rhythmic.wav")
    return folder
