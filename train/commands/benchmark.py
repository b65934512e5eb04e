"""``python -m train benchmark``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from cry_model.checkpoint import to_json, write_atomically
from cry_model.registry import ON_SPECTROGRAMS
from train.benchmark import describe, run_benchmark
from train.commands.options import HelpFormatter, add_device, at_least, seconds
from train.devices import make_accelerator

DESCRIPTION = """Measure how many pieces a second the training loop learns from, beside the usual
recipe: MFCC item by item in a DataLoader with a worker a core, float32. Needs no recordings."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "benchmark",
        help="training throughput beside that of the usual recipe",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--system", choices=ON_SPECTROGRAMS, default="improved-ecapa-tdnn", help="what to train"
    )
    parser.add_argument("--batch", type=at_least(1, 1024), default=64, help="pieces in a step")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="medians are over so many")
    parser.add_argument("--seconds", type=seconds, default=10.0, help="of each recipe in a round")
    add_device(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / "benchmark.json", help="where the JSON goes"
    )


def run(args: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    accelerator = make_accelerator(args.device)
    found = run_benchmark(args.system, args.batch, accelerator, args.rounds, args.seconds)
    print(describe(found))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out, (to_json(asdict(found)) + "\n").encode())
    print(f"Written to {args.out}.")
