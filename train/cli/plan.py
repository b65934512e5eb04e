"""Plan the runs that the options request; check the options before any audio is read."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from cry_model.networks.registry import ON_FEATURES, ON_SPECTROGRAMS, get_system, list_models
from cry_model.sound.front_end_config import AcousticConfig, FrontEndConfig
from train.data.cache import DATASETS, SUFFIX, find_corpus, with_folds, with_unlabelled
from train.data.corpus import (
    ONLY_LEARNT,
    DataError,
    Prepared,
    cut_before_splitting,
    permute_labels,
    tabulate,
)
from train.data.datasets.challenge6 import ALL, TABLES, read_features
from train.data.splits import OuterFold, split
from train.fit.devices import ask_for_determinism, make_accelerator, of_main
from train.fit.distillation import load_start, load_teacher, predict_teacher
from train.fit.presets import (
    PRESETS,
    Preset,
    apply_overrides,
    names_for,
    usual_preset,
    usual_settings,
)
from train.fit.run import REUSED, Experiment, Run, build

if TYPE_CHECKING:
    from train.cli.options import FitOptions, FittingOptions


def systems_of(options: FitOptions) -> list[str]:
    """Return the systems that ``--system`` names, without duplicates.

    "all" excludes feature-mlp with a preset, prepared file, ``--set`` or teacher: feature-mlp takes
    other features and learns from labels only. Raise DataError if a system cannot use the dataset.
    """
    systems = list(dict.fromkeys(options.system))
    if "all" in systems:
        prepared = options.dataset.endswith(SUFFIX)
        differs = options.preset or options.teacher or options.set or prepared
        systems = list(ON_SPECTROGRAMS) if differs else list_models()
        systems = [ON_FEATURES] if options.dataset in TABLES else systems
    if options.dataset in TABLES and systems != [ON_FEATURES]:
        raise DataError(f"{options.dataset} has features and no audio: only feature-mlp takes it.")
    return systems


def check(options: FitOptions, systems: Sequence[str]) -> None:
    """Raise DataError if options are incompatible with each other or with the listed files."""
    if options.unlabelled and not options.teacher:
        raise DataError("--unlabelled recordings need a --teacher to label them.")
    if options.teacher and options.outer_fold is not None:
        raise DataError("A teacher may have seen the fold's test part; leave --outer-fold out.")
    if options.teacher and options.permute_labels is not None:
        raise DataError("A teacher knows the true labels; leave --permute-labels out.")
    for system in systems:
        resolve(options, system)
    if options.folds is None or options.data_root is None or options.dataset not in DATASETS:
        return
    every = DATASETS[options.dataset].read(options.data_root).items
    items = [item for item in every if item.label] or [replace(item, label="") for item in every]
    if ONLY_LEARNT in {item.fold for item in items}:  # as train.data.cache.with_folds has it
        items = [replace(item, fold=None) for item in items]
    if options.protocol != "clip":  # its parts are known only once the audio is decoded
        split(items, options.protocol, options.folds, options.seeds[0])


def make_device(options: FittingOptions) -> Accelerator:
    """Create the Accelerator for the options; raise DataError if CUDA or TensorBoard is missing."""
    if options.deterministic:
        ask_for_determinism()
    curves = options.out / "curves" if options.track else None
    return make_accelerator(options.device, options.precision, curves)


def resolve(options: FitOptions, system: str) -> tuple[Preset, Mapping[str, Any]]:
    """Return preset and settings of a system; raise DataError if they are invalid for it."""
    preset = PRESETS[options.preset] if options.preset else usual_preset(system, options.dataset)
    on_features = isinstance(preset.front_end, AcousticConfig)
    if on_features != (system == ON_FEATURES):
        raise DataError(f"The preset {preset.name} is not for {system}.")
    epochs = [] if options.epochs is None else [f"epochs={options.epochs}"]
    preset, changed = apply_overrides(preset, [*epochs, *options.set])
    settings = {**usual_settings(preset, system), **changed}
    require_settings(system, preset, changed, settings)
    if on_features and options.teacher:
        raise DataError(f"{system} learns from labels; leave --teacher out.")
    if on_features and (preset.validation or preset.ema_decay or preset.schedule != "one-cycle"):
        raise DataError(
            f"{system} is fitted with a one-cycle schedule, without validation or averaging; "
            "leave them out."
        )
    return preset, settings


def require_settings(
    system: str, preset: Preset, changed: Iterable[str], settings: Mapping[str, Any]
) -> None:
    """Raise DataError if a system has no such setting as one in ``changed``, or rejects a value."""
    _, _, *names = inspect.signature(get_system(system).factory).parameters
    known = {*names} - {REUSED}
    if REUSED in changed:
        raise DataError(f"{REUSED} is set by --teacher; leave it out.")
    for name in set(changed) - known:
        names = sorted(known | names_for(preset))
        close = get_close_matches(name, names) or names
        raise DataError(f"--set {name}: {system} has no such setting; it has {', '.join(close)}.")
    with torch.device("meta"):  # allocates no memory
        build(system, 2, preset.front_end.num_bands, settings)


def plan(options: FitOptions, system: str, accelerator: Accelerator) -> Iterator[Run]:
    """Yield the runs of one system: one run, or two for the challenge's whole feature table.

    That table is evaluated on all recordings and on those of one sample rate alone; the checkpoint
    is trained on the latter. Raise CheckpointError if the teacher or the initial weights cannot be
    loaded; DataError if the corpus or its options are invalid.
    """
    preset, settings = resolve(options, system)
    names = TABLES if options.dataset == ALL else (options.dataset,)
    for name in names:
        data, extra = recordings(options, name, preset, accelerator)
        data, folds = with_folds(data, options.protocol, options.folds)
        if options.permute_labels is not None:
            labelled, labels = data.clips.labelled(), data.corpus.labels
            data = replace(data, clips=permute_labels(labelled, labels, options.permute_labels))
        if options.outer_fold is not None and options.outer_fold >= folds:
            raise DataError(f"--outer-fold must be >= 0 and < {folds}.")
        outer = None if options.outer_fold is None else OuterFold(options.outer_fold, folds)
        count = folds if outer is None else options.inner_folds
        what = system, data, options.protocol, preset, count, accelerator, settings
        found = {"unlabelled_corpus": extra, "permutation": options.permute_labels}
        experiment = Experiment(*what, outer_fold=outer, **found)
        if isinstance(preset.front_end, AcousticConfig) and name not in TABLES:
            experiment = on_rows(experiment)
        if options.teacher:
            experiment = taught(options, experiment, name)
        if options.start_from is not None:
            start = load_start(options.start_from, experiment.name, system, preset.front_end)
            experiment = replace(experiment, start=start)
        yield Run(
            experiment,
            seeds=tuple(dict.fromkeys(options.seeds)),
            out=options.out,
            coverage=options.coverage,
            resume=options.resume,
            track=options.track,
            checkpoint=options.checkpoint and name == names[-1] and not options.reports_only,
            save_folds=options.save_folds,
        )


def recordings(
    options: FitOptions, name: str, preset: Preset, accelerator: Accelerator
) -> tuple[Prepared, str | None]:
    """Return the data, and the name of the corpus that its ``--unlabelled`` part is from."""
    if name in TABLES:
        return read_features(options.root(), name), None
    where = options.data_root, options.cache, preset.front_end
    with accelerator.local_main_process_first():  # the others then read the prepared file
        data = find_corpus(name, *where)
        if not options.unlabelled:
            return data, None
        more = find_corpus(options.unlabelled, *where)
    return with_unlabelled(data, more), more.corpus.name


def on_rows(experiment: Experiment) -> Experiment:
    """Replace audio by rows of features; under the ``clip`` protocol, add rows of its parts."""
    data, config, parts = experiment.data, experiment.preset.front_end, None
    if experiment.protocol == "clip":  # parts as long as the other systems'
        standard = FrontEndConfig(sample_rate=config.sample_rate)
        cut = replace(data, clips=cut_before_splitting(data.clips, standard))
        parts = tabulate(cut, config).clips
    return replace(experiment, data=tabulate(data, config), parts=parts)


def taught(options: FitOptions, experiment: Experiment, name: str) -> Experiment:
    """Add the teacher and, for a corpus without labels, its predictions for every recording."""
    data, accelerator = experiment.data, experiment.accelerator
    teacher = load_teacher(
        options.teacher,
        options.teacher_weight,
        data.corpus.labels,
        experiment.system,
        experiment.preset.front_end,
        accelerator.device,
    )
    predictions = None
    if not data.clips.labelled().items:
        with accelerator.local_main_process_first():
            config = teacher.front_end.config
            heard = find_corpus(name, options.data_root, options.cache, config).clips
        # From the main process, because the folds depend on them.
        predictions = of_main(accelerator, lambda: predict_teacher(teacher, heard))
    return replace(
        experiment,
        data=replace(data, corpus=replace(data.corpus, labels=teacher.config.labels)),
        settings={**experiment.settings, **teacher.settings},
        teacher=teacher,
        teacher_predictions=predictions,
    )
