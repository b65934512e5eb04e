"""``python -m train fit``: cross-validate a system, then fit it on everything and save it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from cry_model.complexity import measure
from cry_model.evaluation import Evaluation, words
from cry_model.features import FrontEnd
from train import results
from train.clips import Clips, join
from train.corpus import DataError
from train.loop import Epoch, Lesson, fit
from train.predicting import piece_probabilities
from train.run import Run
from train.ship import ship
from train.splits import PROTOCOLS, split


def run_fit(run: Run) -> Evaluation | None:
    """Cross-validates, writes the results, fits on everything and saves the checkpoint.

    Folds that the results folder already has are not fitted again, so a run that was cut off goes
    on where it was. A corpus without any label has nothing to be measured on: None.

    Raises:
        DataError: if the results folder holds a run of another configuration or corpus, or there
            are unlabelled recordings and no teacher.
        TrainingError: if the loss is not a number.
    """
    say = run.accelerator.print
    if run.unlabelled.items and run.teacher is None:
        run = replace(run, data=replace(run.data, clips=run.data.clips.labelled()))
        say("Recordings without a label are left out; a --teacher could label them.")
    if not run.data.clips.items:
        raise DataError("No recording has a label; name a --teacher that gives some.")
    run.model(run.seeds[0])  # settings that do not suit are found now, not after an hour
    front_end = FrontEnd(run.preset.front_end).to(run.accelerator.device)
    evaluation = cross_validate(run, front_end) if run.units.items else None
    if evaluation is not None:
        say(summary(run.system, evaluation), f"Results in {run.results_folder}.", sep="\n")
    if run.checkpoint:
        ship(run, front_end, train_model)
        say(f"Checkpoint in {run.checkpoint_folder}.")
    return evaluation


def cross_validate(run: Run, front_end: FrontEnd) -> Evaluation:
    """Fits and tests every fold and seed, and writes both result files after each."""
    folder, main, units = run.results_folder, run.accelerator.is_main_process, run.units
    record = results.resume(folder, run.configuration())
    table = results.read_predictions(folder)
    run.accelerator.wait_for_everyone()  # all have read before one writes
    if main:  # before any prediction, which would be nobody's without it
        results.write_run(folder, record)
    done = set() if table.empty else set(zip(table["seed"], table["fold"], strict=True))
    for seed in run.seeds:
        fold_of = split(units.items, run.protocol, run.folds, seed)
        for fold in range(run.folds):
            if (seed, fold) in done:
                continue
            started = time.perf_counter()
            tested = units.subset(np.flatnonzero(fold_of == fold))
            learnt = join(units.subset(np.flatnonzero(fold_of != fold)), apart(run, tested))
            model = train_model(run, learnt, front_end, seed, fold)
            if main:
                rows = predict(model, front_end, tested, run.labels)
                table = pd.concat([table, rows.assign(fold=fold, seed=seed)], ignore_index=True)
                seconds = round(time.perf_counter() - started, 1)
                record.setdefault("wall_seconds", {})[f"seed {seed}, fold {fold}"] = seconds
                results.write_predictions(folder, results.ordered(table, run.labels))
                results.write_run(folder, record)
            run.accelerator.wait_for_everyone()
            run.memory(seed, fold).forget()
    return finish(run, record, results.read_predictions(folder))


def apart(run: Run, tested: Clips) -> Clips:
    """The unlabelled clips that share with no tested one what the protocol keeps together."""
    key = PROTOCOLS[run.protocol]
    taken = {key(item) for item in tested.items}
    items = run.unlabelled.items
    return run.unlabelled.subset([i for i, item in enumerate(items) if key(item) not in taken])


def finish(run: Run, record: dict[str, Any], table: pd.DataFrame) -> Evaluation:
    """Scores the pooled predictions per piece and per recording and completes ``run.json``."""
    if set(table["recording"]) != {item.recording for item in run.units.items}:
        raise DataError(f"{run.results_folder} was made from other recordings; delete it.")
    facts = {"dataset": run.name, "protocol": run.protocol, "folds": run.folds}
    scores = {
        "piece": results.score(table, run.labels, **facts),
        "recording": results.score(results.per_recording(table, run.labels), run.labels, **facts),
    }
    cost = measure(run.model(0), run.preset.front_end.num_bands)
    facts_of_run = {
        "labels": list(run.labels),
        "parameters": cost.parameters,
        "multiply_adds_5s": cost.multiply_adds,
        "environment": results.environment(run.accelerator),
        "left_out": run.data.clips.left_out,
    }
    if run.accelerator.is_main_process:
        results.write_run(run.results_folder, {**record, **facts_of_run}, scores)
    return scores["recording"]


def train_model(
    run: Run, clips: Clips, front_end: FrontEnd, seed: int, fold: int | None
) -> nn.Module:
    """One fit with a progress bar and, if asked for, live curves; ``fold`` None is the last one."""
    accelerator, preset = run.accelerator, run.preset
    clips, validation = hold_back(run, clips, seed)
    where = f"seed {seed}, " + ("all recordings" if fold is None else f"fold {fold}")
    memory = run.memory(seed, fold)
    if run.track:
        accelerator.init_trackers(f"{run.name}/{run.protocol}/{run.system}/{where}")
    with tqdm(
        total=preset.epochs,
        desc=f"{run.system}, {where}",
        unit="epoch",
        disable=not accelerator.is_main_process,
    ) as bar:

        def report(epoch: Epoch) -> None:
            bar.n = epoch.number - 1
            bar.set_postfix(curves(epoch), refresh=False)
            bar.update()
            if run.track:
                accelerator.log(curves(epoch), step=epoch.number)

        lesson = Lesson(clips, len(run.labels), validation, run.teacher)
        model = fit(run.model(seed), front_end, lesson, preset, seed, accelerator, memory, report)
    if run.track:
        accelerator.end_training()
    return model


def hold_back(run: Run, clips: Clips, seed: int) -> tuple[Clips, Clips | None]:
    """Splits the inner validation part off, as the protocol splits; labelled clips only."""
    if not run.preset.validation:
        return clips, None
    items = [replace(item, fold=None) for item in clips.items]
    labelled = [i for i, item in enumerate(items) if item.label is not None]
    count = round(1 / run.preset.validation)
    fold_of = split([items[i] for i in labelled], run.protocol, count, seed)
    watched = [i for i, fold in zip(labelled, fold_of, strict=True) if fold == 0]
    key = PROTOCOLS[run.protocol]
    taken = {key(items[i]) for i in watched}
    learnt = [i for i, item in enumerate(items) if key(item) not in taken]
    return clips.subset(learnt), clips.subset(watched)


def curves(epoch: Epoch) -> dict[str, float]:
    """What the bar and the trackers show of an epoch."""
    values = {"loss": epoch.loss, "rate": epoch.learning_rate}
    if epoch.score is not None:
        values["validation loss"] = epoch.score.loss
        values["validation balanced accuracy"] = epoch.score.balanced_accuracy
    return values


def predict(
    model: nn.Module, front_end: FrontEnd, clips: Clips, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Probabilities of every piece of every clip, cut and scored as the classifier does it."""
    rows: list[Mapping[str, object]] = []
    columns = results.probability_columns(labels)
    probabilities = piece_probabilities(model, front_end, clips)
    for item, pieces in zip(clips.items, probabilities, strict=True):
        # A unit of the clip protocol that is a little too long for one piece has two.
        prefix = item.recording if item.piece is None else f"{item.recording}#{item.piece}"
        for number, row in enumerate(pieces):
            rows.append(
                {
                    "clip": f"{prefix}#{number}",
                    "recording": item.recording,
                    "group": item.group,
                    "label": item.label,
                    **dict(zip(columns, row, strict=True)),
                }
            )
    return pd.DataFrame(rows)


def summary(system: str, evaluation: Evaluation) -> str:
    """The measured numbers as a few lines of text."""
    lines = [
        f"{system}, protocol {evaluation.protocol}: {evaluation.recordings} recordings in "
        f"{evaluation.groups} groups, {evaluation.folds} folds, {len(evaluation.seeds)} seeds:"
    ]
    for name, estimate in evaluation.metrics.items():
        value = f"{estimate.value:.3f}  [{estimate.low:.3f}, {estimate.high:.3f}]"
        lines.append(f"  {words(name):28} {value}")
    always = f"always {evaluation.majority_label} is right on {evaluation.majority_accuracy:.3f}"
    lines.append(f"  chance {evaluation.chance:.3f}, {always}")
    recall = ", ".join(f"{label} {value:.2f}" for label, value in evaluation.recall.items())
    return "\n".join([*lines, f"  recall: {recall}"])
