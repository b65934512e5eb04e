"""The command line: ``python -m train --help``."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence

from cry_model.config import CheckpointError
from train.commands import (
    attention,
    benchmark,
    calibrate,
    effect,
    fit,
    gate,
    prepare,
    publish,
    publish_space,
)
from train.corpus import DataError
from train.hub import PublishError
from train.predicting import TrainingError

DESCRIPTION = "Fit the cry recogniser's systems on recordings, and publish them."
COMMANDS = (
    prepare,
    fit,
    gate,
    calibrate,
    attention,
    effect,
    benchmark,
    publish,
    publish_space,
)


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main = argparse.ArgumentParser("python -m train", description=DESCRIPTION)
    commands = main.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 2 and a sentence on standard error if it cannot be done."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (CheckpointError, DataError, PublishError, TrainingError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(sentence(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What is finished is kept; the same command goes on.", file=sys.stderr)
        return 130
    return 0


def sentence(error: OSError) -> str:
    """What to do about a disk that does not take what is written."""
    where = f"'{error.filename}'" if error.filename else "the output folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "The disk is full: make room and run the same command again, or choose another"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        advice = "This folder may not be written: choose another"
    else:
        return f"{where} cannot be used: {error.strerror or error}."
    return f"{advice} --out or --cache ({where}). What was finished before is kept."


if __name__ == "__main__":
    sys.exit(main())
