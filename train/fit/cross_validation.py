"""Cross-validate a system, then fit it on all recordings and save it with its scores."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from cry_model import checkpoint
from cry_model import results as files
from cry_model.declared import read
from cry_model.fingerprint import write_fingerprints
from cry_model.networks.registry import measure
from cry_model.records import Agreement, Calibration, Evaluation, words
from train.data.corpus import ONLY_LEARNT, Clips, DataError, TableFrontEnd, join
from train.data.splits import PROTOCOLS, require_two_labels, split
from train.fit import trainer
from train.fit.devices import as_found, of_main, same_threads
from train.fit.distillation import compare, solve_output_layer
from train.fit.feature_mlp import fit_table
from train.fit.predict import (
    TrainingError,
    TrainingFrontEnd,
    fingerprints_of,
    piece_probabilities,
    predict,
)
from train.fit.run import Experiment, Run
from train.scoring import results
from train.scoring.baselines import baselines
from train.scoring.calibration import calibrate

MAX_FP16_ERROR = 0.002
"""Largest change of a probability at which weights are still stored as float16."""


def hold_back(experiment: Experiment, clips: Clips, seed: int) -> tuple[Clips, Clips | None]:
    """Return training clips and validation clips (or None), split under the protocol."""
    items = [replace(item, fold=None) for item in clips.items]
    labelled = [i for i, item in enumerate(items) if item.label is not None]
    if not experiment.preset.validation or not labelled:
        return clips, None
    count = round(1 / experiment.preset.validation)
    fold_of = split([items[i] for i in labelled], experiment.protocol, count, seed)
    watched = [i for i, fold in zip(labelled, fold_of, strict=True) if fold == 0]
    key = PROTOCOLS[experiment.protocol]
    taken = {key(items[i]) for i in watched}
    learnt = [i for i, item in enumerate(items) if key(item) not in taken]
    return clips.subset(learnt), clips.subset(watched)


def train_model(
    run: Run, clips: Clips, front_end: TrainingFrontEnd, seed: int, fold: int | None
) -> nn.Module:
    """Fit on a fold's training part, or with ``fold`` None on all; resume from a saved state."""
    one, accelerator = run.experiment, run.accelerator
    preset, teacher = one.preset, one.teacher
    learnt, watched = hold_back(one, clips, seed)
    if teacher is None:
        require_two_labels(learnt.items, "The training data")
    if isinstance(front_end, TableFrontEnd):
        return fit_table(one.model(seed), clips, preset, seed)
    where = f"seed {seed}, " + ("all recordings" if fold is None else f"fold {fold}")
    state = run.state(seed, fold)
    if run.track:
        accelerator.init_trackers(f"{one.name}/{one.protocol}/{one.system}/{where}")
    with tqdm(
        total=preset.epochs,
        desc=f"{one.system}, {where}",
        unit="epoch",
        **({} if accelerator.is_main_process else {"disable": True}),  # {}: obeys TQDM_DISABLE
    ) as bar:

        def report(epoch: int, curves: trainer.Curves) -> None:
            bar.set_postfix(curves, refresh=False)
            bar.update(epoch - bar.n)
            if run.track:
                accelerator.log(curves, step=epoch)

        data = trainer.TrainingData(learnt, len(one.labels), watched, teacher)
        model = one.model(seed)
        if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = trainer.fit(model, front_end, data, preset, seed, accelerator, state, report)
    if run.track:
        accelerator.end_training()
    if teacher is not None and teacher.reused:
        solve_output_layer(model, front_end, learnt, teacher)
    return model


def fit_fold(run: Run, front_end: TrainingFrontEnd, seed: int, fold: int) -> pd.DataFrame:
    """Fit on a fold's training part and return the predictions for its held-out part.

    Unlabelled recordings that share a group of the protocol with a held-out one are not used. Only
    the main process predicts; the others return an empty table.
    """
    one = run.experiment
    learnt, tested = one.fold(seed, fold)
    key, others = PROTOCOLS[one.protocol], one.unlabelled
    taken = {key(item) for item in tested.items}
    apart = others.subset([i for i, item in enumerate(others.items) if key(item) not in taken])
    learnt = join(learnt, apart)
    model = train_model(run, learnt, front_end, seed, fold)
    if not run.accelerator.is_main_process:
        return pd.DataFrame()
    rows = predict(model, front_end, tested, one.labels)
    if run.save_folds:  # before the results mark the fold as done
        facts = {"seed": seed, "fold": fold, "recordings": len(learnt.items)}
        facts |= {"licence": one.data.corpus.licence}
        facts |= {"environment": results.environment(run.accelerator)}
        config = one.checkpoint_config({**one.configuration(), **facts})
        checkpoint.save_checkpoint(run.cell().fold_folder(seed, fold), model, config)
    return rows


@as_found()
def run_fit(run: Run) -> None:
    """Cross-validate, write the results, fit on all recordings and save the checkpoint.

    Folds already in the results folder are skipped, so an interrupted run resumes. There is no
    cross-validation if the teacher was trained on recordings that a fold would hold out. Raise
    DataError if the results folder holds a run of another configuration or corpus, if another
    process writes there, or if nothing is labelled and there is no teacher; TrainingError if the
    loss is not finite.
    """
    say, experiment = run.accelerator.print, run.experiment
    if experiment.unlabelled.items and experiment.teacher is None:
        labelled = replace(experiment.data, clips=experiment.data.clips.labelled())
        experiment = replace(experiment, data=labelled)
        run = replace(run, experiment=experiment)
        say("Recordings without a label are left out; a --teacher could label them.")
    if not experiment.data.clips.items:
        raise DataError("No recording has a label; give a --teacher to label them.")
    if experiment.teacher_predictions is not None and experiment.protocol == "clip":
        raise DataError("A teacher labels whole recordings; use --protocol baby.")
    if experiment.teacher_predictions is not None and experiment.preset.validation:
        raise DataError("Without labels, validation is impossible; leave validation out.")
    front_end, teacher = experiment.front_end(), experiment.teacher
    with run.lock(run.results_folder):
        known = experiment.name, experiment.unlabelled_corpus
        if teacher is not None and teacher.overlaps_training_data(*known):
            say(
                f"Not measured: the teacher was fitted on {teacher.trained_on}, so it has seen "
                "held-out folds."
            )
        elif experiment.units.items:
            say(summary(experiment.system, cross_validate(run, front_end)))
            say(f"Results in {run.results_folder}.")
        if run.checkpoint:
            final_fit(run, front_end)
            say(f"Checkpoint in {run.checkpoint_folder}.")


def cross_validate(run: Run, front_end: TrainingFrontEnd) -> Evaluation | Agreement:
    """Fit and test every fold of every seed, and write both result files after each fold."""
    experiment, accelerator, folder = run.experiment, run.accelerator, run.results_folder
    main = accelerator.is_main_process
    require_labels(experiment, run.seeds)
    record = results.resume(folder, experiment.configuration())
    table = results.existing_predictions(folder, experiment.labels)
    if not table.empty:
        check_split(experiment, folder, table)
    accelerator.wait_for_everyone()  # all processes have read before one writes
    if main:  # before any predictions, which could not be attributed without it
        files.write_run(folder, record)
    done = set() if table.empty else set(zip(table["seed"], table["fold"], strict=True))
    if done and not done.issuperset(product(run.seeds, range(experiment.folds))):
        known = record.get("environment", {})
        before = known.get("threads") if known.get("device") == "cpu" else None
        same_threads(before, experiment.threads, str(folder))
    for seed in run.seeds:
        for fold in range(experiment.folds):
            if (seed, fold) not in done:
                started = time.perf_counter()
                rows = fit_fold(run, front_end, seed, fold)
                if main:
                    table = pd.concat([table, rows.assign(fold=fold, seed=seed)], ignore_index=True)
                    seconds, name = time.perf_counter() - started, f"seed {seed}, fold {fold}"
                    record.setdefault("wall_seconds", {})[name] = round(seconds, 1)
                    record["environment"] = results.environment(accelerator)
                    files.write_predictions(folder, files.ordered(table, experiment.labels))
                    files.write_run(folder, record)
                accelerator.wait_for_everyone()
            run.state(seed, fold).delete()
    return of_main(accelerator, lambda: finish(run, record))


def check_split(experiment: Experiment, folder: Path, table: pd.DataFrame) -> None:
    """Raise DataError if a table's recordings, groups, labels or folds differ from the split's."""
    items = experiment.units.items
    for seed, rows in table.groupby("seed"):
        units, there = rows["clip"].str.rsplit("#", n=1).str[0], set(rows["fold"])
        found = set(zip(units, rows["group"], rows["label"], rows["fold"], strict=True))
        fold_of = split(items, experiment.protocol, experiment.folds, int(seed)).tolist()
        tested = [pair for pair in zip(items, fold_of, strict=True) if pair[1] in there]
        if found != {(item.unit, item.group, item.label, fold) for item, fold in tested}:
            raise DataError(
                f"Seed {seed} in {folder / files.PREDICTIONS} has other recordings, groups, labels "
                f"or folds than this run; restore the file, or delete {folder}."
            )


def require_labels(experiment: Experiment, seeds: Sequence[int]) -> None:
    """Raise DataError if a run would be trained or evaluated on fewer than two labels."""
    if experiment.teacher_predictions is not None:  # evaluated against the teacher's predictions
        return
    require_two_labels(experiment.units.items, f"The data read from {experiment.name}")
    tested = [item for item in experiment.units.items if item.fold != ONLY_LEARNT]
    require_two_labels(tested, f"The test data of {experiment.name}")
    for seed in seeds if experiment.teacher is None else ():
        for fold in range(experiment.folds):
            learnt, _ = experiment.fold(seed, fold)
            what = f"In training, fold {fold} of seed {seed}"
            require_two_labels(learnt.items, what, ", or use other --folds or another --protocol")


def finish(run: Run, record: dict[str, Any]) -> Evaluation | Agreement:
    """Score the pooled predictions per piece and per recording, and complete ``run.json``.

    Seeds without all folds, left over from an interrupted run, are not scored.
    """
    experiment, folder = run.experiment, run.results_folder
    labels, protocol, folds = experiment.labels, experiment.protocol, experiment.folds
    predicted, teacher = experiment.teacher_predictions, experiment.teacher
    table = results.existing_predictions(folder, labels)
    whole = files.whole_seeds(table, folds)
    facts = {"dataset": experiment.name, "protocol": protocol, "folds": folds}
    recordings = files.recording_means(whole, labels)
    calibration = None
    if protocol != "clip":  # there the fits that test a recording were trained on its other pieces
        taught = None if teacher is None else teacher.config.calibration
        temperature = 1.0 if taught is None else taught.temperature
        calibration = calibrate(whole, labels, run.coverage, predicted, temperature, **facts)
    cost = measure(experiment.model(0), experiment.preset.front_end.num_bands)
    record = {
        **record,
        "calibration": None if calibration is None else asdict(calibration),
        "labels": list(labels),
        "seeds": sorted(set(whole["seed"].tolist())),
        "parameters": cost.parameters,
        "multiply_adds_5s": cost.multiply_adds,
        "left_out": experiment.data.clips.left_out,
    }
    if predicted is not None:
        facts = {"dataset": experiment.name, "folds": folds, "teacher": teacher.name}
        facts |= {"teacher_evaluation": teacher.config.evaluation}
        agreement = compare(recordings, predicted, labels, **facts)
        files.write_run(folder, {**record, "agreement": asdict(agreement)})
        results.write_teacher(folder, predicted, labels)
        return agreement
    units, scores = experiment.units, {"piece": files.score(whole, labels, **facts)}
    scores["recording"] = files.score(recordings, labels, **facts)
    rate_of = {item.recording: r for item, r in zip(units.items, units.rates, strict=True)}
    rates = sorted(set(rate_of.values()))
    for rate in rates if len(rates) > 1 else ():
        part = recordings[recordings["recording"].map(rate_of) == rate]
        if part["label"].nunique() > 1:  # a score needs at least two labels
            scores[f"recording_{rate}_hz"] = files.score(part, labels, **facts)
    others = baselines(units, labels, protocol, folds, whole, experiment.on_features)
    files.write_run(folder, {**record, "baselines": others}, scores)
    return scores["recording"]


def summary(system: str, measured: Evaluation | Agreement) -> str:
    """Format the results as a few lines of text."""
    if isinstance(measured, Agreement):
        return f"{system}: agreement {measured.agreement}, gain {measured.gain}"
    recall = ", ".join(f"{words(label)} {share:.3f}" for label, share in measured.recall.items())
    told = {**measured.metrics, "recall": recall, "chance level": f"{measured.chance:.3f}"}
    told[f"always {measured.majority_label}"] = f"{measured.majority_accuracy:.3f}"
    lines = [f"  {words(name):28} {value}" for name, value in told.items()]
    what = f"{measured.recordings} recordings in {measured.groups} groups, {measured.split}"
    return "\n".join([f"{system}, protocol {measured.protocol}: {what}:", *lines])


def fp16_error(model: nn.Module, front_end: TrainingFrontEnd, clips: Clips) -> float:
    """Return the largest change of any piece's probability; infinite if a weight overflows."""
    before = piece_probabilities(model, front_end, clips)
    try:
        rounded = copy.deepcopy(model).half().float()  # inference stays in float32
        after = piece_probabilities(rounded, front_end, clips)
    except TrainingError:
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True))


def final_fit(run: Run, front_end: TrainingFrontEnd) -> None:
    """Fit on all recordings and save the checkpoint.

    An existing checkpoint of the same settings is not trained again. The scores in its config are
    those of the hardest protocol evaluated with these settings.
    """
    experiment, seed, folder = run.experiment, run.seeds[0], run.checkpoint_folder
    licence = experiment.data.corpus.licence
    training = results.as_json({**experiment.training(), "seed": seed, "licence": licence})
    clips = experiment.everything
    learnt, watched = hold_back(experiment, clips, seed)
    with run.lock(folder, patient=True):  # another protocol's run may be writing the same one
        if of_main(run.accelerator, lambda: is_there(run, training)):
            model, config = checkpoint.load_checkpoint(folder)
        else:
            model = train_model(run, clips, front_end, seed, None)
            half = fp16_error(model, front_end, clips) <= MAX_FP16_ERROR
            facts = {
                "stored_as": "float16" if half else "float32",
                "recordings": len(learnt.items),
                "held_back": 0 if watched is None else len(watched.items),
                "environment": results.environment(run.accelerator),
            }
            config = experiment.checkpoint_config({**training, **facts})
        if run.accelerator.is_main_process:
            config = replace(config, **hardest(run))
            half = config.training.get("stored_as") == "float16"
            checkpoint.save_checkpoint(folder, model, config, half)
            if not experiment.on_features:  # rows of features have no audio to fingerprint
                rate = experiment.preset.front_end.sample_rate
                write_fingerprints(folder, fingerprints_of([learnt], rate))
        run.state(seed, None).delete()
        run.accelerator.wait_for_everyone()


def is_there(run: Run, training: dict[str, Any]) -> bool:
    """Return whether the checkpoint folder holds a model trained with these settings."""
    try:
        _, config = checkpoint.load_checkpoint(run.checkpoint_folder)
    except checkpoint.CheckpointError:
        return False
    known = config.training
    same = all(known.get(name) == value for name, value in training.items())
    return same and config.system == run.experiment.system


def hardest(run: Run) -> dict[str, Evaluation | Agreement | Calibration | None]:
    """Return the per-recording records of the hardest protocol that has results.

    They are keyed by their names in the checkpoint's config; all are None without results.
    """
    kinds = {"evaluation": Evaluation, "agreement": Agreement, "calibration": Calibration}
    expected = results.as_json(run.experiment.training())
    for protocol in reversed(PROTOCOLS):
        folder = run.cell(protocol).results_folder
        record = results.existing_record(folder) or {"configuration": {}}
        found = {**record, "evaluation": record.get("metrics", {}).get("recording")}
        measured, ran = found["evaluation"] or found.get("agreement"), record["configuration"]
        if measured and all(ran.get(name) == value for name, value in expected.items()):
            with results.trusting(folder / files.RUN):
                return {n: read(kind | None, found.get(n), n) for n, kind in kinds.items()}
    return dict.fromkeys(kinds)
