"""``python -m train export``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from cry_model.checkpoint import CheckpointConfig, CheckpointError, read_config
from cry_model.front_end_config import FrontEndConfig
from cry_model.hub import find_checkpoint
from cry_model.onnx_export import export_checkpoint
from train.cli.options import CORPORA, CorpusOptions, one_of, option
from train.data.cache import DATASETS, find_corpus
from train.publish.exported import add_measurement
from train.studies.quantisation import some_pieces


@dataclass(frozen=True, kw_only=True)
class ExportOptions(CorpusOptions):
    """Write a checkpoint as ONNX, for onnxruntime on any machine, without torch.

    A classifier goes into model.onnx, and the bundled detector beside it into detector.onnx; their
    metadata holds labels, sample rate, thresholds and temperature. Needs the package onnx.
    """

    checkpoint: Annotated[str, typer.Argument(help="folder, bundled model or Hub repository")]
    out: Annotated[Path, option("folder for the files")]
    int8: Annotated[
        bool, option("compute a classifier in int8, with ranges from --dataset", "--int8")
    ] = False
    dataset: Annotated[
        str | None,
        option(
            f"what the checkpoint was fitted on (default: as its config says): {CORPORA}",
            parser=one_of(DATASETS, or_file=True),
        ),
    ] = None


def run(options: ExportOptions) -> None:
    """Write the files.

    Raises:
        CheckpointError: if the checkpoint cannot be used, or not in int8.
        DataError: if its corpus is not there.
    """
    folder = find_checkpoint(options.checkpoint)
    pieces = calibration_pieces(options, read_config(folder)) if options.int8 else []
    for path in export_checkpoint(folder, options.out, pieces):
        add_measurement(path)
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MB")


def calibration_pieces(
    options: ExportOptions, config: CheckpointConfig
) -> list[NDArray[np.float32]]:
    """Return pieces of what a checkpoint was fitted on."""
    if config.detector is not None or not isinstance(config.front_end, FrontEndConfig):
        raise CheckpointError("int8 is for classifiers of sound; leave --int8 out.")
    name = options.dataset or config.training.get("dataset")
    if name is None:
        raise CheckpointError("The checkpoint does not say what it was fitted on; give --dataset.")
    data = find_corpus(str(name), options.data_root, options.cache, config.front_end)
    return some_pieces(data.clips, config)
