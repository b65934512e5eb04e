"""The options of ``python -m train fit`` that publish what it fitted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from train.commands.planning import apart
from train.hub import PublishError
from train.publishing import Destination


def add_publishing(hub: argparse._ArgumentGroup) -> None:
    """What becomes of the checkpoint."""
    hub.add_argument(
        "--publish",
        metavar="USER/NAME",
        help="send the checkpoint there at the end, as the command 'publish' does; the access "
        "token is looked at before the fit",
    )
    hub.add_argument("--private", action="store_true", help="only its owner may see it")


def find_destination(args: argparse.Namespace, systems: Sequence[str]) -> Destination | None:
    """Where the checkpoint is to be published, if anywhere.

    Raises:
        PublishError: if there will be no checkpoint or several, or the name is none.
    """
    if args.publish is None:
        if args.private:
            raise PublishError("--private is about what is published; name a place with --publish.")
        return None
    if not args.checkpoint or apart(args):
        raise PublishError(
            "--publish sends the checkpoint, so leave out --no-checkpoint, --within and "
            "--shuffle-labels."
        )
    if len(systems) > 1:
        raise PublishError(
            f"--publish sends one system, and these are {len(systems)}; name one, or fit without "
            "it and give each checkpoint to 'python -m train publish'."
        )
    return Destination(args.publish, args.private)
