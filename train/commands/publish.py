"""``python -m train publish``."""

from __future__ import annotations

import argparse
from pathlib import Path

from cry_model.checkpoint import WEIGHTS, load_checkpoint
from cry_model.config import CONFIG
from train.commands.options import HelpFormatter, add_repository
from train.model_card import model_card
from train.upload import Upload, publish

CARD = "README.md"


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "publish",
        help="put a checkpoint with its model card on the Hugging Face Hub",
        description="Put a checkpoint on the Hugging Face Hub: weights, config, and a model card "
        "written from the config. Needs a token with write access: hf auth login, or HF_TOKEN.",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("checkpoint", type=Path, help="folder of the checkpoint")
    add_repository(parser)
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to, made if need be")


def run(args: argparse.Namespace) -> None:
    """Publishes, or shows what would be published."""
    model, config = load_checkpoint(args.checkpoint)  # a damaged one is refused before all else
    parameters = sum(p.numel() for p in model.parameters())
    card = model_card(config, parameters, args.repo_id)
    upload = Upload(
        repo_id=args.repo_id,
        kind="model",
        files={
            CARD: card.encode(),
            CONFIG: args.checkpoint / CONFIG,
            WEIGHTS: args.checkpoint / WEIGHTS,
        },
        message=f"Publish {config.system}",
        private=args.private,
        revision=args.revision,
    )
    print(upload.describe())
    if args.dry_run:
        print(f"\n{CARD}:\n\n{card}")
    else:
        print(f"Published: {publish(upload)}")
