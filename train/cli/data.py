"""``python -m train prepare`` and ``fingerprint``, and what to look at in a corpus."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from cry_model.checkpoint import load_checkpoint
from cry_model.fingerprint import write_fingerprints
from cry_model.sound.acoustic_features import AcousticConfig
from train.cli.options import CORPORA, CorpusOptions, one_of, option
from train.data.cache import DATASETS, cautions, describe, find_corpus, prepare
from train.data.corpus import DataError, Prepared
from train.data.download import download
from train.data.splits import FOLDS, has_test_part
from train.fit.predict import fingerprints_of
from train.fit.presets import PRESETS


def overview(data: Prepared) -> str:
    """Write a line a label: recordings, groups, seconds, and what the corpus's own split tests."""
    items = data.clips.items
    table = pd.DataFrame(
        {
            "label": [item.label or "(none)" for item in items],
            "recordings": 1,
            "groups": [item.group for item in items],
            "seconds": data.clips.seconds,
            "tested": [item.fold == 0 for item in items],
        }
    )
    how = {"recordings": "size", "groups": "nunique", "seconds": "sum", "tested": "sum"}
    lines = table.groupby("label").agg(how)
    if not has_test_part(items):
        lines = lines.drop(columns="tested")
    return lines.rename_axis(None).to_string(float_format="{:.1f}".format)


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(CorpusOptions):
    """Decode a corpus once into one compact file.

    'fit' reads it, also on a machine without audio libraries: copy the file there and give its
    name to --dataset.
    """

    dataset: Annotated[
        str, typer.Argument(parser=one_of(DATASETS), metavar="DATASET", help=f"one of {CORPORA}")
    ]
    download: Annotated[
        bool,
        option(
            "fetch the corpus first, from its public archive; what is there stays", "--download"
        ),
    ] = False
    preset: Annotated[str, option("whose front end will hear it", parser=one_of(PRESETS))] = "best"


def run(options: PrepareOptions) -> None:
    """Prepare the corpus and say what is in it."""
    root, dataset = options.root(), DATASETS[options.dataset]
    if options.download:
        download(dataset.name, dataset.archive, root)
    if dataset.write is not None and not (root / dataset.name).exists():
        dataset.write(root)
    data, path = prepare(dataset, root, options.cache, PRESETS[options.preset].front_end)
    folds = 1 if has_test_part(data.clips.items) else FOLDS
    print(overview(data), describe(data), *cautions(data, folds), sep="\n")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB.")


@dataclass(frozen=True, kw_only=True)
class FingerprintOptions(CorpusOptions):
    """Add to a checkpoint the fingerprints of the recordings that it was fitted on.

    It then tells whoever gives it such a recording that its answer is memory. Salted hashes are
    kept and no sound. 'fit' does this for what it fits.
    """

    checkpoint: Annotated[Path, typer.Argument(help="folder of the checkpoint")]
    dataset: Annotated[
        list[str],
        option(f"what it was fitted on, one or several: {CORPORA}", parser=one_of(DATASETS)),
    ]


def run_fingerprint(options: FingerprintOptions) -> None:
    """Write fingerprints beside the weights; raise DataError without a corpus, or of rows."""
    _, config = load_checkpoint(options.checkpoint)
    if isinstance(config.front_end, AcousticConfig):
        raise DataError("A model that was fitted on features keeps no fingerprints of sounds.")
    corpora = [
        find_corpus(name, options.data_root, options.cache, config.front_end).clips
        for name in options.dataset
    ]
    found = fingerprints_of(corpora, config.front_end.sample_rate)
    write_fingerprints(options.checkpoint, found)
    count = sum(len(clips.items) for clips in corpora)
    print(f"{len(found.hashes):,} hashes of {count} recordings in {options.checkpoint}.")
