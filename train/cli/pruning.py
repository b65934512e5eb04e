"""``python -m train measure-pruning``."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from torch import nn

from cry_model.checkpoint import CONFIG, load_checkpoint, read_config
from cry_model.records import PrunedVariant
from train.cli.options import Device, SavedFoldsOptions, option, share
from train.data.splits import learnt_from, split
from train.fit.cross_validation import fit_fold, hold_back
from train.fit.devices import make_accelerator
from train.fit.predict import digest
from train.fit.pruning import (
    can_be_pruned,
    channels_left,
    pruned,
    recorded_precision,
    recorded_preset,
    shorter,
)
from train.fit.run import Experiment, Kept, Run
from train.scoring.results import as_json
from train.studies import pruning as study
from train.studies.cells import find_cells, rebuild

EFFECT = "pruning.json"
PRUNED = "pruned"
"""Folder beside the results, with a folder for each ratio that holds its folds."""


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
    """Measure cell by cell.

    Raises:
        DataError: if there are no such folds, they cannot be pruned by such a share, or their
            recordings are not here.
    """
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
            effect = study.measure(one, folds)
            cell.write(EFFECT, effect)
        print(f"{cell}: {effect.recordings} recordings, {effect.folds} folds")
        for variant in effect.variants:
            print(f"  {describe_variant(variant)}", flush=True)


def prune_fold(run: Run, kept: Kept, ratio: float) -> Kept:
    """Prune a saved fold and fine-tune it, unless that is done, and return where it is kept."""
    seed, fold, folder = kept
    model, config = load_checkpoint(folder)
    experiment = replace(run.experiment, preset=recorded_preset(config))
    own = replace(run, experiment=experiment, out=run.out / PRUNED / f"{ratio:g}", save_folds=True)
    there = own.fold_folder(seed, fold)
    what = f"{experiment.system}, {ratio:.0%} of the channels removed, seed {seed}, fold {fold}"
    if is_made_of(there, model, experiment):
        print(f"{what}: is there.", flush=True)
        return seed, fold, there
    print(f"{what}: fine-tuning.", flush=True)
    units = experiment.units
    fold_of = split(units.items, experiment.protocol, experiment.folds, seed)
    learnt, _ = hold_back(experiment, units.subset(learnt_from(fold_of, fold)), seed)
    narrow = pruned(experiment, model, config, folder.name, ratio, learnt, seed)
    own = replace(own, experiment=narrow)
    own.state(seed, fold).forget_other()
    fit_fold(own, narrow.front_end(), fold_of, seed, fold)
    own.state(seed, fold).delete()
    return seed, fold, there


def is_made_of(folder: Path, model: nn.Module, experiment: Experiment) -> bool:
    """Return whether a folder holds what fine-tuning of the model gave."""
    if not (folder / CONFIG).is_file():
        return False
    made = read_config(folder).training
    known = made.get("teacher") or {}
    return known.get("digest") == digest(model.state_dict()) and made.get("preset") == as_json(
        asdict(shorter(experiment.preset))
    )


def describe_variant(variant: PrunedVariant) -> str:
    """Put one variant into one line."""
    return (
        f"{variant.channels} channels, {variant.precision}: accuracy {variant.scores['accuracy']}, "
        f"difference {variant.difference['accuracy']}; {variant.parameters / 1e6:.2f} M parameters,"
        f" {variant.multiply_adds / 1e6:.0f} M multiply-adds, {variant.bytes / 2**20:.1f} MB"
    )
