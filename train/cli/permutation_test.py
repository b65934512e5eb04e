"""``python -m train permutation-test``."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cry_model.checkpoint import to_json, write_atomically
from cry_model.records import words
from cry_model.registry import make_front_end
from train.cli.options import CORPORA, CorpusOptions, Protocols, option, whole_number
from train.data.cache import find_corpus, with_folds
from train.data.corpus import DataError
from train.data.splits import FOLDS, PROTOCOLS
from train.fit.presets import usual_preset
from train.studies.permutation_test import Against, chance

CHANCE = "chance.json"


@dataclass(frozen=True, kw_only=True)
class PermutationTestOptions(CorpusOptions):
    """Show what each protocol gives where labels hardly go with the sound.

    Labels are permuted among babies (or whatever the corpus's groups are) with as many recordings,
    many times, and a linear classifier is cross-validated each time, beside the true labels. What
    it still scores under a loose split comes from hearing the recording or the baby again. Minutes,
    without a GPU; every call begins anew.
    """

    dataset: Annotated[str, option(f"one of {CORPORA}; or a file that 'prepare' wrote")]
    protocols: Protocols = tuple(PROTOCOLS)
    folds: Annotated[int, option("of the cross-validation", parser=whole_number(2))] = FOLDS
    permutations: Annotated[
        int, option("how often labels are permuted", parser=whole_number(20))
    ] = 200
    out: Annotated[Path, option("OUT/results/DATASET/PROTOCOL/chance.json")] = Path("runs")


def run(options: PermutationTestOptions) -> None:
    """Test under each protocol, and write it down."""
    config = usual_preset("improved-ecapa-tdnn", options.dataset).front_end
    data = find_corpus(options.dataset, options.data_root, options.cache, config)
    data, _ = with_folds(data, "clip", options.folds)  # over everything
    name, clips, front_end = data.corpus.name, data.clips.labelled(), make_front_end(config)
    if not clips.items:
        raise DataError(f"The recordings of {name} have no labels to permute.")
    folds, count = options.folds, options.permutations
    for protocol in options.protocols:
        found = chance(clips, name, data.corpus.labels, front_end, protocol, folds, count)
        folder = options.out / "results" / name / protocol
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CHANCE, (to_json(asdict(found)) + "\n").encode())
        print(f"{name}, {protocol}, a linear classifier, per recording:")
        print(*(line(metric, one) for metric, one in found.scores.items()), sep="\n")


def line(metric: str, one: Against) -> str:
    """Put one score into a line."""
    return (
        f"  {words(metric)}: true labels {one.value:.3f}; permuted {one.mean:.3f}, middle 95% "
        f"{one.low:.3f} to {one.high:.3f}; p = {one.p:.3f}"
    )
