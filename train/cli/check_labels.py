"""``python -m train check-labels``."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from torch import nn
from tqdm import tqdm

from cry_model.checkpoint import (
    CheckpointConfig,
    load_checkpoint,
    save_checkpoint,
    write_fingerprints,
)
from cry_model.records import Estimate, Evaluation
from cry_model.registry import make_front_end
from cry_model.results import ordered, score, write_predictions, write_record, write_run
from train.cli.options import CorpusOptions, Seeds, one_of, option, whole_number
from train.data.cache import find_corpus
from train.data.corpus import DataError
from train.data.datasets import challenge6
from train.data.datasets import unlabelled as cries
from train.data.feature_tables import ALL, read_table
from train.fit.final import of_clips
from train.fit.presets import FEATURES
from train.fit.state import digest
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

CHECKED = "checked"


@dataclass(frozen=True, kw_only=True)
class CheckLabelsOptions(CorpusOptions):
    """Check the feature MLP and its student against the labels of the cuts of the paper's corpus.

    Each fold is answered by a feature MLP that is fitted anew without the recordings which the
    tested cuts were taken from, by the student with that one's classifier, and by the student
    adapted to the labels of the other folds. Writes predictions.csv and run.json for each to
    OUT/results/challenge6_cuts/checked.
    """

    teacher: Annotated[Path, option("checkpoint of the feature MLP")]
    results: Annotated[
        Path, option("results of the feature MLP under 'recording', for its calibration")
    ]
    student: Annotated[Path | None, option("checkpoint of its student")] = None
    leave_out: Annotated[
        str,
        option(
            "recordings that a fold must not know: those that its cuts are probably from, or "
            "all between those of the cuts before and after",
            parser=one_of(LEAVE_OUT),
        ),
    ] = PROBABLE
    save: Annotated[
        Path | None,
        option(
            "write the adapted student there, if it is better than the one that is not",
            metavar="FOLDER",
        ),
    ] = None
    folds: Annotated[int, option("of the cuts", parser=whole_number(2))] = 5
    seeds: Seeds = (0, 1, 2)
    out: Annotated[Path, option("folder of results")] = Path("runs")


@dataclass(frozen=True)
class Report:
    """Writes what was found of each model."""

    options: CheckLabelsOptions  # where to
    facts: dict[str, Any]  # of the folds, for the record
    folds: Sequence[Fold]  # that answer
    sure: Collection[str]  # the recordings whose originals are known

    @property
    def scored(self) -> dict[str, Any]:
        """Facts of an evaluation."""
        return {name: self.facts[name] for name in ("dataset", "protocol", "folds")}

    def folder(self, name: str) -> Path:
        """Return where the files of a model go."""
        where = self.options.out / "results" / challenge6.CUTS / CHECKED
        return where / self.options.leave_out / name

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


def run(options: CheckLabelsOptions) -> None:
    """Check, write both files for each model, and print the numbers; raise DataError if the
    recordings, or the predictions for the calibration, are missing."""
    if options.data_root is None:
        raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
    root = Path(options.data_root)
    teacher, config = load_checkpoint(options.teacher)
    predictions = results.read_predictions(options.results, config.labels)
    if predictions.empty or config.calibration is None:
        raise DataError(f"There are no predictions in {options.results} to calibrate with.")
    prepared = find_corpus(challenge6.CUTS, root, options.cache, FEATURES.front_end)
    cuts = read_cuts(root, prepared.clips.items)
    table = read_table(root, str(config.training["dataset"])).clips
    fits = clean_folds(
        cuts,
        table,
        read_table(root, ALL).clips.items,
        config.settings,
        len(config.labels),
        options.leave_out,
        options.folds,
        options.seeds,
    )
    bar = tqdm(fits, desc="Fitting without tested cuts", total=options.folds * len(options.seeds))
    folds = list(bar)
    facts = {
        "dataset": challenge6.CUTS,
        "protocol": "recording",
        "folds": options.folds,
        "seeds": options.seeds,
        "left_out": options.leave_out,
        "table": config.training["dataset"],
        "rows": [fold.rows for fold in folds],
    }
    sure = {cut.item.recording for cut in cuts if cut.original is not None}
    report = Report(options, facts, folds, sure)
    report.write("feature-mlp", teacher, config, of_teacher(config, predictions))
    if options.student is not None:
        check_student(options, report)


def check_student(options: CheckLabelsOptions, report: Report) -> None:
    """Check the student as it is and adapted; save the adapted one if it is better; raise DataError
    if it is to be saved and is not shown to be better."""
    student, own = without_layer(*load_checkpoint(options.student))
    before = report.write("student", student, own, of_student(student, own))
    front_end = make_front_end(own.front_end)
    where = options.data_root, options.cache, own.front_end
    corpora = [find_corpus(name, *where).clips for name in (challenge6.CUTS, cries.NAME)]
    labelled, others = (embed(student, front_end, clips, own.labels) for clips in corpora)
    way = of_adapted(student, own, labelled, others)
    after = report.write("adapted-student", student, replace(own, calibration=None), way)
    ahead = lead(after, before, own.labels)
    folder = report.folder("adapted-student")
    write_record(folder, {**results.read_run(folder), "ahead_of_student": asdict(ahead)})
    print(f"The adapted student is ahead of the other by {ahead} (balanced accuracy, paired).")
    if options.save is None:
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
            "licence": f"{own.training['licence']}; {challenge6.LICENCE}",
        },
    )
    save_checkpoint(options.save, model, made, half=True)
    write_fingerprints(options.save, of_clips(corpora, own.front_end.sample_rate))
    print(f"Checkpoint in {options.save}.")


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
