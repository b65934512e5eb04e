"""``python -m train publish``."""

from __future__ import annotations

import argparse
from pathlib import Path

from train.cli.options import HelpFormatter, add_repository
from train.publish.hub import CARD, checkpoint_upload, publish


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
    upload = checkpoint_upload(args.checkpoint, args.repo_id, args.private, args.revision)
    print(upload.describe())
    if args.dry_run:
        print(f"\n{CARD}:\n\n{upload.files[CARD].decode()}")
    else:
        print(f"Published: {publish(upload)}")
