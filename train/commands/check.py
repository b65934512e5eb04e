"""``python -m train check-labels``."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from cry_model.checkpoint import load_checkpoint, write_atomically
from cry_model.config import CONFIG
from cry_model.evaluation import Estimate, Evaluation
from train import results
from train.commands.options import HelpFormatter, add_cache, add_data_root, at_least
from train.corpus import DataError
from train.datasets import challenge6_cuts
from train.feature_tables import ALL, read_table
from train.label_check import LEAVE_OUT, PROBABLE, Checked, check, clean_folds, describe, read_cuts
from train.loading import find_corpus
from train.presets import FEATURES
from train.weights import digest

DESCRIPTION = """Check the feature MLP and its student against the labels of the cuts of the paper's
corpus. Each fold is answered by a feature MLP that is fitted anew without the recordings which the
tested cuts were taken from, and by the student with that one's classifier. Writes predictions.csv
and run.json to OUT/results/challenge6_cuts/checked."""
CHECKED = "checked"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "check-labels",
        help="check the six-class models against labelled cuts",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of the feature MLP")
    parser.add_argument(
        "--results",
        type=Path,
        required=True,
        help="results of the feature MLP under 'recording', for its calibration",
    )
    parser.add_argument("--student", type=Path, help="checkpoint of its student")
    parser.add_argument(
        "--leave-out",
        choices=LEAVE_OUT,
        default=PROBABLE,
        help="recordings that a fold must not know: those that its cuts are probably from, or all "
        "between those of the cuts before and after",
    )
    parser.add_argument(
        "--carry", action="store_true", help="write the student's numbers into its checkpoint too"
    )
    parser.add_argument("--folds", type=at_least(2), default=5, help="of the cuts")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0, 1, 2], help="of both")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of results")
    add_data_root(parser)
    add_cache(parser)


def run(args: argparse.Namespace) -> None:
    """Check, write both files for each model, and print the numbers.

    Raises:
        DataError: if the recordings, or the predictions for the calibration, are missing.
    """
    if args.data_root is None:
        raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
    root = Path(args.data_root)
    teacher, config = load_checkpoint(args.teacher)
    predictions = results.read_predictions(args.results)
    if predictions.empty or config.calibration is None:
        raise DataError(f"There are no predictions in {args.results} to calibrate with.")
    prepared = find_corpus(challenge6_cuts.NAME, root, args.cache, FEATURES.front_end)
    cuts = read_cuts(root, prepared.clips.items)
    table = read_table(root, str(config.training["dataset"])).clips
    fits = clean_folds(
        cuts,
        table,
        read_table(root, ALL).clips.items,
        config.settings,
        len(config.labels),
        args.leave_out,
        args.folds,
        args.seeds,
    )
    bar = tqdm(fits, desc="Fitting without tested cuts", total=args.folds * len(args.seeds))
    folds = list(bar)
    facts = {
        "dataset": challenge6_cuts.NAME,
        "protocol": "recording",
        "folds": args.folds,
        "seeds": args.seeds,
        "left_out": args.leave_out,
        "table": config.training["dataset"],
        "rows": [fold.rows for fold in folds],
    }
    models = {args.teacher.name: (None, teacher, config)}
    if args.student is not None:
        student, own = load_checkpoint(args.student)
        models[args.student.name] = ((student, own), student, own)
    sure = {cut.item.recording for cut in cuts if cut.original is not None}
    for name, (taught, model, own) in models.items():
        answered, sets = check(folds, config, predictions, taught)
        scored = {"dataset": facts["dataset"], "protocol": "recording", "folds": args.folds}
        found = describe(answered, sets, own.labels, own.calibration.promised)
        metrics = {
            "recording": results.score(answered, own.labels, **scored),
            "recording_sure": results.score(
                answered[answered["recording"].isin(sure)], own.labels, **scored
            ),
        }
        folder = args.out / "results" / challenge6_cuts.NAME / CHECKED / args.leave_out / name
        record = {
            "configuration": {**facts, "checkpoint": name, "digest": digest(model.state_dict())},
            "labels": list(own.labels),
            "checked": asdict(found),
        }
        results.write_predictions(folder, results.ordered(answered, own.labels))
        results.write_run(folder, record, metrics)
        print(*told(name, metrics["recording"], found), f"Written to {folder}.", sep="\n")
        if args.carry and taught is not None:
            carried = replace(own, evaluation=metrics["recording"])
            write_atomically(args.student / CONFIG, carried.to_json().encode())
            print(f"Written to {args.student / CONFIG}.")


def told(name: str, scored: Evaluation, found: Checked) -> list[str]:
    """Put the numbers into lines."""

    def by_label(shares: dict[str, float]) -> str:
        return ", ".join(f"{label} {value:.2f}" for label, value in shares.items())

    metrics: dict[str, Estimate] = dict(scored.metrics)
    return [
        f"{name}: {scored.recordings} recordings in {scored.groups} groups",
        *(f"  {metric:28} {value}" for metric, value in metrics.items()),
        f"  recall: {by_label(dict(scored.recall))}",
        f"  sets: coverage {found.coverage}, promised {found.promised:g}, size {found.size}",
        f"  coverage: {by_label(dict(found.by_label))}",
        f"  answered: {by_label(dict(found.answered))}",
        f"  expected too often by: {by_label(dict(found.confidence))}",
    ]
