"""Fit on everything, and save a checkpoint with what was measured on held-out clips."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from cry_model.calibration import Calibration
from cry_model.checkpoint import (
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    read_agreement,
    read_calibration,
    read_evaluation,
    save_checkpoint,
)
from cry_model.records import Agreement, Evaluation
from cry_model.results import RUN, without_gone
from train.data.clips import Clips
from train.data.splits import PROTOCOLS
from train.fit.devices import of_main
from train.fit.early_stopping import hold_back
from train.fit.predict import TrainingError, TrainingFrontEnd, piece_probabilities
from train.fit.run import Run
from train.fit.trainer import train_model
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
        run.state(seed, None).delete()
        run.accelerator.wait_for_everyone()


def fit_on_everything(
    run: Run, front_end: TrainingFrontEnd, seed: int, training: dict[str, Any]
) -> tuple[nn.Module, CheckpointConfig]:
    """Return the weights and, still without any numbers, the config that goes with them."""
    experiment = run.experiment
    clips = experiment.data.clips
    if experiment.teacher_predictions is not None:
        clips = experiment.units  # drawn as the folds' were
    model = train_model(run, clips, front_end, seed, None)
    learnt, watched = hold_back(experiment, clips, seed)
    change = fp16_error(model, front_end, clips)
    facts = {
        "stored_as": "float16" if change <= MAX_FP16_ERROR else "float32",
        "recordings": len(learnt.items),
        "held_back": 0 if watched is None else len(watched.items),
        "environment": results.environment(run.accelerator),
    }
    return model, CheckpointConfig(
        experiment.system,
        experiment.labels,
        experiment.preset.front_end,
        settings=dict(experiment.settings),
        training={**training, **facts},
    )


def is_there(run: Run, training: dict[str, Any]) -> bool:
    """Return whether the checkpoint folder holds what these settings give."""
    try:
        _, config = load_checkpoint(run.checkpoint_folder)
    except CheckpointError:
        return False
    known = without_gone(config.training)
    same = all(known.get(name) == value for name, value in training.items())
    return same and config.system == run.experiment.system


def hardest(run: Run) -> dict[str, Evaluation | Agreement | Calibration | None]:
    """Read what was measured per recording, under the hardest protocol that there is a result of.

    Name -> record, as the checkpoint's config has them.
    """
    for protocol in reversed(PROTOCOLS):
        folder = run.results_of(protocol)
        record = results.read_run(folder)
        if record is None:
            continue
        measured = record.get("metrics", {}).get("recording")
        alike = record.get("agreement")
        expected = as_json(run.experiment.training())
        same = all(record["configuration"].get(n) == value for n, value in expected.items())
        if same and (measured or alike):
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
