"""``python -m train measure-int8``."""

from dataclasses import asdict, dataclass

from accelerate import Accelerator

from cry_model.checkpoint import load_checkpoint, to_json, write_atomically
from cry_model.front_end_config import FrontEndConfig
from train.cli.measure import AblateAttentionOptions, find_cells, rebuild
from train.data.corpus import DataError
from train.studies.quantisation import Int8Effect, measure

EFFECT = "int8.json"


@dataclass(frozen=True, kw_only=True)
class MeasureInt8Options(AblateAttentionOptions):
    """Measure what int8 changes in the answers of saved folds.

    The weights that 'fit --save-folds' saved become graphs in float32 and in int8, with ranges
    from what the fold learnt from; how both answer what is held out goes to int8.json beside the
    predictions.
    """


def run(options: MeasureInt8Options) -> None:
    """Measure cell by cell.

    Raises:
        DataError: if there are no such folds, or their recordings are not here.
    """
    accelerator = Accelerator(cpu=True)
    for cell in find_cells(options):
        _, config = load_checkpoint(cell.saved[0][2])
        if not isinstance(config.front_end, FrontEndConfig):
            raise DataError(f"{cell} hears features; int8 is for what hears sound.")
        one = rebuild(cell, config, options.data_root, options.cache, accelerator)
        effect = measure(one, cell.saved)
        text = to_json(asdict(effect)) + "\n"
        write_atomically(cell.results_folder / EFFECT, text.encode())
        print(f"{cell}: {describe(effect)}", flush=True)


def describe(effect: Int8Effect) -> str:
    """Put what changed into one line."""
    before, after = (size / 2**20 for size in effect.bytes)
    return (
        f"{effect.recordings} recordings, {effect.folds} folds: another first label for "
        f"{effect.changed}; accuracy {effect.float32['accuracy']} in float32, "
        f"{effect.int8['accuracy']} in int8, difference {effect.difference['accuracy']}; "
        f"{before:.1f} MB and {after:.1f} MB."
    )
