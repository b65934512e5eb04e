"""``python -m train prepare`` and ``fingerprint``, and what to look at in a corpus."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from cry_model.acoustic_features import AcousticConfig
from cry_model.checkpoint import load_checkpoint
from cry_model.fingerprint import write_fingerprints
from train.cli.options import CORPORA, CorpusOptions, one_of, option
from train.data.cache import DATASETS, describe, find_corpus, prepare
from train.data.corpus import ONLY_LEARNT, DataError, Item, Prepared
from train.data.datasets import folder
from train.data.datasets.folder import plain
from train.data.download import download
from train.data.splits import FOLDS, has_test_part
from train.fit.predict import fingerprints_of
from train.fit.presets import PRESETS

SHOWN = 5  # of many alike


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


def cautions(data: Prepared, folds: int, protocol: str = "baby") -> list[str]:
    """Write sentences about labels, groups and sounds that do not look as they were meant."""
    items, found = data.clips.labelled().items, []
    table = pd.DataFrame([asdict(item) for item in items], columns=[f.name for f in fields(Item)])
    given = table[table["group"] != table["recording"]]
    for kind, rows, blanks in (("label", table, r"[\s_-]+"), ("group", given, r"\s+")):
        names = pd.Series(sorted(set(rows[kind])), dtype=str)
        alike = names.groupby([re.sub(blanks, "", plain(name)) or name for name in names])
        twins = [", ".join(map(repr, own)) for _, own in alike if len(own) > 1]
        found += _few([f"the {kind}s {own} differ only by case or blanks." for own in twins])
    for kind in ("label", "group"):
        same = table.drop_duplicates(["source", kind]).groupby("source", sort=False)["recording"]
        pairs = [" and ".join(own[:2]) for _, own in same if len(own) > 1]
        found += _few([f"one sound has two {kind}s: {pair}." for pair in pairs])
    if has_test_part(items):
        found += _test_part(items)
    else:
        groups = table.groupby("label")["group"].nunique()
        if few := [f"{label} ({count})" for label, count in groups.items() if count < folds]:
            names = ", ".join(few)
            found.append(f"fewer groups than the {folds} folds, so some lack the label: {names}.")
    guessed = set(table["recording"]).issuperset(table["group"])
    if protocol == "baby" and guessed and data.corpus.name.startswith(f"{folder.NAME}-"):
        found.append(
            "nothing names the babies, so each recording counts as one unless it sounds like "
            f"another, and the protocol baby is that of recordings; name them in {folder.GROUPS}."
        )
    return [f"Please check: {sentence}" for sentence in found]


def _test_part(items: Sequence[Item]) -> list[str]:
    """Find a test part that shares labels too little, or groups at all, with the rest."""
    learnt = [item for item in items if item.fold == ONLY_LEARNT]
    tested = [item for item in items if item.fold != ONLY_LEARNT]
    known, asked = {item.label for item in learnt}, {item.label for item in tested}
    groups, found = {item.group for item in tested}, []
    if unknown := sorted(asked - known):
        found.append(f"labels that are tested but never learnt: {', '.join(unknown)}.")
    if untested := sorted(known - asked):
        found.append(f"labels that are never tested: {', '.join(untested)}.")
    if both := sum(item.group in groups for item in learnt):
        found.append(
            f"{both} recordings share a group or their sound with the test part; under the "
            "protocol baby the test is of fits without them."
        )
    return found


def _few(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - SHOWN
    return [*sentences[:SHOWN], *([f"{more} more like these"] if more > 0 else [])]


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
