"""Run ``python -m train train-detector`` and the commands that measure."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from accelerate import Accelerator

from cry_model.checkpoint import (
    CONFIG,
    WEIGHTS,
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    write_atomically,
)
from cry_model.declared import read
from cry_model.networks.registry import list_models, make_front_end
from cry_model.records import Calibration, Evaluation, words
from cry_model.results import PREDICTIONS, RUN, whole_seeds, write_record
from cry_model.sound.audio import Recording
from cry_model.sound.frontend import FrontEnd
from train.cli.options import (
    A_FILE,
    CORPORA,
    LARGEST,
    SYSTEMS,
    Checkpoint,
    CorpusOptions,
    Coverage,
    Device,
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
from train.data.corpus import DataError, Item, permute_labels
from train.data.datasets import challenge6, detector
from train.data.splits import FOLDS, PROTOCOLS, OuterFold
from train.data.tagger import NAME as tagger_name
from train.data.tagger import Tagger, tag
from train.fit.detector import find_examples, require_steps
from train.fit.devices import make_accelerator
from train.fit.presets import DETECTOR, DETECTOR_SETTINGS, apply_overrides, usual_preset
from train.fit.pruning import recorded_precision
from train.fit.run import Experiment, Run
from train.scoring import results
from train.scoring.calibration import PROMISED, calibrate
from train.scoring.detector import describe
from train.scoring.results import Cell, find_cells
from train.studies import attention_ablation
from train.studies.attention_ablation import ablations
from train.studies.detector import run_check
from train.studies.label_check import LEAVE_OUT, PROBABLE, check_labels
from train.studies.permutation_test import chance

SYSTEM = "resnet18"  # of the detector
SHARED = ("system", "dataset", "data", "settings", "preset")
"""Entries of ``training`` and ``configuration`` that a checkpoint and its run must share."""
CHANCE, EFFECT = "chance.json", "attention_effect.json"


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
    """Calibrate on the predictions of the run of ``record``, with its teacher's temperature."""
    ran, labels = record["configuration"], record["labels"]
    table = whole_seeds(results.existing_predictions(options.results, labels), ran["folds"])
    predicted, temperature = results.read_teacher(options.results, labels), 1.0
    if predicted is not None:
        with results.trusting(options.results / RUN):
            temperature = float(record["calibration"]["teacher_temperature"])
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
        results.write_json(options.out / "results" / name / protocol / CHANCE, found)
        print(f"{name}, {protocol}, a linear classifier, per recording:")
        told = "true labels {value:.3f}; permuted {mean:.3f}, middle 95% {low:.3f} to {high:.3f}"
        for metric, one in found["scores"].items():
            print(f"  {words(metric)}: {told.format(**one)}; p = {one['p']:.3f}")


@dataclass(frozen=True, kw_only=True)
class AblateAttentionOptions(CorpusOptions):
    """Measure the effect of each attention on the predictions of saved folds.

    Models saved by 'fit --save-folds' predict again, with each attention replaced by a mean or
    uniform one. The differences go to attention_effect.json next to the predictions. A file newer
    than predictions and weights is not computed again.
    """

    out: Annotated[Path, option("where 'fit' saved results and folds")] = Path("runs")
    dataset: Annotated[list[str], option("only these", metavar="DATASET")] = ()
    protocol: Annotated[list[str], option("only these", parser=one_of(PROTOCOLS))] = ()
    system: Annotated[
        list[str],
        option(f"only these, of {SYSTEMS}", parser=one_of(list_models()), metavar="SYSTEM"),
    ] = ()
    device: Device = "auto"


def run_ablate_attention(options: AblateAttentionOptions) -> None:
    """Measure each selected cell from its saved folds; write and print the differences.

    Raise DataError if no saved folds match, or after the last cell if some cells failed.
    """
    wrong = []
    for cell in find_cells(options.out, options.dataset, options.protocol, options.system):
        try:
            model, config = load_checkpoint(cell.saved[0][2])
            if is_measured(cell):
                said = "already measured."
            elif not ablations(model):
                said = "has no attention to ablate."
            else:
                accelerator = make_accelerator(options.device, recorded_precision(config))
                run = rebuild(cell, config, options.data_root, options.cache, accelerator)
                with run.lock(cell.results_folder):  # so that no fit changes the folds meanwhile
                    found = attention_ablation.measure(run, cell.saved)
                    results.write_json(cell.results_folder / EFFECT, found)
                said = attention_ablation.describe(found)
            print(f"{cell}: {said}", flush=True)
        except (CheckpointError, DataError) as error:
            wrong.append(f"{cell}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))


def is_measured(cell: Cell) -> bool:
    """Return whether the result file exists and is newer than predictions and weights."""
    made_of = [cell.results_folder / PREDICTIONS, *(at / WEIGHTS for *_, at in cell.saved)]
    effect = cell.results_folder / EFFECT
    if not all(path.exists() for path in (effect, *made_of)):
        return False
    return effect.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in made_of)


def rebuild(
    cell: Cell, config: CheckpointConfig, root: Path | None, cache: Path, accelerator: Accelerator
) -> Run:
    """Rebuild the run of a cell, with its recordings and splits; ``config`` is of any of its folds.

    Raise DataError if its recordings are missing or differ, or if it had a teacher."""
    record = results.existing_record(cell.results_folder)
    if record is None:
        raise DataError(f"There is no run.json for these folds in {cell.results_folder}.")
    seeds = tuple(sorted({seed for seed, _, _ in cell.saved}))
    front_end, ran = config.front_end, record["configuration"]
    with results.trusting(cell.results_folder / RUN):
        teacher, settings = ran["teacher"], dict(ran["settings"])
        outer_fold = OuterFold(**ran["within"]) if "within" in ran else None
        permutation = int(ran["permuted_labels"]) if "permuted_labels" in ran else None
    if teacher is not None:  # the split may depend on labels that the teacher gave
        raise DataError("This fit had a teacher; only fits without one can be rebuilt.")
    data = find_corpus(cell.dataset, root, cache, front_end)
    clips = data.clips.labelled()  # without a teacher, a fit ignores unlabelled recordings
    if permutation is not None:
        clips = permute_labels(clips, data.corpus.labels, permutation)
    data, folds = with_folds(replace(data, clips=clips), cell.protocol, ran["folds"])
    preset = replace(usual_preset(cell.system, cell.dataset), front_end=front_end)
    what = cell.system, data, cell.protocol, preset, folds, accelerator, settings
    experiment = Experiment(*what, outer_fold=outer_fold, permutation=permutation)
    if experiment.fingerprint != ran.get("data"):
        raise DataError(f"The recordings of {cell.dataset} are not those of the original fit.")
    return Run(experiment, seeds, cell.out)


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
