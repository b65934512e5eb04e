"""Cross-validate a system, then fit it on everything and save it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cry_model.acoustic_features import AcousticConfig
from cry_model.frontend import FrontEnd
from cry_model.records import Agreement, Evaluation, words
from cry_model.registry import measure
from cry_model.results import (
    PREDICTIONS,
    ordered,
    recording_means,
    score,
    whole_seeds,
    write_predictions,
    write_run,
)
from train.data.clips import Clips, TableFrontEnd, join
from train.data.corpus import DataError
from train.data.splits import PROTOCOLS, Folds, learnt_from, require_two_labels, split
from train.fit.devices import as_found, of_main, same_threads
from train.fit.distillation import compare
from train.fit.experiment import Experiment
from train.fit.final import final_fit
from train.fit.fold_checkpoints import save_fold
from train.fit.predict import TrainingFrontEnd, predict
from train.fit.run import Run
from train.fit.trainer import train_model
from train.scoring import results
from train.scoring.baselines import baselines
from train.scoring.calibration import calibrate


def fit_fold(
    run: Run, front_end: TrainingFrontEnd, fold_of: Folds, seed: int, fold: int
) -> pd.DataFrame:
    """Fit what a fold learns from, and return what it answers for the rest.

    Of the processes only the first one answers: the table of the others is empty.
    """
    experiment = run.experiment
    units = experiment.units
    tested = units.subset(np.flatnonzero(fold_of == fold))
    learnt = join(units.subset(learnt_from(fold_of, fold)), apart(experiment, tested))
    model = train_model(run, learnt, front_end, seed, fold)
    rows = pd.DataFrame()
    if run.accelerator.is_main_process:
        rows = predict(model, front_end, tested, experiment.labels)
    if run.save_folds and run.accelerator.is_main_process:  # before the results say "done"
        save_fold(run, model, seed, fold, len(learnt.items))
    return rows


def apart(experiment: Experiment, tested: Clips) -> Clips:
    """Return the unlabelled clips that share no group of the protocol with a tested one."""
    key = PROTOCOLS[experiment.protocol]
    taken = {key(item) for item in tested.items}
    clips = experiment.unlabelled
    return clips.subset([i for i, item in enumerate(clips.items) if key(item) not in taken])


@as_found()
def run_fit(run: Run) -> Evaluation | Agreement | None:
    """Cross-validate, write the results, fit on everything and save the checkpoint.

    Folds that the results folder already has are not fitted again, so a run that was cut off goes
    on where it was. None if there is nothing to be measured on: a corpus without any label, or a
    teacher that was fitted on the recordings which a fold would hold out.

    Raises:
        DataError: if the results folder holds a run of another configuration or corpus, another
            process writes there, or there are unlabelled recordings only and no teacher.
        TrainingError: if the loss is not a number.
    """
    say, experiment = run.accelerator.print, run.experiment
    if experiment.unlabelled.items and experiment.teacher is None:
        labelled = replace(experiment.data, clips=experiment.data.clips.labelled())
        experiment = replace(experiment, data=labelled)
        run = replace(run, experiment=experiment)
        say("Recordings without a label are left out; a --teacher could label them.")
    if not experiment.data.clips.items:
        raise DataError("No recording has a label; name a --teacher that gives some.")
    if experiment.teacher_predictions is not None and experiment.protocol == "clip":
        raise DataError("A teacher is asked about whole recordings; take --protocol baby.")
    if experiment.teacher_predictions is not None and experiment.preset.validation:
        raise DataError("Without a label there is nothing to watch a fit on; leave validation out.")
    experiment.check()
    front_end, teacher = front_end_of(experiment), experiment.teacher
    evaluation = None
    with run.lock(run.results_folder):
        known = experiment.name, experiment.unlabelled_corpus
        if teacher is not None and teacher.overlaps_training_data(*known):
            say(
                f"Not measured: the teacher was fitted on {teacher.trained_on}, so it knows "
                "what a fold would hold out."
            )
        elif experiment.units.items:
            evaluation = cross_validate(run, front_end)
            say(summary(experiment.system, evaluation))
            say(f"Results in {run.results_folder}.")
        if run.checkpoint:
            final_fit(run, front_end)
            say(f"Checkpoint in {run.checkpoint_folder}.")
    return evaluation


def front_end_of(experiment: Experiment) -> TrainingFrontEnd:
    """Return what stands between the prepared recordings and the system, on the device."""
    config = experiment.preset.front_end
    made = TableFrontEnd(config) if isinstance(config, AcousticConfig) else FrontEnd(config)
    return made.to(experiment.accelerator.device)


def cross_validate(run: Run, front_end: TrainingFrontEnd) -> Evaluation | Agreement:
    """Fit and test every fold and seed, and write both result files after each."""
    experiment, accelerator, folder = run.experiment, run.accelerator, run.results_folder
    main, units = accelerator.is_main_process, experiment.units
    require_labels(experiment, run.seeds)
    record = results.resume(folder, experiment.configuration())
    table = results.read_predictions(folder, experiment.labels)
    if not table.empty:
        check_split(experiment, folder, table)
    accelerator.wait_for_everyone()  # all have read before one writes
    if main:  # before any prediction, which would be nobody's without it
        write_run(folder, record)
    done = set() if table.empty else set(zip(table["seed"], table["fold"], strict=True))
    if done and not done.issuperset(product(run.seeds, range(experiment.folds))):
        known = record.get("environment", {})
        before = known.get("threads") if known.get("device") == "cpu" else None
        same_threads(before, experiment.threads, str(folder))
    for seed in run.seeds:
        fold_of = split(units.items, experiment.protocol, experiment.folds, seed)
        for fold in range(experiment.folds):
            if (seed, fold) not in done:
                started = time.perf_counter()
                rows = fit_fold(run, front_end, fold_of, seed, fold)
                if main:
                    table = pd.concat([table, rows.assign(fold=fold, seed=seed)], ignore_index=True)
                    seconds, name = time.perf_counter() - started, f"seed {seed}, fold {fold}"
                    record.setdefault("wall_seconds", {})[name] = round(seconds, 1)
                    record["environment"] = results.environment(accelerator)
                    write_predictions(folder, ordered(table, experiment.labels))
                    write_run(folder, record)
                accelerator.wait_for_everyone()
            run.state(seed, fold).delete()
    return of_main(accelerator, lambda: finish(run, record))


def check_split(experiment: Experiment, folder: Path, table: pd.DataFrame) -> None:
    """Refuse predictions of other recordings or folds than here, and folds that were cut.

    Args:
        experiment: with the recordings that are here.
        folder: that the predictions come from.
        table: some of its folds.

    Raises:
        DataError: if recordings, groups, labels or folds differ.
    """
    items = experiment.units.items
    facts = {(item.recording, item.group, item.label) for item in items}
    found = table[["recording", "group", "label"]].drop_duplicates()
    if not facts.issuperset(found.itertuples(index=False, name=None)):
        raise DataError(f"{folder} was made from other recordings, groups or labels.")
    units = [item.unit for item in items]
    for seed, rows in table.groupby("seed"):
        tested = set(zip(rows["clip"].str.rsplit("#", n=1).str[0], rows["fold"], strict=True))
        fold_of = split(items, experiment.protocol, experiment.folds, int(seed)).tolist()
        there = set(rows["fold"])
        if tested != {pair for pair in zip(units, fold_of, strict=True) if pair[1] in there}:
            raise DataError(
                f"Seed {seed} in {folder / PREDICTIONS} has other folds than it has here, "
                f"or recordings are missing; restore the file, or delete {folder}."
            )


def require_labels(experiment: Experiment, seeds: Sequence[int]) -> None:
    """Refuse a run that would be measured on, or learn in a fold from, one label alone.

    Raises:
        DataError: if it would.
    """
    if experiment.teacher_predictions is not None:  # measured by the teacher's answers
        return
    items = experiment.units.items
    require_two_labels(items, f"What can be read of {experiment.name}")
    require_two_labels(experiment.tested, f"What is tested of {experiment.name}")
    for seed in seeds if experiment.teacher is None else ():
        fold_of = split(items, experiment.protocol, experiment.folds, seed)
        for fold in range(experiment.folds):
            learnt = [items[i] for i in learnt_from(fold_of, fold)]
            what = f"What fold {fold} of seed {seed} learns from"
            require_two_labels(learnt, what, ", or take other --folds or another --protocol")


def finish(run: Run, record: dict[str, Any]) -> Evaluation | Agreement:
    """Score the pooled predictions per piece and per recording, and complete ``run.json``.

    Seeds that were cut off in an earlier run and not asked for now are not scored.
    """
    experiment, folder = run.experiment, run.results_folder
    labels, protocol, folds = experiment.labels, experiment.protocol, experiment.folds
    predicted, teacher = experiment.teacher_predictions, experiment.teacher
    table = results.read_predictions(folder, labels)
    whole = whole_seeds(table, folds)
    if set(whole["recording"]) != {item.recording for item in experiment.tested}:
        raise DataError(f"{folder} was made from other recordings; delete it.")
    facts = {"dataset": experiment.name, "protocol": protocol, "folds": folds}
    recordings = recording_means(whole, labels)
    calibration = None
    if protocol != "clip":  # there a recording is tested by fits that know its other pieces
        taught = None if teacher is None else teacher.calibration
        temperature = 1.0 if taught is None else taught.temperature
        calibration = calibrate(whole, labels, run.coverage, predicted, temperature, **facts)
    record = {**record, "calibration": None if calibration is None else asdict(calibration)}
    if predicted is not None and teacher is not None:
        facts = {"dataset": experiment.name, "folds": folds, "teacher": teacher.name}
        agreement = compare(
            recordings,
            predicted,
            labels,
            teacher_evaluation=teacher.evaluation,
            **facts,
        )
        facts = facts_of(experiment, agreement.seeds)
        write_run(folder, {**record, **facts, "agreement": asdict(agreement)})
        results.write_teacher(folder, predicted, labels)
        return agreement
    scores = {
        "piece": score(whole, labels, **facts),
        "recording": score(recordings, labels, **facts),
    }
    units = experiment.units
    rate_of = {item.recording: r for item, r in zip(units.items, units.rates, strict=True)}
    rates = sorted(set(rate_of.values()))
    for rate in rates if len(rates) > 1 else ():
        part = recordings[recordings["recording"].map(rate_of) == rate]
        if part["label"].nunique() < 2:  # nothing that a score could tell apart
            continue
        scores[f"recording_{rate}_hz"] = score(part, labels, **facts)
    record = {
        **record,
        **facts_of(experiment, scores["recording"].seeds),
        "baselines": baselines(units, labels, protocol, folds, whole, experiment.on_features),
    }
    write_run(folder, record, scores)
    return scores["recording"]


def facts_of(experiment: Experiment, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Return what ``run.json`` says beside the configuration and the scores."""
    cost = measure(experiment.model(0), experiment.preset.front_end.num_bands)
    return {
        "labels": list(experiment.labels),
        "seeds": list(seeds),
        "parameters": cost.parameters,
        "multiply_adds_5s": cost.multiply_adds,
        "left_out": experiment.data.clips.left_out,
    }


def summary(system: str, measured: Evaluation | Agreement) -> str:
    """Put the measured numbers into a few lines of text."""
    if isinstance(measured, Agreement):
        return f"{system}: agreement {measured.agreement}, gain {measured.gain}"
    return scored(system, measured)


def scored(system: str, evaluation: Evaluation) -> str:
    """Put metrics into lines."""
    seeds = ", ".join(map(str, evaluation.seeds))
    lines = [
        f"{system}, protocol {evaluation.protocol}: {evaluation.recordings} recordings in "
        f"{evaluation.groups} groups, {evaluation.split}, seeds {seeds}:"
    ]
    for name, estimate in evaluation.metrics.items():
        value = f"{estimate.value:.3f}  [{estimate.low:.3f}, {estimate.high:.3f}]"
        lines.append(f"  {words(name):28} {value}")
    always = f"always {evaluation.majority_label} is right on {evaluation.majority_accuracy:.3f}"
    lines.append(f"  chance {evaluation.chance:.3f}, {always}")
    recall = ", ".join(f"{label} {value:.2f}" for label, value in evaluation.recall.items())
    return "\n".join([*lines, f"  recall: {recall}"])
