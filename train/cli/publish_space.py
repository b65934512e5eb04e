"""``python -m train publish-space``."""

from __future__ import annotations

import argparse

from train.cli.options import HelpFormatter, add_repository
from train.publish.hub import FOLDERS, Upload, check_repo_id, publish, space_files


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "publish-space",
        help="put the page on the Hugging Face Hub as a Space",
        description="Put the page on the Hugging Face Hub as a Gradio Space, with what it needs "
        "and nothing else. Needs a token with write access: hf auth login, or HF_TOKEN.",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    add_repository(parser)
    parser.add_argument(
        "--model",
        metavar="USER/NAME[@REVISION]",
        help="published checkpoint that answers, set as the Space's variable CRY_MODEL; without "
        "it, that variable is left as it is, and a new Space answers with the bundled one",
    )


def run(args: argparse.Namespace) -> None:
    """Publishes, or shows what would be published."""
    if args.model is not None:
        check_repo_id(args.model.partition("@")[0])
    upload = Upload(
        repo_id=args.repo_id,
        kind="space",
        files=space_files(),
        message="Publish the page",
        private=args.private,
        owned=FOLDERS,
        variables={} if args.model is None else {"CRY_MODEL": args.model},
    )
    print(upload.describe())
    if not args.dry_run:
        print(f"Published: {publish(upload)}")
