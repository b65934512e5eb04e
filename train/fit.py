"""``python -m train fit``: cross-validate a system, then fit it on everything and save it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from cry_model.checkpoint import CheckpointConfig, save_checkpoint
from cry_model.complexity import measure
from cry_model.evaluation import Evaluation, words
from cry_model.features import FrontEnd
from cry_model.registry import build_model
from train import results
from train.clips import Clips, load_clips
from train.corpus import Corpus, DataError
from train.loop import fit
from train.presets import Preset
from train.splits import PROTOCOLS


@dataclass(frozen=True)
class Run:
    """What one ``fit`` command is asked to do."""

    system: str
    corpus: Corpus
    protocol: str
    preset: Preset
    folds: int
    seeds: tuple[int, ...]
    device: torch.device
    out: Path

    @property
    def results_folder(self) -> Path:
        """Where ``run.json`` and ``predictions.csv`` go."""
        return self.out / "results" / self.corpus.name / self.protocol / self.system

    @property
    def checkpoint_folder(self) -> Path:
        """Where the weights fitted on everything go."""
        return self.out / "checkpoints" / f"{self.corpus.name}-{self.system}"

    def model(self, seed: int) -> nn.Module:
        """The system with weights drawn from ``seed``."""
        torch.manual_seed(seed)
        classes, bands = len(self.corpus.labels), self.preset.front_end.num_bands
        return build_model(self.system, classes, bands).to(self.device)

    def configuration(self) -> dict[str, Any]:
        """What decides the numbers; two runs of the same configuration are the same run."""
        return {
            "system": self.system,
            "dataset": self.corpus.name,
            "protocol": self.protocol,
            "folds": self.folds,
            "preset": asdict(self.preset),
        }


def run_fit(run: Run) -> Evaluation:
    """Cross-validates, writes the results, fits on everything and saves the checkpoint.

    Folds that the results folder already has are not fitted again, so a run that was cut off goes
    on where it was.

    Raises:
        DataError: if the results folder holds a run of another configuration or corpus.
        TrainingError: if the loss is not a number.
    """
    front_end = FrontEnd(run.preset.front_end)
    clips = load_clips(run.corpus, front_end)
    front_end.to(run.device)
    for recording, why in clips.left_out.items():
        print(f"Left out {recording}: {why}")
    print(f"{len(clips.items)} recordings, {len(clips.left_out)} left out.")
    evaluation = cross_validate(run, clips, front_end)
    print(summary(evaluation))
    ship(run, clips, front_end, evaluation)
    print(f"Results in {run.results_folder}, checkpoint in {run.checkpoint_folder}.")
    return evaluation


def cross_validate(run: Run, clips: Clips, front_end: FrontEnd) -> Evaluation:
    """Fits and tests every fold and seed, and writes both result files after each."""
    folder = run.results_folder
    record = results.resume(folder, run.configuration())
    results.write_run(folder, record)  # before any prediction, which would be nobody's without it
    table = results.read_predictions(folder)
    done = set() if table.empty else set(zip(table["seed"], table["fold"], strict=True))
    for seed in run.seeds:
        fold_of = PROTOCOLS[run.protocol](clips.items, run.folds, seed)
        for fold in range(run.folds):
            if (seed, fold) in done:
                continue
            started = time.perf_counter()
            model = train_model(run, clips.subset(np.flatnonzero(fold_of != fold)), front_end, seed)
            tested = np.flatnonzero(fold_of == fold)
            rows = predict(model, front_end, clips.subset(tested), run.corpus.labels)
            table = pd.concat([table, rows.assign(fold=fold, seed=seed)], ignore_index=True)
            seconds = round(time.perf_counter() - started, 1)
            record.setdefault("wall_seconds", {})[f"seed {seed}, fold {fold}"] = seconds
            results.write_predictions(folder, results.ordered(table, run.corpus.labels))
            results.write_run(folder, record)
    return finish(run, record, table, clips)


def finish(run: Run, record: dict[str, Any], table: pd.DataFrame, clips: Clips) -> Evaluation:
    """Scores the pooled predictions per piece and per recording and completes ``run.json``."""
    labels = run.corpus.labels
    if set(table["recording"]) != {item.recording for item in clips.items}:
        raise DataError(f"{run.results_folder} was made from other recordings; delete it.")
    facts = {"dataset": run.corpus.name, "protocol": run.protocol}
    scores = {
        "piece": results.score(table, labels, **facts),
        "recording": results.score(results.per_recording(table, labels), labels, **facts),
    }
    cost = measure(run.model(0), run.preset.front_end.num_bands)
    facts_of_run = {
        "labels": list(labels),
        "parameters": cost.parameters,
        "multiply_adds_5s": cost.multiply_adds,
        "environment": results.environment(run.device),
        "left_out": clips.left_out,
    }
    results.write_run(run.results_folder, {**record, **facts_of_run}, scores)
    return scores["recording"]


def train_model(run: Run, clips: Clips, front_end: FrontEnd, seed: int) -> nn.Module:
    """One fit with a progress bar."""
    with tqdm(total=run.preset.epochs, desc=f"Fitting {run.system}", unit="epoch") as bar:

        def progress(_epoch: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}")
            bar.update()

        model, classes = run.model(seed), len(run.corpus.labels)
        return fit(model, front_end, clips, classes, run.preset, seed, progress)


@torch.inference_mode()
def predict(
    model: nn.Module, front_end: FrontEnd, clips: Clips, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Probabilities of every piece of every clip, cut and scored as the classifier does it."""
    device = next(model.parameters()).device
    rows: list[Mapping[str, object]] = []
    for i, item in enumerate(clips.items):
        pieces = clips.pieces(front_end, i).waveforms.to(device)
        probabilities = model(front_end(pieces)).softmax(-1).cpu().double().numpy()
        columns = results.probability_columns(labels)
        for number, row in enumerate(probabilities):
            rows.append(
                {
                    "clip": f"{item.recording}#{number}",
                    "recording": item.recording,
                    "group": item.group,
                    "label": item.label,
                    **dict(zip(columns, row, strict=True)),
                }
            )
    return pd.DataFrame(rows)


def ship(run: Run, clips: Clips, front_end: FrontEnd, evaluation: Evaluation) -> None:
    """Fits on all recordings and saves the checkpoint with what was measured on held-out ones."""
    seed = run.seeds[0]
    model = train_model(run, clips, front_end, seed)
    training = {
        "dataset": run.corpus.name,
        "licence": run.corpus.licence,
        "recordings": len(clips.items),
        "seed": seed,
        "preset": asdict(run.preset),
        "environment": results.environment(run.device),
    }
    config = CheckpointConfig(
        run.system,
        run.corpus.labels,
        run.preset.front_end,
        training=training,
        evaluation=evaluation,
    )
    save_checkpoint(run.checkpoint_folder, model, config)


def summary(evaluation: Evaluation) -> str:
    """The measured numbers as a few lines of text."""
    lines = [
        f"{evaluation.protocol} protocol, {evaluation.recordings} recordings of "
        f"{evaluation.groups} babies, {evaluation.folds} folds:"
    ]
    for name, estimate in evaluation.metrics.items():
        value = f"{estimate.value:.3f}  [{estimate.low:.3f}, {estimate.high:.3f}]"
        lines.append(f"  {words(name):28} {value}")
    always = f"always {evaluation.majority_label} is right on {evaluation.majority_accuracy:.3f}"
    lines.append(f"  chance {evaluation.chance:.3f}, {always}")
    recall = ", ".join(f"{label} {value:.2f}" for label, value in evaluation.recall.items())
    return "\n".join([*lines, f"  recall: {recall}"])
