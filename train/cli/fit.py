"""``python -m train fit``."""

from __future__ import annotations

from collections.abc import Sequence

from train.cli.options import FitOptions
from train.cli.planning import make_device, plan, systems_of
from train.fit.cross_validation import run_fit
from train.fit.devices import of_main
from train.publish.hub import Destination, PublishError


def find_destination(options: FitOptions, systems: Sequence[str]) -> Destination | None:
    """Return where the checkpoint is to be published, if anywhere.

    Raises:
        PublishError: if there will be no checkpoint or several, or the name is none.
    """
    if options.publish is None:
        if options.private:
            raise PublishError("--private is about what is published; name a place with --publish.")
        return None
    if not options.checkpoint or options.reports_only:
        raise PublishError(
            "--publish sends the checkpoint, so leave out --no-checkpoint, --outer-fold and "
            "--permute-labels."
        )
    if len(systems) > 1:
        raise PublishError(
            f"--publish sends one system, and these are {len(systems)}; name one, or fit without "
            "it and give each checkpoint to 'python -m train publish'."
        )
    return Destination(options.publish, options.private)


def run(options: FitOptions) -> None:
    """Fit what was asked for."""
    systems = systems_of(options)
    destination = find_destination(options, systems)
    accelerator = make_device(options)
    if destination is not None:
        of_main(accelerator, destination.check)  # now, not after a night
    runs = [run for system in systems for run in plan(options, system, accelerator)]
    for one in runs:
        one.experiment.check()
    for one in runs:
        run_fit(one)
    if destination is not None and accelerator.is_main_process:  # the last run saves weights
        print(f"Published: {destination.send(runs[-1].checkpoint_folder)}")
