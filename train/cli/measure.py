"""``python -m train ablate-attention``, and what else is measured on folds that ``fit`` saved."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from accelerate import Accelerator
from torch import nn

from cry_model.checkpoint import (
    CONFIG,
    WEIGHTS,
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    read_config,
)
from cry_model.records import PruningEffect
from cry_model.results import PREDICTIONS, RUN
from cry_model.sound.front_end_config import FrontEndConfig
from train.cli.options import Device, SavedFoldsOptions, option, share
from train.data.cache import DATASETS, find_corpus, with_folds
from train.data.corpus import DataError, permute_labels
from train.data.datasets import folder as own_folder
from train.data.splits import OuterFold
from train.fit.cross_validation import fit_fold, hold_back
from train.fit.devices import make_accelerator
from train.fit.predict import digest
from train.fit.presets import Preset, usual_preset
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
from train.scoring.results import Cell, Kept, find_cells
from train.studies import compression, explanations
from train.studies.attention_ablation import ablations, describe, measure

EFFECT, INT8 = "attention_effect.json", "int8.json"
EXPLANATIONS, PRUNING = "explanations.json", "pruning.json"


@dataclass(frozen=True, kw_only=True)
class AblateAttentionOptions(SavedFoldsOptions):
    """Measure what each attention does to the answers of saved folds.

    What 'fit --save-folds' saved answers once more, with each attention replaced by a mean or
    uniform one; what becomes of the answers goes to attention_effect.json beside the predictions.
    What is there and newer is not measured again.
    """

    device: Device = "auto"


def run_ablate_attention(options: AblateAttentionOptions) -> None:
    """Measure as :func:`of_each_cell`."""

    def refuse(cell: Cell, model: nn.Module, _: CheckpointConfig) -> str | None:
        if is_measured(cell):
            return "is measured already."
        return None if ablations(model) else "has no attention that could be ablated."

    of_each_cell(options, EFFECT, refuse, measure, describe, options.device)


def is_measured(cell: Cell) -> bool:
    """Return whether the file is there and newer than predictions and weights."""
    made_of = [cell.results_folder / PREDICTIONS, *(at / WEIGHTS for *_, at in cell.saved)]
    effect = cell.results_folder / EFFECT
    if not all(path.exists() for path in (effect, *made_of)):
        return False
    return effect.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in made_of)


def of_each_cell(
    options: SavedFoldsOptions,
    file: str,
    refuse: Callable[[Cell, nn.Module, CheckpointConfig], str | None],
    measure: Callable[[Run, Sequence[Kept]], Any],
    describe: Callable[[Any], str],
    device: str = "cpu",
) -> None:
    """Measure what saved folds are asked for, cell by cell, and write and tell what was found.

    ``refuse`` gives the reason why nothing is to be measured, by the model and config of one fold.
    Raise DataError if there are no such folds, or in the end if something was wrong with some.
    """
    wrong = []
    for cell in find_cells(options.out, options.dataset, options.protocol, options.system):
        try:
            model, config = load_checkpoint(cell.saved[0][2])
            said = refuse(cell, model, config)
            if said is None:
                accelerator = make_accelerator(device, recorded_precision(config))
                run = rebuild(cell, config, options.data_root, options.cache, accelerator)
                with run.lock(cell.results_folder):  # a fit would change the folds meanwhile
                    found = measure(run, cell.saved)
                    cell.write(file, found)
                said = describe(found)
            print(f"{cell}: {said}", flush=True)
        except (CheckpointError, DataError) as error:
            wrong.append(f"{cell}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))


def rebuild(
    cell: Cell, config: CheckpointConfig, root: Path | None, cache: Path, accelerator: Accelerator
) -> Run:
    """Return the run of a cell, for its recordings and how they were split; ``config`` is of any of
    its folds. Raise DataError if its recordings are not here, or it learnt from a teacher."""
    record = results.read_run(cell.results_folder)
    if record is None:
        raise DataError(f"There is no run.json in {cell.results_folder}; it belongs to the folds.")
    seeds = tuple(sorted({seed for seed, _, _ in cell.saved}))
    front_end, ran = config.front_end, record["configuration"]
    with results.trusting(cell.results_folder / RUN):
        teacher, settings = ran["teacher"], dict(ran["settings"])
        outer_fold = OuterFold(**ran["within"]) if "within" in ran else None
        permutation = int(ran["permuted_labels"]) if "permuted_labels" in ran else None
    if teacher is not None:  # it may have named the labels that the folds were made by
        raise DataError("This learnt from a teacher; only what learnt from labels can be rebuilt.")
    of_folders = cell.dataset.startswith(f"{own_folder.NAME}-") and cell.dataset not in DATASETS
    name = own_folder.NAME if of_folders else cell.dataset
    data = find_corpus(name, root, cache, front_end)
    clips = data.clips.labelled()  # without a teacher a fit leaves out the rest
    if permutation is not None:
        clips = permute_labels(clips, data.corpus.labels, permutation)
    data, folds = with_folds(replace(data, clips=clips), cell.protocol, ran["folds"])
    preset = replace(usual_preset(cell.system, cell.dataset), front_end=front_end)
    what = cell.system, data, cell.protocol, preset, folds, accelerator, settings
    experiment = Experiment(*what, outer_fold=outer_fold, permutation=permutation)
    if experiment.fingerprint != ran.get("data"):
        raise DataError(f"The recordings of {cell.dataset} are not those that this was fitted on.")
    return Run(experiment, seeds, cell.out)


def hears_no_sound(cell: Cell, model: nn.Module, config: CheckpointConfig) -> str | None:
    """Refuse what hears features."""
    on_sound = isinstance(config.front_end, FrontEndConfig)
    return None if on_sound else "hears features; only what hears sound is measured."


@dataclass(frozen=True, kw_only=True)
class MeasureInt8Options(SavedFoldsOptions):
    """Measure what int8 changes in the answers of saved folds.

    The weights that 'fit --save-folds' saved become graphs in float32 and in int8, with ranges
    from what the fold learnt from; how both answer what is held out goes to int8.json beside the
    predictions.
    """


def run_measure_int8(options: MeasureInt8Options) -> None:
    """Measure as :func:`of_each_cell`."""
    measure, describe = compression.measure_int8, compression.describe_int8
    of_each_cell(options, INT8, hears_no_sound, measure, describe)


@dataclass(frozen=True, kw_only=True)
class CheckExplanationsOptions(SavedFoldsOptions):
    """Test by insertion and deletion which map marks what the answers of saved folds rest on.

    What 'fit --save-folds' saved answers what it has not heard, with what a map marks left as it
    is and the rest dimmed, and the other way round; the probabilities go to explanations.json
    beside the predictions.
    """


def run_check_explanations(options: CheckExplanationsOptions) -> None:
    """Test as :func:`of_each_cell`."""
    measure, describe = explanations.measure, explanations.describe
    of_each_cell(options, EXPLANATIONS, hears_no_sound, measure, describe)


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
    """Measure as :func:`of_each_cell`."""

    def refuse(cell: Cell, model: nn.Module, config: CheckpointConfig) -> str | None:
        possible = can_be_pruned(model) or options.system  # of what is named, the reason is told
        return None if possible else "cannot be pruned."

    def measure(run: Run, saved: Sequence[Kept]) -> PruningEffect:
        ratios = sorted({*options.ratios})
        for ratio in ratios:  # what does not suit is found now, not after an hour
            channels_left(load_checkpoint(saved[0][2])[0], ratio)
        folds = {ratio: [prune_fold(run, one, ratio) for one in saved] for ratio in ratios}
        return compression.measure_pruning(run, {0.0: saved, **folds})

    of_each_cell(options, PRUNING, refuse, measure, compression.describe_pruning, options.device)


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
    if is_made_of(there, model, shorter(experiment.preset)):
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


def is_made_of(folder: Path, model: nn.Module, preset: Preset) -> bool:
    """Return whether a folder holds what fine-tuning of the model gave."""
    if not (folder / CONFIG).is_file():
        return False
    made = read_config(folder).training
    known = made.get("teacher") or {}
    fitted_so = made.get("preset") == results.as_json(asdict(preset))
    return known.get("digest") == digest(model.state_dict()) and fitted_so
