"""``python -m train fit``: cross-validate a system, then fit it on everything and save it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from cry_model.acoustic_features import AcousticConfig
from cry_model.checkpoint import CONFIG, CheckpointConfig, save_checkpoint
from cry_model.frontend import FrontEnd
from cry_model.records import Agreement, Evaluation, words
from cry_model.registry import measure
from cry_model.results import (
    PREDICTIONS,
    ordered,
    probability_columns,
    recording_means,
    score,
    whole_seeds,
    write_predictions,
    write_run,
)
from train.data.clips import Clips, join
from train.data.corpus import DataError
from train.data.feature_tables import TableFrontEnd
from train.data.splits import PROTOCOLS, Folds, learnt_from, require_two_labels, split
from train.fit.devices import as_found, of_main, same_threads
from train.fit.distillation import compare
from train.fit.final import ship
from train.fit.predict import TrainingFrontEnd, piece_probabilities
from train.fit.run import Run
from train.fit.trainer import train_model
from train.scoring import results
from train.scoring.baselines import baselines
from train.scoring.calibration import calibrate

NAME = re.compile(r"seed(\d+)-fold(\d+)")


def folds_folder(out: Path, dataset: str, protocol: str, system: str) -> Path:
    """Where the folds of a system are kept."""
    return out / "folds" / dataset / protocol / system


def keep_fold(run: Run, model: nn.Module, seed: int, fold: int, recordings: int) -> None:
    """Saves what a fold was fitted to.

    Args:
        run: that the fold is of.
        model: the fitted system.
        seed: of the fit.
        fold: which was held out.
        recordings: how many clips it learnt from.
    """
    folder = folds_folder(run.out, run.name, run.protocol, run.system)
    config = CheckpointConfig(
        run.system,
        run.labels,
        run.preset.front_end,
        settings=dict(run.settings),
        training={
            **run.configuration(),
            "seed": seed,
            "fold": fold,
            "recordings": recordings,
            "licence": run.data.corpus.licence,
            "environment": results.environment(run.accelerator),
        },
    )
    save_checkpoint(folder / f"seed{seed}-fold{fold}", model, config)


def kept_folds(
    out: Path, dataset: str, protocol: str, system: str
) -> Iterator[tuple[int, int, Path]]:
    """Seed, fold and checkpoint folder of every fold that was kept, in the order of the numbers.

    A folder without a config, whose writing was cut off, is passed over.
    """
    found = []
    for folder in folds_folder(out, dataset, protocol, system).glob("seed*-fold*"):
        name = NAME.fullmatch(folder.name)
        if name and (folder / CONFIG).is_file():
            found.append((int(name[1]), int(name[2]), folder))
    yield from sorted(found)


def fit_fold(
    run: Run, front_end: TrainingFrontEnd, fold_of: Folds, seed: int, fold: int
) -> pd.DataFrame:
    """Fits what a fold learns from; what it answers for the rest.

    Of the processes only the first one answers: the table of the others is empty.
    """
    units = run.units
    tested = units.subset(np.flatnonzero(fold_of == fold))
    learnt = join(units.subset(learnt_from(fold_of, fold)), apart(run, tested))
    model = train_model(run, learnt, front_end, seed, fold)
    rows = pd.DataFrame()
    if run.accelerator.is_main_process:
        rows = predict(model, front_end, tested, run.labels)
    if run.keep_folds and run.accelerator.is_main_process:  # before the results say "done"
        keep_fold(run, model, seed, fold, len(learnt.items))
    return rows


def apart(run: Run, tested: Clips) -> Clips:
    """The unlabelled clips that share with no tested one what the protocol keeps together."""
    key = PROTOCOLS[run.protocol]
    taken = {key(item) for item in tested.items}
    items = run.unlabelled.items
    return run.unlabelled.subset([i for i, item in enumerate(items) if key(item) not in taken])


def predict(
    model: nn.Module, front_end: TrainingFrontEnd, clips: Clips, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Probabilities of every piece of every clip, cut and scored as the classifier does it."""
    rows: list[Mapping[str, object]] = []
    columns = probability_columns(labels)
    probabilities = piece_probabilities(model, front_end, clips)
    for item, pieces in zip(clips.items, probabilities, strict=True):
        # A unit of the clip protocol that is a little too long for one piece has two.
        for number, row in enumerate(pieces):
            rows.append(
                {
                    "clip": f"{item.unit}#{number}",
                    "recording": item.recording,
                    "group": item.group,
                    "label": item.label,
                    **dict(zip(columns, row, strict=True)),
                }
            )
    return pd.DataFrame(rows)


@as_found()
def run_fit(run: Run) -> Evaluation | Agreement | None:
    """Cross-validates, writes the results, fits on everything and saves the checkpoint.

    Folds that the results folder already has are not fitted again, so a run that was cut off goes
    on where it was. None if there is nothing to be measured on: a corpus without any label, or a
    teacher that has heard the recordings which a fold would hold out.

    Raises:
        DataError: if the results folder holds a run of another configuration or corpus, another
            process writes there, or there are unlabelled recordings only and no teacher.
        TrainingError: if the loss is not a number.
    """
    say = run.accelerator.print
    if run.unlabelled.items and run.teacher is None:
        run = replace(run, data=replace(run.data, clips=run.data.clips.labelled()))
        say("Recordings without a label are left out; a --teacher could label them.")
    if not run.data.clips.items:
        raise DataError("No recording has a label; name a --teacher that gives some.")
    if run.opinions is not None and run.protocol == "clip":
        raise DataError("A teacher is asked about whole recordings; take --protocol baby.")
    if run.opinions is not None and run.preset.validation:
        raise DataError("Without a label there is nothing to watch a fit on; leave validation out.")
    run.check()
    front_end = front_end_of(run)
    evaluation = None
    with run.alone(run.results_folder):
        if run.teacher is not None and run.teacher.has_heard(run.name, run.extra):
            say(
                f"Not measured: the teacher was fitted on {run.teacher.learnt_from}, so it knows "
                "what a fold would hold out."
            )
        elif run.units.items:
            evaluation = cross_validate(run, front_end)
            say(summary(run, evaluation), f"Results in {run.results_folder}.", sep="\n")
        if run.checkpoint:
            ship(run, front_end)
            say(f"Checkpoint in {run.checkpoint_folder}.")
    return evaluation


def front_end_of(run: Run) -> TrainingFrontEnd:
    """What stands between the prepared recordings and the system, on the run's device."""
    config = run.preset.front_end
    made = TableFrontEnd(config) if isinstance(config, AcousticConfig) else FrontEnd(config)
    return made.to(run.accelerator.device)


def cross_validate(run: Run, front_end: TrainingFrontEnd) -> Evaluation | Agreement:
    """Fits and tests every fold and seed, and writes both result files after each."""
    folder, main, units = run.results_folder, run.accelerator.is_main_process, run.units
    require_labels(run)
    record = results.resume(folder, run.configuration())
    table = results.read_predictions(folder, run.labels)
    if not table.empty:
        check_split(run, folder, table)
    run.accelerator.wait_for_everyone()  # all have read before one writes
    if main:  # before any prediction, which would be nobody's without it
        write_run(folder, record)
    done = set() if table.empty else set(zip(table["seed"], table["fold"], strict=True))
    if done and any((seed, fold) not in done for seed in run.seeds for fold in range(run.folds)):
        known = record.get("environment", {})
        before = known.get("threads") if known.get("device") == "cpu" else None
        same_threads(before, run.threads, str(folder))
    for seed in run.seeds:
        fold_of = split(units.items, run.protocol, run.folds, seed)
        for fold in range(run.folds):
            if (seed, fold) not in done:
                started = time.perf_counter()
                rows = fit_fold(run, front_end, fold_of, seed, fold)
                if main:
                    table = pd.concat([table, rows.assign(fold=fold, seed=seed)], ignore_index=True)
                    seconds, name = time.perf_counter() - started, f"seed {seed}, fold {fold}"
                    record.setdefault("wall_seconds", {})[name] = round(seconds, 1)
                    record["environment"] = results.environment(run.accelerator)
                    write_predictions(folder, ordered(table, run.labels))
                    write_run(folder, record)
                run.accelerator.wait_for_everyone()
            run.memory(seed, fold).forget()
    return of_main(run.accelerator, lambda: finish(run, record))


def check_split(run: Run, folder: Path, table: pd.DataFrame) -> None:
    """Refuse predictions of other recordings or folds than here, and folds that were cut.

    Args:
        run: with the recordings that are here.
        folder: that the predictions come from.
        table: some of its folds.

    Raises:
        DataError: if recordings, groups, labels or folds differ.
    """
    facts = {(item.recording, item.group, item.label) for item in run.units.items}
    found = table[["recording", "group", "label"]].drop_duplicates()
    if not facts.issuperset(found.itertuples(index=False, name=None)):
        raise DataError(f"{folder} was made from other recordings, groups or labels.")
    units = [item.unit for item in run.units.items]
    for seed, rows in table.groupby("seed"):
        tested = set(zip(rows["clip"].str.rsplit("#", n=1).str[0], rows["fold"], strict=True))
        fold_of = split(run.units.items, run.protocol, run.folds, int(seed)).tolist()
        there = set(rows["fold"])
        if tested != {pair for pair in zip(units, fold_of, strict=True) if pair[1] in there}:
            raise DataError(
                f"Seed {seed} in {folder / PREDICTIONS} has other folds than it has here, "
                f"or recordings are missing; restore the file, or delete {folder}."
            )


def require_labels(run: Run) -> None:
    """Refuse a run that would be measured on, or learn in a fold from, one label alone.

    Raises:
        DataError: if it would.
    """
    if run.opinions is not None:  # measured by the teacher's answers
        return
    items = run.units.items
    require_two_labels(items, f"What can be read of {run.name}")
    require_two_labels(run.tested, f"What is tested of {run.name}")
    for seed in run.seeds if run.teacher is None else ():
        fold_of = split(items, run.protocol, run.folds, seed)
        for fold in range(run.folds):
            learnt = [items[i] for i in learnt_from(fold_of, fold)]
            what = f"What fold {fold} of seed {seed} learns from"
            require_two_labels(learnt, what, ", or take other --folds or another --protocol")


def finish(run: Run, record: dict[str, Any]) -> Evaluation | Agreement:
    """Scores the pooled predictions per piece and per recording and completes ``run.json``.

    Seeds that were cut off in an earlier run and not asked for now are not scored.
    """
    table = results.read_predictions(run.results_folder, run.labels)
    whole = whole_seeds(table, run.folds)
    if set(whole["recording"]) != {item.recording for item in run.tested}:
        raise DataError(f"{run.results_folder} was made from other recordings; delete it.")
    facts = {"dataset": run.name, "protocol": run.protocol, "folds": run.folds}
    recordings = recording_means(whole, run.labels)
    calibration = None
    if run.protocol != "clip":  # there a recording is tested by fits that know its other pieces
        taught = None if run.teacher is None else run.teacher.calibration
        temperature = 1.0 if taught is None else taught.temperature
        calibration = calibrate(whole, run.labels, run.coverage, run.opinions, temperature, **facts)
    record = {**record, "calibration": None if calibration is None else asdict(calibration)}
    if run.opinions is not None and run.teacher is not None:
        facts = {"dataset": run.name, "folds": run.folds, "teacher": run.teacher.name}
        agreement = compare(
            recordings,
            run.opinions,
            run.labels,
            teacher_evaluation=run.teacher.evaluation,
            **facts,
        )
        record = {
            **record,
            **facts_of(run, agreement.seeds),
            "agreement": asdict(agreement),
        }
        write_run(run.results_folder, record)
        results.write_opinions(run.results_folder, run.opinions, run.labels)
        return agreement
    scores = {
        "piece": score(whole, run.labels, **facts),
        "recording": score(recordings, run.labels, **facts),
    }
    rate_of = {item.recording: r for item, r in zip(run.units.items, run.units.rates, strict=True)}
    rates = sorted(set(rate_of.values()))
    for rate in rates if len(rates) > 1 else ():
        part = recordings[recordings["recording"].map(rate_of) == rate]
        if part["label"].nunique() < 2:  # nothing that a score could tell apart
            continue
        scores[f"recording_{rate}_hz"] = score(part, run.labels, **facts)
    record = {
        **record,
        **facts_of(run, scores["recording"].seeds),
        "beside": baselines(run.units, run.labels, run.protocol, run.folds, whole, run.on_features),
    }
    write_run(run.results_folder, record, scores)
    return scores["recording"]


def facts_of(run: Run, seeds: tuple[int, ...]) -> dict[str, Any]:
    """What ``run.json`` says beside the configuration and the scores."""
    cost = measure(run.model(0), run.preset.front_end.num_bands)
    return {
        "labels": list(run.labels),
        "seeds": list(seeds),
        "parameters": cost.parameters,
        "multiply_adds_5s": cost.multiply_adds,
        "left_out": run.data.clips.left_out,
    }


def summary(run: Run, measured: Evaluation | Agreement) -> str:
    """The measured numbers as a few lines of text."""
    if isinstance(measured, Agreement):
        return f"{run.system}: agreement {measured.agreement}, gain {measured.gain}"
    return scored(run.system, measured)


def scored(system: str, evaluation: Evaluation) -> str:
    """Metrics line by line."""
    lines = [
        f"{system}, protocol {evaluation.protocol}: {evaluation.recordings} recordings in "
        f"{evaluation.groups} groups, {evaluation.split}, {len(evaluation.seeds)} seeds:"
    ]
    for name, estimate in evaluation.metrics.items():
        value = f"{estimate.value:.3f}  [{estimate.low:.3f}, {estimate.high:.3f}]"
        lines.append(f"  {words(name):28} {value}")
    always = f"always {evaluation.majority_label} is right on {evaluation.majority_accuracy:.3f}"
    lines.append(f"  chance {evaluation.chance:.3f}, {always}")
    recall = ", ".join(f"{label} {value:.2f}" for label, value in evaluation.recall.items())
    return "\n".join([*lines, f"  recall: {recall}"])
