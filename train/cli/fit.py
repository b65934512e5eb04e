"""Run ``python -m train prepare`` and ``fit``, and summarise a corpus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import typer

from train.cli.options import CORPORA, CorpusOptions, FitOptions, one_of, option
from train.cli.plan import check, make_device, plan, systems_of
from train.data.cache import DATASETS, cautions, describe, prepare
from train.data.corpus import Prepared
from train.data.download import download
from train.data.splits import FOLDS, has_test_part
from train.fit.cross_validation import run_fit
from train.fit.devices import of_main
from train.fit.presets import PRESETS
from train.fit.run import Experiment
from train.publish import hub


def by_label(data: Prepared) -> str:
    """Format a table of recordings, groups, seconds and official test recordings per label."""
    items = data.clips.items
    table = pd.DataFrame(
        {
            "label": [item.label or "(none)" for item in items],
            "recordings": 1,
            "groups": [item.group for item in items],
            "seconds": data.clips.seconds,
            "tested": [item.fold == 0 for item in items],
        }
    )
    how = {"recordings": "size", "groups": "nunique", "seconds": "sum", "tested": "sum"}
    lines = table.groupby("label").agg(how)
    if not has_test_part(items):
        lines = lines.drop(columns="tested")
    return lines.rename_axis(None).to_string(float_format="{:.1f}".format)


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(CorpusOptions):
    """Decode a corpus once into one compact file.

    'fit' reads this file. To train on a machine without audio libraries, copy it there and pass its
    name to --dataset.
    """

    dataset: Annotated[
        str, typer.Argument(parser=one_of(DATASETS), metavar="DATASET", help=f"one of {CORPORA}")
    ]
    download: Annotated[
        bool,
        option("first download the corpus, if missing, from its public archive", "--download"),
    ] = False
    preset: Annotated[str, option("prepare for its front end", parser=one_of(PRESETS))] = "best"


def run_prepare(options: PrepareOptions) -> None:
    """Prepare the corpus and print a summary of it."""
    root, dataset = options.root(), DATASETS[options.dataset]
    if options.download:
        download(dataset.name, dataset.archive, root)
    if dataset.write is not None and not (root / dataset.name).exists():
        dataset.write(root)
    data, path = prepare(dataset, root, options.cache, PRESETS[options.preset].front_end)
    folds = 1 if has_test_part(data.clips.items) else FOLDS
    print(by_label(data), describe(data), *cautions(data, folds), sep="\n")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB.")


def run(options: FitOptions) -> None:
    """Fit the requested systems; with --publish, send the checkpoint to the Hub."""
    systems, place = systems_of(options), options.publish
    check_publish(options, systems)
    check(options, systems)
    accelerator = make_device(options)
    if place is not None:  # fail now, not after hours of training
        of_main(accelerator, lambda: hub.check_destination(place, options.private))
    runs = [one for system in systems for one in plan(options, system, accelerator)]
    said = [text for one in runs for text in heard(one.experiment)]
    accelerator.print(*dict.fromkeys(said), sep="\n")  # once, even if several systems use it
    for one in runs:
        one.experiment.model(0)  # detect incompatible settings now, not after an hour
    for one in runs:
        run_fit(one)
    if place is not None and accelerator.is_main_process:  # the last run saves the checkpoint
        print(f"Published: {hub.send(runs[-1].checkpoint_folder, place, options.private)}")


def check_publish(options: FitOptions, systems: Sequence[str]) -> None:
    """Raise PublishError if there will not be exactly one checkpoint, or the name is invalid."""
    if options.publish is None:
        if options.private:
            raise hub.PublishError("--private needs --publish; add --publish USER/NAME.")
        return
    hub.check_repo_id(options.publish)
    if not options.checkpoint or options.reports_only:
        raise hub.PublishError(
            "--publish sends the checkpoint, so leave out --no-checkpoint, --outer-fold and "
            "--permute-labels."
        )
    if len(systems) > 1:
        raise hub.PublishError(
            f"--publish sends one system, not {len(systems)}; name one, or fit without --publish "
            "and give each checkpoint to 'python -m train publish'."
        )


def heard(experiment: Experiment) -> list[str]:
    """Return lines that describe the corpus and warn about likely mistakes in it."""
    outer, data = experiment.outer_fold, experiment.data
    folds = experiment.folds if outer is None else outer.folds
    return [describe(data), *cautions(data, folds, experiment.protocol)]
