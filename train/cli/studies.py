"""Run ``python -m train calibrate``, ``permutation-test``, ``train-detector`` and ``check-...``."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cry_model.checkpoint import (
    CONFIG,
    CheckpointConfig,
    load_checkpoint,
    to_json,
    write_atomically,
)
from cry_model.declared import read
from cry_model.hub import find_checkpoint
from cry_model.networks.registry import make_front_end
from cry_model.records import Calibration, Evaluation, words
from cry_model.results import RUN, whole_seeds, write_record
from cry_model.sound.audio import Recording
from cry_model.sound.frontend import FrontEnd
from train.cli.options import (
    A_FILE,
    CORPORA,
    LARGEST,
    Checkpoint,
    CorpusOptions,
    Coverage,
    Options,
    Protocols,
    Seeds,
    Settings,
    one_of,
    option,
)
from train.cli.plan import require_settings
from train.data.cache import DATASETS, find_corpus, with_folds
from train.data.cache import describe as describe_corpus
from train.data.corpus import DataError, Item
from train.data.datasets import challenge6, detector
from train.data.splits import FOLDS, PROTOCOLS
from train.data.tagger import NAME as tagger_name
from train.data.tagger import Tagger, tag
from train.fit.detector import find_examples, require_steps
from train.fit.devices import make_accelerator
from train.fit.presets import DETECTOR, DETECTOR_SETTINGS, apply_overrides, usual_preset
from train.fit.run import Experiment, Run
from train.scoring import results
from train.scoring.calibration import PROMISED, calibrate
from train.scoring.detector import describe
from train.studies.detector import run_check
from train.studies.label_check import LEAVE_OUT, PROBABLE, check_labels
from train.studies.permutation_test import chance
from train.studies.personal import run_study

SYSTEM = "resnet18"  # of the detector
SHARED = ("system", "dataset", "data", "settings", "preset")
"""Entries of ``training`` and ``configuration`` that a checkpoint and its run must share."""
CHANCE = "chance.json"


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """Calibrate probabilities and prediction sets on the held-out predictions of a run.

    Calibrated confidence matches accuracy, and prediction sets reach their target coverage on new
    babies. 'fit' does this by itself; no model is trained again.
    """

    results: Annotated[Path, typer.Argument(help="folder of the run, updated in place")]
    checkpoint: Annotated[
        Path | None, option("folder of its checkpoint, updated too, with the metrics of all seeds")
    ] = None
    teacher: Annotated[
        str | None, option("the teacher, if the run is a student's", metavar="CHECKPOINT")
    ] = None
    coverage: Coverage = PROMISED


def run_calibrate(options: CalibrateOptions) -> None:
    """Calibrate; raise DataError without a finished run, or for the checkpoint of another run."""
    record = results.existing_record(options.results)
    if record is None or "labels" not in record:
        raise DataError(f"There is no finished run in '{options.results}'; 'fit' makes one.")
    config = None if options.checkpoint is None else config_of(options.checkpoint, record)
    if config is not None and config.evaluation is not None:
        with results.trusting(options.results / RUN):  # over all seeds that the run has by now
            evaluation = read(Evaluation, record["metrics"]["recording"], "evaluation")
        config = replace(config, evaluation=evaluation)
    found = calibration_of(options, record)
    write_record(options.results, {**record, "calibration": asdict(found)})
    told = ("temperature", "threshold", "against", "groups", "promised", "coverage", "size")
    for name in (*told, "empty", "single", "full", "error_before", "error_after"):
        print(f"{name:14} {getattr(found, name)}")
    print(f"Written to {options.results / RUN}.")
    if config is not None:
        carried = replace(config, calibration=found)
        write_atomically(options.checkpoint / CONFIG, carried.to_json().encode())
        print(f"Written to {options.checkpoint / CONFIG}.")


def config_of(folder: Path, record: dict[str, Any]) -> CheckpointConfig:
    """Read a checkpoint's config; raise DataError if it is not of the run of ``record``."""
    _, config = load_checkpoint(folder)
    ran = record["configuration"]
    made = {**config.training, "system": config.system}
    if any(made.get(name) != ran.get(name) for name in SHARED):
        raise DataError(f"'{folder}' is not a checkpoint of this run; name one that is.")
    measured = config.evaluation
    if measured is not None and measured.protocol != ran["protocol"]:
        raise DataError(
            f"'{folder}' has the scores of protocol {measured.protocol}; calibrate it on those "
            "results."
        )
    return config


def calibration_of(options: CalibrateOptions, record: dict[str, Any]) -> Calibration:
    """Calibrate on the predictions of the run of ``record``."""
    ran, labels = record["configuration"], record["labels"]
    table = whole_seeds(results.existing_predictions(options.results, labels), ran["folds"])
    predicted = results.read_teacher(options.results, labels)
    temperature = 1.0
    if options.teacher is not None:
        if predicted is None:
            raise DataError("This run learnt from labels; leave --teacher out.")
        _, teacher = load_checkpoint(find_checkpoint(options.teacher))
        if teacher.calibration is not None:
            temperature = teacher.calibration.temperature
    facts = {name: ran[name] for name in ("dataset", "protocol", "folds")}
    return calibrate(table, labels, options.coverage, predicted, temperature, **facts)


@dataclass(frozen=True, kw_only=True)
class PermutationTestOptions(CorpusOptions):
    """Run a label permutation test of each protocol with a linear classifier.

    Labels are permuted among groups with equally many recordings. The classifier is cross-validated
    on each permutation and on the true labels. Scores above chance on permuted labels come from
    recognising the recording or the baby. Takes minutes without a GPU; nothing is resumed.
    """

    dataset: Annotated[
        str, option(f"one of {CORPORA}; or {A_FILE}", parser=one_of(DATASETS, or_file=True))
    ]
    protocols: Protocols = tuple(PROTOCOLS)
    folds: Annotated[int, option("of the cross-validation", min=2)] = FOLDS
    permutations: Annotated[int, option("how many", min=20)] = 200
    out: Annotated[Path, option("OUT/results/DATASET/PROTOCOL/chance.json")] = Path("runs")


def run_permutation_test(options: PermutationTestOptions) -> None:
    """Run the test under each protocol and write the results."""
    config = usual_preset("improved-ecapa-tdnn", options.dataset).front_end
    data = find_corpus(options.dataset, options.data_root, options.cache, config)
    data, _ = with_folds(data, "clip", options.folds)  # ignores the corpus's own test part
    name, clips, front_end = data.corpus.name, data.clips.labelled(), make_front_end(config)
    if not clips.items:
        raise DataError(f"The recordings of {name} have no labels to permute.")
    folds, count = options.folds, options.permutations
    for protocol in options.protocols:
        found = chance(clips, name, data.corpus.labels, front_end, protocol, folds, count)
        folder = options.out / "results" / name / protocol
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CHANCE, (to_json(asdict(found)) + "\n").encode())
        print(f"{name}, {protocol}, a linear classifier, per recording:")
        for metric, one in found.scores.items():
            print(
                f"  {words(metric)}: true labels {one.value:.3f}; permuted {one.mean:.3f}, middle "
                f"95% {one.low:.3f} to {one.high:.3f}; p = {one.p:.3f}"
            )


@dataclass(frozen=True, kw_only=True)
class TrainDetectorOptions(CorpusOptions):
    """Train and evaluate the detector that tells a baby's cry from other sounds.

    The test sets are held-out folds, cries that are higher, shorter or masked by other sounds, and
    kinds of sound left out of training. The teacher is YAMNet (the folder yamnet of the data).
    What is already in --out is not trained again.
    """

    seed: Annotated[
        int, option("of weights and random pieces", min=0, max=LARGEST, metavar="SEED")
    ] = 0
    epochs: Annotated[int, option("of each fit", min=1)] = DETECTOR.epochs
    set: Settings = ()
    leave_out: Annotated[bool, option("also fit without each kind of sound in turn")] = True
    checkpoint: Checkpoint = True
    out: Annotated[Path, option("for results and states")] = Path("runs")


def run_train_detector(options: TrainDetectorOptions) -> None:
    """Train, evaluate and save the detector."""
    root, changes = options.root(), [f"epochs={options.epochs}", *options.set]
    preset, changed = apply_overrides(DETECTOR, changes)
    settings = {**DETECTOR_SETTINGS, **changed}
    require_settings(SYSTEM, preset, changed, settings)
    require_steps(preset)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; give another --data-root.")
    tagger = Tagger(root / tagger_name)
    data = find_corpus(detector.NAME, root, options.cache, preset.front_end)
    print(describe_corpus(data))
    accelerator = make_accelerator("cpu", precision="bfloat16")
    what = SYSTEM, data, "baby", preset, detector.FOLDS, accelerator, settings
    experiment = Experiment(*what)
    one = Run(experiment, (options.seed,), options.out, checkpoint=options.checkpoint)
    front_end = FrontEnd(preset.front_end).eval()
    files = {item.recording: item for item in detector.read(root).items}

    def load(item: Item) -> Recording:
        return detector.load(files[item.recording])  # a prepared corpus does not store full paths

    tags = tag(data.clips, front_end, load, tagger, options.cache)
    how = front_end, preset.augmentation, options.seed, options.cache
    examples = find_examples(data.clips, tags, *how)
    there = (root / challenge6.CUTS).exists()
    external = challenge6.read_cuts(root).items if there else ()
    found = run_check(one, examples, tagger, load, options.leave_out, external)
    print(describe(found), f"Results in {one.results_folder}.", sep="\n")


@dataclass(frozen=True, kw_only=True)
class CheckLabelsOptions(CorpusOptions):
    """Evaluate the feature MLP and its student on the labelled cuts of the paper's corpus.

    Four models predict each fold: a feature MLP trained without the recordings of the tested cuts;
    the student with that classifier; the same student adapted to the other folds; and the adapted
    student with a partner trained on them. Results go to OUT/results/challenge6_cuts/checked.
    """

    teacher: Annotated[Path, option("checkpoint of the feature MLP")]
    results: Annotated[Path, option("its results under 'recording', for its calibration")]
    student: Annotated[Path | None, option("checkpoint of its student")] = None
    partners: Annotated[
        Path | None, option("its partners from 'fit --save-folds', one ECAPA-TDNN per fold")
    ] = None
    leave_out: Annotated[
        str, option("recordings that a fold must not see", parser=one_of(LEAVE_OUT))
    ] = PROBABLE
    save: Annotated[
        Path | None, option("save the last model there, if it is better", metavar="FOLDER")
    ] = None
    folds: Annotated[int, option("of the cuts", min=2)] = 5
    seeds: Seeds = (0, 1, 2)
    out: Annotated[Path, option("folder of results")] = Path("runs")


def run_check_labels(options: CheckLabelsOptions) -> None:
    """Run the evaluation; write both result files for each model and print the scores."""
    names = [one.name for one in fields(options) if one.name != "data_root"]
    check_labels(options.root(), **{name: getattr(options, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class CheckPersonalOptions(CorpusOptions):
    """Measure how soon a personal model beats chance, and how often it wrongly claims to.

    Uses simulated parents, synthetic babies, and the installations of Donate-a-Cry that have
    several recordings and reasons. Results go to OUT/results/personal.
    """

    checkpoint: Annotated[Path, typer.Argument(help="folder of the model for the embeddings")]
    parents: Annotated[int, option("simulated with nothing to find", min=8)] = 400
    out: Annotated[Path, option("folder of results")] = Path("runs")


def run_check_personal(options: CheckPersonalOptions) -> None:
    """Run the study and print a line for each part."""
    found = run_study(options.checkpoint, options.root(), options.out, options.parents)
    for one in found["false_alarms"]:
        count, of = (one["better"][name] for name in ("count", "of"))
        print(f"{count} of {of} parents wrongly told 'better' in {one['nights']} nights.")
    for one in found["power"]:
        needed = one["cries_for_80_percent"] or "not enough"
        print(f"d = {one['effect']}, {one['labels_correct']:.0%} right: {needed} cries.")
    print(f"Donate-a-Cry: {found['donateacry']['pooled']}")
