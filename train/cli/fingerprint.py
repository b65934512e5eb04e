"""``python -m train fingerprint``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cry_model.acoustic_features import AcousticConfig
from cry_model.checkpoint import load_checkpoint, write_fingerprints
from train.cli.options import CORPORA, CorpusOptions, one_of, option
from train.data.cache import find_corpus
from train.data.corpus import DataError
from train.data.datasets import DATASETS
from train.fit.final import of_clips


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


def run(options: FingerprintOptions) -> None:
    """Take the fingerprints and write them beside the weights; raise DataError if a corpus is not
    there, or the model hears rows of features."""
    _, config = load_checkpoint(options.checkpoint)
    if isinstance(config.front_end, AcousticConfig):
        raise DataError("A model that was fitted on features keeps no fingerprints of sounds.")
    corpora = [
        find_corpus(name, options.data_root, options.cache, config.front_end).clips
        for name in options.dataset
    ]
    found = of_clips(corpora, config.front_end.sample_rate)
    write_fingerprints(options.checkpoint, found)
    count = sum(len(clips.items) for clips in corpora)
    print(f"{len(found.hashes):,} hashes of {count} recordings in {options.checkpoint}.")
