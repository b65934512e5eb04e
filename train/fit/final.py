"""Fit on everything, and save a checkpoint with what was measured on held-out clips."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from cry_model.audio import Recording
from cry_model.calibration import Calibration
from cry_model.checkpoint import (
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    read_agreement,
    read_calibration,
    read_evaluation,
    save_checkpoint,
    write_fingerprints,
)
from cry_model.fingerprint import Fingerprints
from cry_model.records import Agreement, Evaluation
from cry_model.results import RUN, current
from train.data.clips import Clips
from train.data.splits import PROTOCOLS
from train.fit.devices import of_main
from train.fit.predict import TrainingError, TrainingFrontEnd, piece_probabilities
from train.fit.run import Experiment, Run
from train.fit.trainer import hold_back, train_model
from train.scoring import results

MAX_FP16_ERROR = 0.002
"""Greatest change of a probability with which weights are stored as float16."""


@torch.no_grad()
def as_float16(model: nn.Module) -> nn.Module:
    """Return a copy with every weight rounded to float16, still computing in float32."""
    copied = copy.deepcopy(model)
    for tensor in (*copied.parameters(), *copied.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    return copied


def fp16_error(model: nn.Module, front_end: TrainingFrontEnd, clips: Clips) -> float:
    """Return the greatest change of a probability of any piece; infinite if a weight overflows."""
    before = piece_probabilities(model, front_end, clips)
    try:
        after = piece_probabilities(as_float16(model), front_end, clips)
    except TrainingError:
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True))


def final_fit(run: Run, front_end: TrainingFrontEnd) -> None:
    """Fit on all recordings and save the checkpoint.

    Weights that the same settings have already given are kept. The numbers that go with them are
    those of the hardest protocol that was measured with the same settings.
    """
    experiment, seed, folder = run.experiment, run.seeds[0], run.checkpoint_folder
    licence = experiment.data.corpus.licence
    training = as_json({**experiment.training(), "seed": seed, "licence": licence})
    with run.lock(folder, patient=True):  # another protocol's run may be at the same
        if of_main(run.accelerator, lambda: is_there(run, training)):
            model, config = load_checkpoint(folder)
        else:
            model, config = fit_on_everything(run, front_end, seed, training)
        if run.accelerator.is_main_process:
            config = replace(config, **hardest(run))
            half = config.training.get("stored_as") == "float16"
            save_checkpoint(folder, model, config, half)
            if not run.experiment.on_features:  # which has rows and no sound
                write_fingerprints(folder, fingerprints(run.experiment, seed))
        run.state(seed, None).delete()
        run.accelerator.wait_for_everyone()


def fit_on_everything(
    run: Run, front_end: TrainingFrontEnd, seed: int, training: dict[str, Any]
) -> tuple[nn.Module, CheckpointConfig]:
    """Return the weights and, still without any numbers, the config that goes with them."""
    experiment = run.experiment
    clips = everything(experiment)
    model = train_model(run, clips, front_end, seed, None)
    learnt, watched = hold_back(experiment, clips, seed)
    change = fp16_error(model, front_end, clips)
    facts = {
        "stored_as": "float16" if change <= MAX_FP16_ERROR else "float32",
        "recordings": len(learnt.items),
        "held_back": 0 if watched is None else len(watched.items),
        "environment": results.environment(run.accelerator),
    }
    return model, experiment.checkpoint_config({**training, **facts})


def everything(experiment: Experiment) -> Clips:
    """Return what there is to learn from."""
    if experiment.teacher_predictions is not None:
        return experiment.units  # drawn as the folds' were
    return experiment.data.clips


def fingerprints(experiment: Experiment, seed: int) -> Fingerprints:
    """Take those of what a fit on everything learns from."""
    learnt, _ = hold_back(experiment, everything(experiment), seed)
    return of_clips([learnt], experiment.preset.front_end.sample_rate)


def of_clips(corpora: Sequence[Clips], rate: int) -> Fingerprints:
    """Take those of prepared clips at ``rate`` Hz."""
    waves = (wave for clips in corpora for wave in clips.waveforms)
    return Fingerprints.of(Recording(wave, rate) for wave in waves)


def is_there(run: Run, training: dict[str, Any]) -> bool:
    """Return whether the checkpoint folder holds what these settings give."""
    try:
        _, config = load_checkpoint(run.checkpoint_folder)
    except CheckpointError:
        return False
    known = current(config.training)
    same = all(known.get(name) == value for name, value in training.items())
    return same and config.system == run.experiment.system


def hardest(run: Run) -> dict[str, Evaluation | Agreement | Calibration | None]:
    """Read what was measured per recording, under the hardest protocol that there is a result of.

    Name -> record, as the checkpoint's config has them.
    """
    expected = as_json(run.experiment.training())
    for protocol in reversed(PROTOCOLS):
        folder = run.results_of(protocol)
        record = results.read_run(folder) or {"configuration": {}}
        measured = record.get("metrics", {}).get("recording")
        alike, ran = record.get("agreement"), record["configuration"]
        if (measured or alike) and all(ran.get(n) == value for n, value in expected.items()):
            with results.trusting(folder / RUN):
                return {
                    "evaluation": read_evaluation(measured),
                    "agreement": read_agreement(alike),
                    "calibration": read_calibration(record.get("calibration")),
                }
    return {"evaluation": None, "agreement": None, "calibration": None}


def as_json(facts: dict[str, Any]) -> dict[str, Any]:
    """Return it as it will be read again: tuples are lists there."""
    return json.loads(json.dumps(facts))
