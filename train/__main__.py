"""The command line: ``python -m train --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cry_model.checkpoint import CheckpointError
from train.cli import ablate_attention as effect
from train.cli import calibrate, fit, grid, prepare, publish, publish_space
from train.cli import check_labels as check
from train.cli import permutation_test as chance
from train.cli import train_detector as gate
from train.cli.grid import BUSY
from train.data.corpus import DataError, sentence
from train.fit.devices import as_found
from train.fit.predict import TrainingError
from train.fit.run import BusyError
from train.publish.hub import PublishError

DESCRIPTION = "Fit the cry recogniser's systems on recordings, and publish them."
COMMANDS = (
    prepare,
    fit,
    grid,
    gate,
    calibrate,
    chance,
    check,
    effect,
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


@as_found()
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 2, or 75 if another is at it, and a sentence on standard error if not."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except BusyError as error:
        print(f"{error}", file=sys.stderr)
        return BUSY
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


if __name__ == "__main__":
    sys.exit(main())
