"""``python -m train check-labels``."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn
from tqdm import tqdm

from cry_model.checkpoint import CheckpointConfig, load_checkpoint, save_checkpoint
from cry_model.records import Estimate, Evaluation
from cry_model.registry import make_front_end
from cry_model.results import ordered, score, write_predictions, write_record, write_run
from train.cli.options import HelpFormatter, add_cache, add_data_root, at_least
from train.data.cache import find_corpus
from train.data.corpus import DataError
from train.data.datasets import challenge6_cuts
from train.data.datasets import unlabelled as cries
from train.data.feature_tables import ALL, read_table
from train.fit.presets import FEATURES
from train.fit.weights import digest
from train.scoring import results
from train.scoring.calibration import PROMISED, calibrate
from train.studies.adaptation import adapt, adapted, embed, without_layer
from train.studies.label_check import (
    LEAVE_OUT,
    PROBABLE,
    Answerer,
    Checked,
    Fold,
    check,
    clean_folds,
    crossed_sets,
    describe,
    lead,
    of_adapted,
    of_student,
    of_teacher,
    read_cuts,
)

DESCRIPTION = """Check the feature MLP and its student against the labels of the cuts of the paper's
corpus. Each fold is answered by a feature MLP that is fitted anew without the recordings which the
tested cuts were taken from, by the student with that one's classifier, and by the student adapted
to the labels of the other folds. Writes predictions.csv and run.json for each to
OUT/results/challenge6_cuts/checked."""
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
        "--save",
        type=Path,
        metavar="FOLDER",
        help="write the adapted student there, if it is better than the one that is not",
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
    predictions = results.read_predictions(args.results, config.labels)
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
    sure = {cut.item.recording for cut in cuts if cut.original is not None}
    report = Report(args, facts, folds, sure)
    report.write("feature-mlp", teacher, config, of_teacher(config, predictions))
    if args.student is not None:
        check_student(args, report)


def check_student(args: argparse.Namespace, report: Report) -> None:
    """Check the student as it is and adapted; save the adapted one if it is better.

    Raises:
        DataError: if it is to be saved and is not shown to be better.
    """
    student, own = without_layer(*load_checkpoint(args.student))
    before = report.write("student", student, own, of_student(student, own))
    front_end = make_front_end(own.front_end)
    labelled, others = (
        embed(student, front_end, find_corpus(*where, args.cache, own.front_end).clips, own.labels)
        for where in ((challenge6_cuts.NAME, args.data_root), (cries.NAME, args.data_root))
    )
    way = of_adapted(student, own, labelled, others)
    after = report.write("adapted-student", student, replace(own, calibration=None), way)
    ahead = lead(after, before, own.labels)
    folder = report.folder("adapted-student")
    write_record(folder, {**results.read_run(folder), "ahead_of_student": asdict(ahead)})
    print(f"The adapted student is ahead of the other by {ahead} (balanced accuracy, paired).")
    if args.save is None:
        return
    if ahead.low <= 0:
        raise DataError("The adapted student is not shown to be better, so it is not saved.")
    layer = adapt(student.classifier, labelled, others)
    model, made = adapted(student, own, layer)
    made = replace(
        made,
        evaluation=score(after, own.labels, **report.scored),
        agreement=None,
        calibration=calibrate(after, own.labels, PROMISED, **report.scored),
        training={
            **own.training,
            "adapted": {
                **report.facts,
                "penalty": layer.penalty,
                "recordings": len(labelled.names),
            },
            "licence": f"{own.training['licence']}; {challenge6_cuts.LICENCE}",
        },
    )
    save_checkpoint(args.save, model, made, half=True)
    print(f"Checkpoint in {args.save}.")


@dataclass(frozen=True)
class Report:
    """Writes what was found of each model.

    Attributes:
        args: where to.
        facts: of the folds, for the record.
        folds: that answer.
        sure: the recordings whose originals are known.
    """

    args: argparse.Namespace
    facts: dict[str, Any]
    folds: Sequence[Fold]
    sure: Collection[str]

    @property
    def scored(self) -> dict[str, Any]:
        """Facts of an evaluation."""
        return {name: self.facts[name] for name in ("dataset", "protocol", "folds")}

    def folder(self, name: str) -> Path:
        """Return where the files of a model go."""
        where = self.args.out / "results" / challenge6_cuts.NAME / CHECKED
        return where / self.args.leave_out / name

    def write(
        self, name: str, model: nn.Module, config: CheckpointConfig, answerer: Answerer
    ) -> pd.DataFrame:
        """Answer all cuts, write both files, print the numbers; return the predictions."""
        answered, sets = check(self.folds, answerer)
        if config.calibration is None:
            sets = crossed_sets(answered, config.labels, PROMISED)
        found = describe(answered, sets, config.labels, PROMISED)
        known = answered[answered["recording"].isin(self.sure)]
        metrics = {
            "recording": score(answered, config.labels, **self.scored),
            "recording_sure": score(known, config.labels, **self.scored),
        }
        folder = self.folder(name)
        record = {
            "configuration": {
                **self.facts,
                "system": config.system,
                "preset": config.training["preset"],
                "model": name,
                "digest": digest(model.state_dict()),
            },
            "labels": list(config.labels),
            "checked": asdict(found),
        }
        write_predictions(folder, ordered(answered, config.labels))
        write_run(folder, record, metrics)
        print(*told(name, metrics["recording"], found), f"Written to {folder}.", sep="\n")
        return answered


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
