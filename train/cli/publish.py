"""``python -m train export`` and ``publish``."""

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
from train.cli.options import CORPORA, CorpusOptions, Options, Private, one_of, option
from train.data.cache import DATASETS, find_corpus
from train.publish import hub
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


def run_export(options: ExportOptions) -> None:
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


@dataclass(frozen=True, kw_only=True)
class PublishOptions(Options):
    """Put a checkpoint, or with --space the page, on the Hugging Face Hub.

    A checkpoint goes there with its config and a model card written from that; the page as a
    Gradio Space, with what it needs and nothing else. Needs a token with write access: hf auth
    login, or HF_TOKEN.
    """

    checkpoint: Annotated[Path | None, typer.Argument(help="folder of the checkpoint")] = None
    repo_id: Annotated[str, option("where to", metavar="USER/NAME")]
    private: Private = False
    dry_run: Annotated[bool, option("show what would be sent, send nothing", "--dry-run")] = False
    revision: Annotated[
        str | None, option("branch to commit a checkpoint to, made if need be", metavar="BRANCH")
    ] = None
    space: Annotated[bool, option("publish the page instead of a checkpoint", "--space")] = False
    model: Annotated[
        str | None,
        option("checkpoint that answers on a --space: its CRY_MODEL", metavar="USER/NAME@REVISION"),
    ] = None

    def upload(self) -> hub.Upload:
        """Collect what is to be sent; raise PublishError if the options do not go together."""
        if not self.space:
            if self.checkpoint is None:
                raise hub.PublishError("Name the folder of a checkpoint, or give --space.")
            if self.model is not None:
                raise hub.PublishError("--model is about a --space; leave it out.")
            return hub.checkpoint_upload(self.checkpoint, self.repo_id, self.private, self.revision)
        if self.checkpoint is not None or self.revision is not None:
            raise hub.PublishError(
                "--space sends the page; leave out the checkpoint, --revision too."
            )
        return hub.space_upload(self.repo_id, self.private, self.model)


def run(options: PublishOptions) -> None:
    """Publish, or show what would be published."""
    upload = options.upload()
    print(upload.describe())
    if not options.dry_run:
        print(f"Published: {hub.publish(upload)}")
    elif hub.CARD in upload.files and not options.space:
        print(f"\n{hub.CARD}:\n\n{upload.files[hub.CARD].decode()}")
