"""Run the command line: ``python -m train --help``."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from cry_model.checkpoint import CheckpointError
from train.cli import fit, grid, publish, studies
from train.cli.options import FitOptions, Options, repeat
from train.data.corpus import DataError
from train.fit.devices import as_found
from train.fit.predict import TrainingError
from train.fit.run import BusyError
from train.publish.hub import PublishError

FITTING, MEASURING, PUBLISHING = "Prepare and fit", "Measure", "Publish"
COMMANDS: Mapping[str, tuple[type[Options], Callable[[Any], None], str]] = {
    "prepare": (fit.PrepareOptions, fit.run_prepare, FITTING),
    "fit": (FitOptions, fit.run, FITTING),
    "grid": (grid.GridOptions, grid.run, FITTING),
    "train-detector": (studies.TrainDetectorOptions, studies.run_train_detector, FITTING),
    "calibrate": (studies.CalibrateOptions, studies.run_calibrate, MEASURING),
    "permutation-test": (studies.PermutationTestOptions, studies.run_permutation_test, MEASURING),
    "ablate-attention": (studies.AblateAttentionOptions, studies.run_ablate_attention, MEASURING),
    "check-labels": (studies.CheckLabelsOptions, studies.run_check_labels, MEASURING),
    "export": (publish.ExportOptions, publish.run_export, PUBLISHING),
    "publish": (publish.PublishOptions, publish.run, PUBLISHING),
}
"""Command name -> (options class, function that runs it, panel in the help)."""
USAGE_ERROR: type[Exception] = typer.BadParameter.__base__
"""Click's ``UsageError``; typer has bundled its own copy of Click since version 0.27."""

app = typer.Typer(add_completion=False, help="Fit the cry classifier's models and publish them.")
for name, (options_class, _, panel) in COMMANDS.items():
    app.command(name, rich_help_panel=panel)(options_class)
COMMAND_LINE = typer.main.get_command(app)


def parse(words: Sequence[str]) -> Options | int:
    """Return parsed options, or an exit code after --help; raise USAGE_ERROR if any is invalid."""
    several = COMMANDS[words[0]][0].several() if words and words[0] in COMMANDS else ()
    words = repeat(words, several)
    return COMMAND_LINE(args=words, prog_name="python -m train", standalone_mode=False)


def sentence(error: OSError) -> str:
    """Describe a file-system error and how to fix it, in one or two sentences."""
    where = f"'{error.filename}'" if error.filename else "the output folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "The disk is full: make room and run the same command again, or choose another"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        advice = "This folder is not writable: choose another"
    elif error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{where} is a file, not a folder: choose another --out or --cache."
    else:
        return f"{where} cannot be used: {error.strerror or error}."
    return f"{advice} --out or --cache ({where}). Finished work is kept."


@as_found()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 on errors, 75 if the folder is locked, 130 after Ctrl-C.

    Errors are printed to stderr as one sentence."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = parse(words)
        if isinstance(options, int):
            return options
        COMMANDS[words[0]][1](options)
    except USAGE_ERROR as error:
        command = f" {words[0]}" if words and words[0] in COMMANDS else ""
        print(f"{error.format_message()} (python -m train{command} --help)", file=sys.stderr)
        return 2
    except (CheckpointError, DataError, PublishError, TrainingError) as error:
        print(f"{error}", file=sys.stderr)
        return grid.BUSY if isinstance(error, BusyError) else 2
    except OSError as error:
        print(sentence(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Finished work is kept; the same command resumes.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
