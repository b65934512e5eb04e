"""``python -m train effect``."""

from __future__ import annotations

import argparse
from pathlib import Path

from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError, load_checkpoint
from cry_model.registry import list_models
from train.cli.options import HelpFormatter, add_cache, add_data_root, add_device
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
from train.studies.neutral import neutralisations

DESCRIPTION = """Does attention do anything? Ask the weights that 'fit --keep-folds' kept once more,
with each attention made neutral, and write what becomes of the held-out answers, and what the
attention is like, as attention_effect.json beside the predictions. What is there and newer than
weights and predictions is not measured again."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "effect",
        help="measure what each attention does to the answers of kept folds",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="where 'fit' put results and kept folds"
    )
    parser.add_argument(
        "--dataset", nargs="+", metavar="DATASET", help="only these; by default all that are there"
    )
    parser.add_argument(
        "--protocol", nargs="+", choices=list(PROTOCOLS), help="only these; by default all"
    )
    parser.add_argument(
        "--system",
        nargs="+",
        choices=list_models(),
        metavar="SYSTEM",
        help=f"only these, by default all; of {', '.join(list_models())}",
    )
    add_data_root(parser)
    add_cache(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Measures cell by cell; what is wrong with one does not stop the others.

    Raises:
        DataError: at the end, with a sentence for each that could not be measured.
    """
    accelerator = make_accelerator(args.device)  # its precision is for fitting
    wrong = []
    for cell in find_cells(args.out, args.dataset, args.protocol, args.system):
        try:
            print(f"{cell}: {look(args, cell, accelerator)}", flush=True)
        except (CheckpointError, DataError) as error:
            wrong.append(f"{cell}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))


def look(args: argparse.Namespace, cell: Cell, accelerator: Accelerator) -> str:
    """Measures one cell, unless it is done or has nothing to measure, and says what was found."""
    if cell.newer(EFFECT):
        return "is measured already."
    kept = cell.kept
    model, config = load_checkpoint(kept[0][2])
    if not neutralisations(model):
        return "has no attention that could be made neutral."
    one = rebuild(cell, config, args.data_root, args.cache, accelerator)
    with one.alone(cell.results_folder):  # a fit would change the predictions meanwhile
        effect = measure(one, kept)
        write_effect(cell.results_folder, effect)
    return describe(effect)


def describe(effect: AttentionEffect) -> str:
    """What became of the answers, a line for each neutralisation."""
    seeds = ", ".join(map(str, effect.seeds))
    lines = [f"{effect.recordings} recordings in {effect.groups} groups, seeds {seeds}."]
    for name, found in effect.neutralised.items():
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
