"""``python -m train fit``."""

from __future__ import annotations

from collections.abc import Sequence

from train.cli.options import FitOptions
from train.cli.plan import check, make_device, plan, systems_of
from train.data.cache import cautions, describe
from train.fit.cross_validation import run_fit
from train.fit.devices import of_main
from train.fit.run import Experiment
from train.publish import hub


def run(options: FitOptions) -> None:
    """Fit what was asked for."""
    systems, place = systems_of(options), options.publish
    check_publish(options, systems)
    check(options, systems)
    accelerator = make_device(options)
    if place is not None:  # now, not after a night
        of_main(accelerator, lambda: hub.check_destination(place, options.private))
    runs = [one for system in systems for one in plan(options, system, accelerator)]
    said = [text for one in runs for text in overview(one.experiment)]
    accelerator.print(*dict.fromkeys(said), sep="\n")  # once, however many systems hear it
    for one in runs:
        one.experiment.model(0)  # what does not suit is found now, not after an hour
    for one in runs:
        run_fit(one)
    if place is not None and accelerator.is_main_process:  # the last run saves weights
        print(f"Published: {hub.send(runs[-1].checkpoint_folder, place, options.private)}")


def check_publish(options: FitOptions, systems: Sequence[str]) -> None:
    """Raise PublishError if there will be no checkpoint or several, or the name is none."""
    if options.publish is None:
        if options.private:
            raise hub.PublishError("--private goes with --publish; name a place with --publish.")
        return
    hub.check_repo_id(options.publish)
    if not options.checkpoint or options.reports_only:
        raise hub.PublishError(
            "--publish sends the checkpoint, so leave out --no-checkpoint, --outer-fold and "
            "--permute-labels."
        )
    if len(systems) > 1:
        raise hub.PublishError(
            f"--publish sends one system, and these are {len(systems)}; name one, or fit without "
            "it and give each checkpoint to 'python -m train publish'."
        )


def overview(experiment: Experiment) -> list[str]:
    """Say what was read, and what of it does not look as it was meant."""
    outer, data = experiment.outer_fold, experiment.data
    folds = experiment.folds if outer is None else outer.folds
    return [describe(data), *cautions(data, folds, experiment.protocol)]
