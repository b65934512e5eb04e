"""``python -m train ablate-attention``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError, load_checkpoint
from cry_model.registry import list_models
from train.cli.options import SYSTEMS, CorpusOptions, Device, one_of, option
from train.data.corpus import DataError
from train.data.splits import PROTOCOLS
from train.fit.devices import make_accelerator
from train.studies.attention_ablation import (
    EFFECT,
    AttentionEffect,
    Cell,
    find_cells,
    measure,
    rebuild,
    write_effect,
)
from train.studies.neutral import ablations


@dataclass(frozen=True, kw_only=True)
class AblateAttentionOptions(CorpusOptions):
    """Measure what each attention does to the answers of saved folds.

    The weights that 'fit --save-folds' saved answer once more, with each attention replaced by a
    mean or uniform one; what becomes of the held-out answers, and what the attention is like, goes
    to attention_effect.json beside the predictions. What is there and newer than weights and
    predictions is not measured again.
    """

    out: Annotated[Path, option("where 'fit' put results and saved folds")] = Path("runs")
    dataset: Annotated[
        list[str], option("only these; by default all that are there", metavar="DATASET")
    ] = ()
    protocol: Annotated[
        list[str], option("only these; by default all", parser=one_of(PROTOCOLS))
    ] = ()
    system: Annotated[
        list[str],
        option(
            f"only these, by default all; of {SYSTEMS}",
            parser=one_of(list_models()),
            metavar="SYSTEM",
        ),
    ] = ()
    device: Device = "auto"


def run(options: AblateAttentionOptions) -> None:
    """Measure cell by cell; what is wrong with one does not stop the others.

    Raises:
        DataError: at the end, with a sentence for each that could not be measured.
    """
    accelerator = make_accelerator(options.device)  # its precision is for fitting
    wrong = []
    for cell in find_cells(options.out, options.dataset, options.protocol, options.system):
        try:
            print(f"{cell}: {look(options, cell, accelerator)}", flush=True)
        except (CheckpointError, DataError) as error:
            wrong.append(f"{cell}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))


def look(options: AblateAttentionOptions, cell: Cell, accelerator: Accelerator) -> str:
    """Measure one cell, unless it is done or has nothing to measure, and say what was found."""
    if cell.newer(EFFECT):
        return "is measured already."
    kept = cell.kept
    model, config = load_checkpoint(kept[0][2])
    if not ablations(model):
        return "has no attention that could be ablated."
    one = rebuild(cell, config, options.data_root, options.cache, accelerator)
    with one.lock(cell.results_folder):  # a fit would change the predictions meanwhile
        effect = measure(one, kept)
        write_effect(cell.results_folder, effect)
    return describe(effect)


def describe(effect: AttentionEffect) -> str:
    """Put what became of the answers into lines, one for each ablation."""
    seeds = ", ".join(map(str, effect.seeds))
    lines = [f"{effect.recordings} recordings in {effect.groups} groups, seeds {seeds}."]
    for name, found in effect.ablated.items():
        recall = found.metrics["balanced_accuracy"]
        lines.append(
            f"  {name} neutral: balanced accuracy {recall.neutral}, as fitted "
            f"{recall.fitted}, difference {recall.difference}; another answer "
            f"for {found.changed}, distance {found.distance}"
        )
    if effect.differential is not None:
        entropies = effect.differential.entropy_1, effect.differential.entropy_2
        lines.append("  entropy of A1 and A2 over log N: " + ", ".join(map(str, entropies)))
    return "\n".join(lines)
