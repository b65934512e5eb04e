"""``python -m train fit``: cross-validate a system, then fit it on everything and save it."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cry_model.acoustic_features import AcousticConfig
from cry_model.frontend import FrontEnd
from cry_model.records import Agreement, Evaluation, words
from cry_model.registry import measure
from train import results
from train.beside import beside
from train.calibration import of_run
from train.corpus import DataError
from train.devices import as_found, of_main, same_threads
from train.feature_tables import TableFrontEnd
from train.fold import fit_fold
from train.opinions import compare
from train.predicting import TrainingFrontEnd
from train.run import Run
from train.ship import ship
from train.splits import learnt_from, require_two_labels, split


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
        results.write_run(folder, record)
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
                rows, cost = fit_fold(run, front_end, fold_of, seed, fold)
                if main:
                    table = pd.concat([table, rows.assign(fold=fold, seed=seed)], ignore_index=True)
                    seconds, name = time.perf_counter() - started, f"seed {seed}, fold {fold}"
                    record.setdefault("wall_seconds", {})[name] = round(seconds, 1)
                    record.setdefault("cost", {})[name] = asdict(cost)
                    record["environment"] = results.environment(run.accelerator)
                    results.write_predictions(folder, results.ordered(table, run.labels))
                    results.write_run(folder, record)
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
                f"Seed {seed} in {folder / results.PREDICTIONS} has other folds than it has here, "
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
    whole = results.whole_seeds(table, run.folds)
    if set(whole["recording"]) != {item.recording for item in run.tested}:
        raise DataError(f"{run.results_folder} was made from other recordings; delete it.")
    facts = {"dataset": run.name, "protocol": run.protocol, "folds": run.folds}
    recordings = results.per_recording(whole, run.labels)
    calibration = of_run(run, whole)
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
            "teacher_stability": {name: asdict(s) for name, s in run.stability.items()},
        }
        results.write_run(run.results_folder, record)
        results.write_opinions(run.results_folder, run.opinions, run.labels)
        return agreement
    scores = {
        "piece": results.score(whole, run.labels, **facts),
        "recording": results.score(recordings, run.labels, **facts),
    }
    rate_of = {item.recording: r for item, r in zip(run.units.items, run.units.rates, strict=True)}
    rates = sorted(set(rate_of.values()))
    for rate in rates if len(rates) > 1 else ():
        part = recordings[recordings["recording"].map(rate_of) == rate]
        if part["label"].nunique() < 2:  # nothing that a score could tell apart
            continue
        scores[f"recording_{rate}_hz"] = results.score(part, run.labels, **facts)
    record = {
        **record,
        **facts_of(run, scores["recording"].seeds),
        "beside": beside(run, whole),
    }
    results.write_run(run.results_folder, record, scores)
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
