"""Run ``python -m train ablate-attention`` and the other evaluations of saved folds."""

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
    """Measure the effect of each attention on the predictions of saved folds.

    Models saved by 'fit --save-folds' predict again, with each attention replaced by a mean or
    uniform one. The differences go to attention_effect.json next to the predictions. A file newer
    than predictions and weights is not computed again.
    """

    device: Device = "auto"


def run_ablate_attention(options: AblateAttentionOptions) -> None:
    """Run the ablations with :func:`of_each_cell`."""

    def refuse(cell: Cell, model: nn.Module, _: CheckpointConfig) -> str | None:
        if is_measured(cell):
            return "already measured."
        return None if ablations(model) else "has no attention to ablate."

    of_each_cell(options, EFFECT, refuse, measure, describe, options.device)


def is_measured(cell: Cell) -> bool:
    """Return whether the result file exists and is newer than predictions and weights."""
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
    """Run ``measure`` on the saved folds of each selected cell; write and print the results.

    ``refuse`` returns the reason to skip a cell, given the model and config of one fold, or None.
    Raise DataError if no saved folds match, or after the last cell if some cells failed.
    """
    wrong = []
    for cell in find_cells(options.out, options.dataset, options.protocol, options.system):
        try:
            model, config = load_checkpoint(cell.saved[0][2])
            said = refuse(cell, model, config)
            if said is None:
                accelerator = make_accelerator(device, recorded_precision(config))
                run = rebuild(cell, config, options.data_root, options.cache, accelerator)
                with run.lock(cell.results_folder):  # so that no fit changes the folds meanwhile
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
    of_folders = cell.dataset.startswith(f"{own_folder.NAME}-") and cell.dataset not in DATASETS
    name = own_folder.NAME if of_folders else cell.dataset
    data = find_corpus(name, root, cache, front_end)
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


def hears_no_sound(cell: Cell, model: nn.Module, config: CheckpointConfig) -> str | None:
    """Return the reason to skip a model whose input is features instead of audio."""
    on_sound = isinstance(config.front_end, FrontEndConfig)
    return None if on_sound else "takes features; only audio models are measured."


@dataclass(frozen=True, kw_only=True)
class MeasureInt8Options(SavedFoldsOptions):
    """Measure the effect of int8 quantisation on the predictions of saved folds.

    Models saved by 'fit --save-folds' are exported as float32 and int8 graphs, calibrated on their
    training part. The scores of both on the held-out part go to int8.json next to the predictions.
    """


def run_measure_int8(options: MeasureInt8Options) -> None:
    """Compare the graphs with :func:`of_each_cell`."""
    measure, describe = compression.measure_int8, compression.describe_int8
    of_each_cell(options, INT8, hears_no_sound, measure, describe)


@dataclass(frozen=True, kw_only=True)
class CheckExplanationsOptions(SavedFoldsOptions):
    """Compare explanation maps by insertion and deletion tests on saved folds.

    Models saved by 'fit --save-folds' predict their held-out part twice: with all but the region
    that a map marks attenuated, and with that region attenuated. The probabilities go to
    explanations.json next to the predictions.
    """


def run_check_explanations(options: CheckExplanationsOptions) -> None:
    """Test the maps with :func:`of_each_cell`."""
    measure, describe = explanations.measure, explanations.describe
    of_each_cell(options, EXPLANATIONS, hears_no_sound, measure, describe)


@dataclass(frozen=True, kw_only=True)
class MeasurePruningOptions(SavedFoldsOptions):
    """Prune channels of saved folds, fine-tune them, and evaluate the pruned models.

    Each model saved by 'fit --save-folds' loses the channels that matter least on its training
    part. It is fine-tuned for a third of the epochs with the full model as teacher, and saved in
    OUT/pruned/RATIO; a repeated command reuses it. The held-out scores of full and pruned models,
    in float32 and int8, go to pruning.json next to the predictions.
    """

    ratios: Annotated[
        list[float], option("shares of the channels to remove", parser=share(ends=False))
    ] = (0.25, 0.5, 0.75)
    device: Device = "auto"


def run_measure_pruning(options: MeasurePruningOptions) -> None:
    """Prune and evaluate with :func:`of_each_cell`."""

    def refuse(cell: Cell, model: nn.Module, config: CheckpointConfig) -> str | None:
        possible = can_be_pruned(model) or options.system  # a system named explicitly is an error
        return None if possible else "cannot be pruned."

    def measure(run: Run, saved: Sequence[Kept]) -> PruningEffect:
        ratios = sorted({*options.ratios})
        for ratio in ratios:  # detect invalid ratios now, not after an hour
            channels_left(load_checkpoint(saved[0][2])[0], ratio)
        folds = {ratio: [prune_fold(run, one, ratio) for one in saved] for ratio in ratios}
        return compression.measure_pruning(run, {0.0: saved, **folds})

    of_each_cell(options, PRUNING, refuse, measure, compression.describe_pruning, options.device)


def prune_fold(run: Run, kept: Kept, ratio: float) -> Kept:
    """Prune and fine-tune a saved fold, unless already done; return where it is saved."""
    seed, fold, folder = kept
    model, config = load_checkpoint(folder)
    experiment = replace(run.experiment, preset=recorded_preset(config))
    own = replace(
        run, experiment=experiment, out=run.out / "pruned" / f"{ratio:g}", save_folds=True
    )
    there = own.cell().fold_folder(seed, fold)
    what = f"{experiment.system}, {ratio:.0%} of the channels removed, seed {seed}, fold {fold}"
    if is_made_of(there, model, shorter(experiment.preset)):
        print(f"{what}: already done.", flush=True)
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
    """Return whether a folder holds ``model`` as pruned and fine-tuned with ``preset``."""
    if not (folder / CONFIG).is_file():
        return False
    made = read_config(folder).training
    known = made.get("teacher") or {}
    fitted_so = made.get("preset") == results.as_json(asdict(preset))
    return known.get("digest") == digest(model.state_dict()) and fitted_so
