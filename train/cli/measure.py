"""``python -m train calibrate``, ``permutation-test``, and what is measured on saved folds."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from accelerate import Accelerator
from torch import nn

from cry_model.checkpoint import (
    CONFIG,
    WEIGHTS,
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    read_config,
    read_evaluation,
    to_json,
    write_atomically,
)
from cry_model.hub import find_checkpoint
from cry_model.networks.registry import make_front_end
from cry_model.records import Calibration, PrunedVariant, words
from cry_model.results import PREDICTIONS, RUN, current, whole_seeds, write_record
from cry_model.sound.front_end_config import FrontEndConfig
from train.cli.options import (
    A_FILE,
    CORPORA,
    CorpusOptions,
    Coverage,
    Device,
    Options,
    Protocols,
    SavedFoldsOptions,
    one_of,
    option,
    share,
)
from train.data.cache import DATASETS, find_corpus, with_folds
from train.data.corpus import DataError
from train.data.splits import FOLDS, PROTOCOLS
from train.fit.cross_validation import fit_fold, hold_back
from train.fit.devices import make_accelerator
from train.fit.predict import digest
from train.fit.presets import usual_preset
from train.fit.pruning import (
    can_be_pruned,
    channels_left,
    pruned,
    recorded_precision,
    recorded_preset,
    shorter,
)
from train.fit.run import Experiment, Run
from train.scoring import results
from train.scoring.calibration import PROMISED, calibrate
from train.scoring.results import Cell, Kept, find_cells
from train.studies import compression, explanations
from train.studies.attention_ablation import ablations, describe, measure
from train.studies.cells import rebuild
from train.studies.permutation_test import chance

SHARED = ("system", "dataset", "data", "settings", "preset")
"""What a checkpoint's weights and a run's predictions were made with, in both of their records."""
CHANCE, EFFECT, INT8 = "chance.json", "attention_effect.json", "int8.json"
EXPLANATIONS, PRUNING = "explanations.json", "pruning.json"


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """Calibrate probabilities and prediction sets on the held-out predictions of a run.

    So that probabilities are as sure as they are right, and new babies get the promised sets. 'fit'
    does this by itself; nothing is fitted again.
    """

    results: Annotated[Path, typer.Argument(help="folder of the run, which gets the numbers")]
    checkpoint: Annotated[
        Path | None, option("folder of its weights, to carry them and the metrics of all its seeds")
    ] = None
    teacher: Annotated[
        str | None, option("of a student's, whose answers it calibrates", metavar="CHECKPOINT")
    ] = None
    coverage: Coverage = PROMISED


def run_calibrate(options: CalibrateOptions) -> None:
    """Calibrate; raise DataError without a finished run, or if the checkpoint is another run's."""
    record = results.read_run(options.results)
    if record is None or "labels" not in record:
        raise DataError(f"There is no finished run in '{options.results}'; 'fit' makes one.")
    config = None if options.checkpoint is None else config_of(options.checkpoint, record)
    if config is not None and config.evaluation is not None:
        with results.trusting(options.results / RUN):  # of all seeds that the run has by now
            evaluation = read_evaluation(record["metrics"]["recording"])
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
    """Read the config of the checkpoint of the run of ``record``."""
    _, config = load_checkpoint(folder)
    ran = record["configuration"]
    made = current({**config.training, "system": config.system})
    if any(made.get(name) != ran.get(name) for name in SHARED):
        raise DataError(f"'{folder}' was not fitted as this run was; name that of the same fit.")
    measured = config.evaluation
    if measured is not None and measured.protocol != ran["protocol"]:
        raise DataError(
            f"'{folder}' carries the numbers of protocol {measured.protocol}; calibrate it on the "
            "results of that."
        )
    return config


def calibration_of(options: CalibrateOptions, record: dict[str, Any]) -> Calibration:
    """Calibrate from the predictions of the run of ``record``."""
    ran, labels = record["configuration"], record["labels"]
    table = whole_seeds(results.read_predictions(options.results, labels), ran["folds"])
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
    """Show what each protocol gives where labels hardly go with the sound.

    Labels are permuted among groups with as many recordings, and a linear classifier is
    cross-validated each time, beside the true labels. What it still scores comes from hearing the
    recording or the baby again. Minutes, without a GPU; every call begins anew.
    """

    dataset: Annotated[
        str, option(f"one of {CORPORA}; or {A_FILE}", parser=one_of(DATASETS, or_file=True))
    ]
    protocols: Protocols = tuple(PROTOCOLS)
    folds: Annotated[int, option("of the cross-validation", min=2)] = FOLDS
    permutations: Annotated[int, option("how many", min=20)] = 200
    out: Annotated[Path, option("OUT/results/DATASET/PROTOCOL/chance.json")] = Path("runs")


def run_permutation_test(options: PermutationTestOptions) -> None:
    """Test under each protocol, and write it down."""
    config = usual_preset("improved-ecapa-tdnn", options.dataset).front_end
    data = find_corpus(options.dataset, options.data_root, options.cache, config)
    data, _ = with_folds(data, "clip", options.folds)  # over everything
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
class AblateAttentionOptions(SavedFoldsOptions):
    """Measure what each attention does to the answers of saved folds.

    What 'fit --save-folds' saved answers once more, with each attention replaced by a mean or
    uniform one; what becomes of the answers goes to attention_effect.json beside the predictions.
    What is there and newer is not measured again.
    """

    device: Device = "auto"


def run_ablate_attention(options: AblateAttentionOptions) -> None:
    """Measure cell by cell; raise DataError at the end if something was wrong with some."""
    accelerator = make_accelerator(options.device)  # its precision is for fitting
    wrong = []
    for cell in find_cells(options.out, options.dataset, options.protocol, options.system):
        try:
            print(f"{cell}: {ablate(options, cell, accelerator)}", flush=True)
        except (CheckpointError, DataError) as error:
            wrong.append(f"{cell}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))


def is_measured(cell: Cell) -> bool:
    """Return whether the file is there and newer than predictions and weights."""
    made_of = [cell.results_folder / PREDICTIONS, *(at / WEIGHTS for *_, at in cell.saved)]
    effect = cell.results_folder / EFFECT
    if not all(path.exists() for path in (effect, *made_of)):
        return False
    return effect.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in made_of)


def ablate(options: AblateAttentionOptions, cell: Cell, accelerator: Accelerator) -> str:
    """Measure one cell, unless it is done or has nothing to measure, and say what was found."""
    if is_measured(cell):
        return "is measured already."
    saved = cell.saved
    model, config = load_checkpoint(saved[0][2])
    if not ablations(model):
        return "has no attention that could be ablated."
    one = rebuild(cell, config, options.data_root, options.cache, accelerator)
    with one.lock(cell.results_folder):  # a fit would change the predictions meanwhile
        effect = measure(one, saved)
        write_atomically(cell.results_folder / EFFECT, f"{to_json(effect)}\n".encode())
    return describe(effect)


@dataclass(frozen=True, kw_only=True)
class MeasureInt8Options(SavedFoldsOptions):
    """Measure what int8 changes in the answers of saved folds.

    The weights that 'fit --save-folds' saved become graphs in float32 and in int8, with ranges
    from what the fold learnt from; how both answer what is held out goes to int8.json beside the
    predictions.
    """


def run_measure_int8(options: MeasureInt8Options) -> None:
    """Measure cell by cell; raise as :func:`hearing_sound`."""
    for cell, run in hearing_sound(options):
        effect = compression.measure_int8(run, cell.saved)
        cell.write(INT8, effect)
        print(f"{cell}: {describe_int8(effect)}", flush=True)


def hearing_sound(options: SavedFoldsOptions) -> Iterator[tuple[Cell, Run]]:
    """Yield the cells that are asked for with their runs; those that hear features are named. Raise
    DataError if there are no such folds, or their recordings are not here."""
    accelerator = Accelerator(cpu=True)
    for cell in find_cells(options.out, options.dataset, options.protocol, options.system):
        _, config = load_checkpoint(cell.saved[0][2])
        if not isinstance(config.front_end, FrontEndConfig):
            print(f"{cell} hears features; only what hears sound is measured.", flush=True)
            continue
        yield cell, rebuild(cell, config, options.data_root, options.cache, accelerator)


def describe_int8(effect: compression.Int8Effect) -> str:
    """Put what changed into one line."""
    before, after = (size / 2**20 for size in effect.bytes)
    return (
        f"{effect.recordings} recordings, {effect.folds} folds: another first label for "
        f"{effect.changed}; accuracy {effect.float32['accuracy']} in float32, "
        f"{effect.int8['accuracy']} in int8, difference {effect.difference['accuracy']}; "
        f"{before:.1f} MB and {after:.1f} MB."
    )


@dataclass(frozen=True, kw_only=True)
class CheckExplanationsOptions(SavedFoldsOptions):
    """Test by insertion and deletion which map marks what the answers of saved folds rest on.

    What 'fit --save-folds' saved answers what it has not heard, with what a map marks left as it
    is and the rest dimmed, and the other way round; the probabilities go to explanations.json
    beside the predictions.
    """


def run_check_explanations(options: CheckExplanationsOptions) -> None:
    """Test cell by cell; raise as :func:`hearing_sound`."""
    for cell, run in hearing_sound(options):
        found = explanations.measure(run, cell.saved)
        cell.write(EXPLANATIONS, found)
        print(f"{cell}: {found.recordings} recordings, whole {found.whole}", flush=True)
        for name, map_ in found.maps.items():
            print(f"  {name}: kept {map_.kept}, removed {map_.removed}, ahead {map_.ahead}")


@dataclass(frozen=True, kw_only=True)
class MeasurePruningOptions(SavedFoldsOptions):
    """Prune channels of saved folds, fine-tune them, and measure what they answer.

    Each fold that 'fit --save-folds' saved loses a share of its channels, those that matter least
    where it learnt, and is fitted again for a third of the epochs with the full model as teacher.
    It goes to OUT/pruned/RATIO, and is not fitted again when the command is. How full and pruned
    models answer what is held out, in float32 and int8, goes to pruning.json beside the
    predictions.
    """

    ratios: Annotated[
        list[float], option("shares of the channels to remove", parser=share(ends=False))
    ] = (0.25, 0.5, 0.75)
    device: Device = "auto"


def run_measure_pruning(options: MeasurePruningOptions) -> None:
    """Measure cell by cell; raise DataError if there are no such folds, they cannot be pruned by
    such a share, or their recordings are not here."""
    for cell in find_cells(options.out, options.dataset, options.protocol, options.system):
        model, config = load_checkpoint(cell.saved[0][2])
        if not can_be_pruned(model) and not options.system:
            print(f"{cell} cannot be pruned.", flush=True)
            continue
        for ratio in options.ratios:
            channels_left(model, ratio)  # what does not suit is found now, not after an hour
        accelerator = make_accelerator(options.device, recorded_precision(config))
        one = rebuild(cell, config, options.data_root, options.cache, accelerator)
        with one.lock(cell.results_folder):  # a fit would change the folds meanwhile
            folds = {0.0: cell.saved}
            for ratio in sorted({*options.ratios}):
                folds[ratio] = [prune_fold(one, kept, ratio) for kept in cell.saved]
            effect = compression.measure_pruning(one, folds)
            cell.write(PRUNING, effect)
        print(f"{cell}: {effect.recordings} recordings, {effect.folds} folds")
        for variant in effect.variants:
            print(f"  {describe_variant(variant)}", flush=True)


def prune_fold(run: Run, kept: Kept, ratio: float) -> Kept:
    """Prune a saved fold and fine-tune it, unless that is done, and return where it is kept."""
    seed, fold, folder = kept
    model, config = load_checkpoint(folder)
    experiment = replace(run.experiment, preset=recorded_preset(config))
    own = replace(
        run, experiment=experiment, out=run.out / "pruned" / f"{ratio:g}", save_folds=True
    )
    there = own.cell().fold_folder(seed, fold)
    what = f"{experiment.system}, {ratio:.0%} of the channels removed, seed {seed}, fold {fold}"
    if is_made_of(there, model, experiment):
        print(f"{what}: is there.", flush=True)
        return seed, fold, there
    print(f"{what}: fine-tuning.", flush=True)
    learnt, _ = hold_back(experiment, experiment.fold(seed, fold)[0], seed)
    narrow = pruned(experiment, model, config, folder.name, ratio, learnt, seed)
    own = replace(own, experiment=narrow)
    own.state(seed, fold).forget_other()
    fit_fold(own, narrow.front_end(), seed, fold)
    own.state(seed, fold).delete()
    return seed, fold, there


def is_made_of(folder: Path, model: nn.Module, experiment: Experiment) -> bool:
    """Return whether a folder holds what fine-tuning of the model gave."""
    if not (folder / CONFIG).is_file():
        return False
    made = read_config(folder).training
    known = made.get("teacher") or {}
    return known.get("digest") == digest(model.state_dict()) and made.get(
        "preset"
    ) == results.as_json(asdict(shorter(experiment.preset)))


def describe_variant(variant: PrunedVariant) -> str:
    """Put one variant into one line."""
    return (
        f"{variant.channels} channels, {variant.precision}: accuracy {variant.scores['accuracy']}, "
        f"difference {variant.difference['accuracy']}; {variant.parameters / 1e6:.2f} M parameters,"
        f" {variant.multiply_adds / 1e6:.0f} M multiply-adds, {variant.bytes / 2**20:.1f} MB"
    )
