"""Options and types that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from train.corpus import DataError


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from ``least`` on."""

    def whole_number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
        return int(text)

    return whole_number


def share(text: str) -> float:
    """A type for argparse: a number from 0 to 1."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {text}")
    return float(text)


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """``--data-root``, with the variable CRY_DATA as its default."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=os.environ.get("CRY_DATA"),
        help="folder that holds the datasets; the variable CRY_DATA gives another default",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute"
    )


def device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        DataError: if CUDA is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise DataError("There is no CUDA device here; use --device cpu.")
    return torch.device(name)
