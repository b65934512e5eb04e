"""Run ``python -m train export`` and ``publish``."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from cry_model.backends.onnx_export import export_checkpoint
from cry_model.checkpoint import (
    CONFIG,
    WEIGHTS,
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    read_config,
    write_atomically,
)
from cry_model.hub import find_checkpoint
from cry_model.records import counted
from cry_model.sound.front_end_config import Clip, FrontEndConfig, cut
from train.cli.options import (
    CORPORA,
    CorpusOptions,
    Device,
    Options,
    Private,
    one_of,
    option,
    share,
)
from train.data.cache import DATASETS, find_corpus
from train.data.corpus import Clips, DataError, Prepared
from train.data.splits import FOLDS
from train.fit.cross_validation import final_fit, hold_back
from train.fit.devices import make_accelerator
from train.fit.distillation import known_as
from train.fit.predict import digest
from train.fit.pruning import channels_left, pruned, recorded_precision, recorded_preset, shorter
from train.fit.run import Experiment, Run
from train.publish import hub
from train.publish.card import add_measurement

CALIBRATED_ON = 100  # recordings, at most, for the quantisation ranges of int8


@dataclass(frozen=True, kw_only=True)
class ExportOptions(CorpusOptions):
    """Export a checkpoint to ONNX, to run it with onnxruntime and without torch.

    A classifier is written to model.onnx, with the bundled detector next to it in detector.onnx.
    The files' metadata has labels, sample rate, thresholds and temperature. Needs the package onnx.
    """

    checkpoint: Annotated[str, typer.Argument(help="folder, bundled model or Hub repository")]
    out: Annotated[Path, option("folder for the files")]
    int8: Annotated[
        bool, option("quantise a classifier to int8, calibrated on --dataset", "--int8")
    ] = False
    prune: Annotated[
        float | None,
        option(
            "first remove this share of the channels and fine-tune on --dataset; the checkpoint "
            "also goes to --out",
            parser=share(ends=False),
        ),
    ] = None
    dataset: Annotated[
        str | None,
        option(
            f"what the checkpoint was fitted on (default: from its config): {CORPORA}",
            parser=one_of(DATASETS, or_file=True),
        ),
    ] = None
    device: Device = "auto"


def run_export(options: ExportOptions) -> None:
    """Write the files; raise CheckpointError if the checkpoint is unusable, or unusable in int8;
    DataError if its corpus is missing, or it cannot be pruned."""
    folder = find_checkpoint(options.checkpoint)
    config = read_config(folder)
    if options.prune is not None:
        folder = prune(options, folder)
    pieces = some_pieces(learnt_by(options, config).clips, config) if options.int8 else []
    for path in export_checkpoint(folder, options.out, pieces):
        add_measurement(path)
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MB")


def some_pieces(clips: Clips, config: CheckpointConfig) -> list[NDArray[np.float32]]:
    """Return the first piece (1, samples) of recordings spaced evenly over the corpus."""
    count = len(clips.items)
    chosen = np.linspace(0, count - 1, min(count, CALIBRATED_ON)).round().astype(int)
    waves = (clips.waveforms[i] for i in chosen)
    return [cut(Clip(wave, 0.0), config.front_end).waveforms[:1].numpy() for wave in waves]


def learnt_by(options: ExportOptions, config: CheckpointConfig) -> Prepared:
    """Return the corpus that a checkpoint was trained on; raise CheckpointError if unsuitable."""
    if config.detector is not None or not isinstance(config.front_end, FrontEndConfig):
        raise CheckpointError("int8 is for audio classifiers; leave --int8 out.")
    name = options.dataset or config.training.get("dataset")
    if name is None:
        raise CheckpointError("The checkpoint does not say what it was fitted on; give --dataset.")
    return find_corpus(str(name), options.data_root, options.cache, config.front_end)


def prune(options: ExportOptions, folder: Path) -> Path:
    """Prune a checkpoint, fine-tune it with the full model as teacher, and return its folder.

    Scores, temperature and prediction sets of the full model do not hold for it and are dropped.
    But an evaluation no better than chance is kept, so that neither model names a label. Raise
    CheckpointError if --out has another checkpoint; DataError if this one cannot be pruned, is of
    a single fold, or its corpus has other labels.
    """
    model, config = load_checkpoint(folder)
    if (options.out / CONFIG).exists():
        made = read_config(options.out).training.get("teacher") or {}
        if made.get("digest") != digest(model.state_dict()):
            raise CheckpointError(f"{options.out} already has a checkpoint; choose another --out.")
    left, preset = channels_left(model, options.prune), recorded_preset(config)
    if "fold" in config.training:
        raise DataError("This is one fold of a cross-validation; prune the final fit instead.")
    data = learnt_by(options, config)
    data = replace(data, clips=data.clips.labelled())
    if data.corpus.labels != config.labels:
        raise DataError(
            f"The checkpoint has labels {', '.join(config.labels)}; {data.corpus.name} has "
            f"{', '.join(data.corpus.labels)}. Give the --dataset that it was fitted on."
        )
    protocol = config.training.get("validation_by") or "baby"
    accelerator = make_accelerator(options.device, recorded_precision(config))
    seed = int(config.training.get("seed", 0))  # reproduces its validation split
    full = Experiment(config.system, data, protocol, preset, FOLDS, accelerator)
    if full.fingerprint != config.training.get("data"):
        print(f"The recordings of {data.corpus.name} are not exactly those of the original fit.")
    epochs = counted(shorter(preset).epochs, "epoch")
    print(
        f"{left} of {model.channels} channels are kept. Fine-tuning on {data.corpus.name} takes "
        f"{epochs} of {counted(len(data.clips.items), 'recording')}. The pruned model has no "
        "scores or prediction sets; docs/results.md shows what pruning costs.",
        flush=True,
    )
    clips, _ = hold_back(full, data.clips, seed)
    name = known_as(options.checkpoint)
    narrow = pruned(full, model, config, name, left, clips, seed)
    run = Run(narrow, (seed,), options.out / "fine-tuning")
    run.state(seed, None).forget_other()
    final_fit(run, narrow.front_end())
    made, known = run.checkpoint_folder, config.evaluation
    if known is not None and not known.better_than_chance:
        carried = replace(read_config(made), evaluation=known)
        write_atomically(made / CONFIG, carried.to_json().encode())
    for file in (WEIGHTS, CONFIG):
        (made / file).replace(options.out / file)
    shutil.rmtree(run.out)
    return options.out


@dataclass(frozen=True, kw_only=True)
class PublishOptions(Options):
    """Publish a checkpoint, or with --space the page, on the Hugging Face Hub.

    A checkpoint is sent with its config and a model card generated from it; the page as a Gradio
    Space, with only the files that it needs. Needs a token with write access: hf auth login, or
    HF_TOKEN.
    """

    checkpoint: Annotated[Path | None, typer.Argument(help="folder of the checkpoint")] = None
    repo_id: Annotated[str, option("where to", metavar="USER/NAME")]
    private: Private = False
    dry_run: Annotated[bool, option("only show what would be sent", "--dry-run")] = False
    space: Annotated[bool, option("publish the page instead of a checkpoint", "--space")] = False
    model: Annotated[
        str | None,
        option("checkpoint that a --space uses: its CRY_MODEL", metavar="USER/NAME@REVISION"),
    ] = None

    def upload(self) -> hub.Upload:
        """Collect the files to send; raise PublishError if the options are incompatible."""
        if not self.space:
            if self.checkpoint is None:
                raise hub.PublishError("Give a checkpoint folder, or --space.")
            if self.model is not None:
                raise hub.PublishError("--model is for a --space; leave it out.")
            return hub.checkpoint_upload(self.checkpoint, self.repo_id, self.private)
        if self.checkpoint is not None:
            raise hub.PublishError("--space sends the page; leave out the checkpoint.")
        return hub.space_upload(self.repo_id, self.private, self.model)


def run(options: PublishOptions) -> None:
    """Publish, or with --dry-run show what would be published."""
    upload = options.upload()
    print(upload.describe())
    if not options.dry_run:
        print(f"Published: {hub.publish(upload)}")
    elif hub.CARD in upload.files and not options.space:
        print(f"\n{hub.CARD}:\n\n{upload.files[hub.CARD].decode()}")
