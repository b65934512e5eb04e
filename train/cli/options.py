"""Options and types that several commands share."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from train.scoring.calibration import PROMISED


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, True, [], argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


def at_least(least: int, most: int = 2**32 - 1) -> Callable[[str], int]:
    """A type for argparse: whole numbers from ``least`` on, to ``most``."""

    def whole_number(text: str) -> int:
        with contextlib.suppress(ValueError):
            if least <= int(text) <= most:
                return int(text)
        raise argparse.ArgumentTypeError(
            f"must be a whole number from {least} on, {most:,} at most, not {text:.40}"
        )

    return whole_number


def share(text: str) -> float:
    """A type for argparse: a number from 0 to 1."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {text}")


def inside(text: str) -> float:
    """A type for argparse: a number between 0 and 1, neither of them."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {text}")


Options = argparse._ActionsContainer  # a parser or one of its groups


def add_data_root(parser: Options) -> None:
    """``--data-root``, with the variable CRY_DATA as its default."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=os.environ.get("CRY_DATA") or None,
        help="folder that holds the datasets; the variable CRY_DATA gives another default",
    )


def add_cache(parser: Options) -> None:
    """``--cache``."""
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("runs") / "cache",
        help="folder of prepared corpora, each decoded once",
    )


def add_settings(parser: Options) -> None:
    """``--set``."""
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="other settings of the preset, its augmentation or the system: "
        "batch=64 mixup=0 validation=0.2 patience=5 channels=64",
    )


def add_device(parser: Options) -> None:
    """``--device``."""
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute"
    )


def add_coverage(parser: Options) -> None:
    """``--coverage``."""
    parser.add_argument(
        "--coverage",
        type=inside,
        default=PROMISED,
        metavar="SHARE",
        help="share of cries for which the right label shall be among those that an answer names",
    )


def add_repository(parser: Options) -> None:
    """``--repo-id``, ``--private`` and ``--dry-run``, for what goes to the Hugging Face Hub."""
    parser.add_argument("--repo-id", required=True, metavar="USER/NAME", help="where to")
    parser.add_argument("--private", action="store_true", help="only its owner may see it")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be sent and send nothing"
    )
