"""Plan the runs that the options of ``python -m train fit`` ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from accelerate import Accelerator

from cry_model.acoustic_features import AcousticConfig
from cry_model.frontend import FrontEndConfig
from cry_model.registry import ON_FEATURES, ON_SPECTROGRAMS, list_models
from train.cli.options import FitOptions, FittingOptions
from train.cli.prepare import cautions
from train.data.cache import SUFFIX, describe, find_corpus, with_folds, with_unlabelled
from train.data.clips import Clips, Prepared, cut_before_splitting, permute_labels
from train.data.corpus import DataError
from train.data.feature_tables import ALL, ONE_RATE, TABLES, read_table, tabulate
from train.data.splits import OuterFold
from train.fit.devices import ask_for_determinism, make_accelerator, of_main
from train.fit.distillation import Start, Teacher, load_start, load_teacher, predict_teacher
from train.fit.experiment import Experiment
from train.fit.presets import PRESETS, Preset, apply_overrides, usual_preset, usual_settings
from train.fit.run import Run
from train.scoring.results import TeacherPredictions


def make_device(options: FittingOptions) -> Accelerator:
    """Open the device that the options name.

    Raises:
        DataError: if there is none, or TensorBoard is missing.
    """
    curves = options.out / "curves" if options.track else None
    if options.deterministic:
        ask_for_determinism()
    return make_accelerator(options.device, options.precision, curves)


def plan(options: FitOptions, system: str, accelerator: Accelerator) -> Iterator[Run]:
    """Yield the runs of one system: one, but for the challenge's whole table.

    That is measured on all recordings and on those of one sample rate alone, and the checkpoint
    is fitted on the latter.
    """
    preset, settings = resolve(options, system)
    names = names_of(options.dataset)
    for name in names:
        data, extra = recordings(options, name, preset, accelerator)
        data, folds = with_folds(data, options.protocol, options.folds)
        data = with_labels(options, data)
        parts = None
        if isinstance(preset.front_end, AcousticConfig):
            data, parts = rows_of_features(options, data, preset.front_end)
        accelerator.print(describe(data), *cautions(data, folds), sep="\n")
        teacher, teacher_predictions = None, None
        if options.teacher:
            teacher = load_teacher(
                options.teacher,
                options.teacher_weight,
                data.corpus.labels,
                system,
                preset.front_end,
                accelerator.device,
            )
            settings = {**settings, **teacher.settings}
            data = replace(data, corpus=replace(data.corpus, labels=teacher.labels))
            if not data.clips.labelled().items:
                teacher_predictions = answers_of(options, name, teacher, accelerator)
        experiment = Experiment(
            system=system,
            data=data,
            protocol=options.protocol,
            preset=preset,
            folds=folds if options.outer_fold is None else options.inner_folds,
            accelerator=accelerator,
            settings=settings,
            teacher=teacher,
            teacher_predictions=teacher_predictions,
            parts=parts,
            unlabelled_corpus=extra,
            start=start_of(options, data, system, preset),
            outer_fold=outer_fold_of(options, folds),
            permutation=options.permute_labels,
        )
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


def start_of(options: FitOptions, data: Prepared, system: str, preset: Preset) -> Start | None:
    """Load the weights to begin with, if some were named."""
    if options.start_from is None:
        return None
    return load_start(options.start_from, data.corpus.name, system, preset.front_end)


def names_of(dataset: str) -> tuple[str, ...]:
    """Return the corpora that are measured where this one is asked for."""
    return (ALL, ONE_RATE) if dataset == ALL else (dataset,)


def systems_of(options: FitOptions) -> list[str]:
    """Return the systems that ``--system`` names, each once.

    Raises:
        DataError: if one of them cannot take the dataset.
    """
    systems = suitable(options) if "all" in options.system else list(dict.fromkeys(options.system))
    if options.dataset in TABLES and systems != [ON_FEATURES]:
        raise DataError(f"{options.dataset} has features and no audio: only feature-mlp takes it.")
    return systems


def outer_fold_of(options: FitOptions, folds: int) -> OuterFold | None:
    """Return the fold whose tested part is not to be seen.

    Raises:
        DataError: if there is no such fold, or with recordings that its split does not know.
    """
    if options.outer_fold is None:
        return None
    if options.outer_fold >= folds:
        raise DataError(f"--outer-fold counts from 0; the folds are {folds}.")
    if options.teacher:
        raise DataError("A teacher may know the tested part of the fold; leave --outer-fold out.")
    return OuterFold(options.outer_fold, folds)


def with_labels(options: FitOptions, data: Prepared) -> Prepared:
    """Return the corpus with the labels that are asked for: its own, or permuted ones.

    Raises:
        DataError: if a teacher would tell what the labels are.
    """
    if options.permute_labels is None:
        return data
    if options.teacher:
        raise DataError("A teacher knows the true labels; leave --permute-labels out.")
    whole = data.clips.labelled()
    return replace(data, clips=permute_labels(whole, data.corpus.labels, options.permute_labels))


def resolve(options: FitOptions, system: str) -> tuple[Preset, Mapping[str, Any]]:
    """Return the preset of a system with what was changed in it, and the settings of its class.

    Raises:
        DataError: if they do not suit the system.
    """
    preset = PRESETS[options.preset] if options.preset else usual_preset(system, options.dataset)
    on_features = isinstance(preset.front_end, AcousticConfig)
    if on_features != (system == ON_FEATURES):
        raise DataError(f"The preset {preset.name} is not one for {system}.")
    if options.epochs is not None:
        preset = replace(preset, epochs=options.epochs)
    preset, changed = apply_overrides(preset, options.set)
    settings = {**usual_settings(preset, system), **changed}
    if on_features and options.teacher:
        raise DataError(f"{system} learns from labels; leave --teacher out.")
    if on_features and (preset.validation or preset.average or preset.schedule != "one-cycle"):
        raise DataError(
            f"{system} is fitted with a one-cycle schedule, without validation or averaging; "
            "leave them out."
        )
    return preset, settings


def suitable(options: FitOptions) -> list[str]:
    """Return what ``--system all`` means: without feature-mlp where that differs.

    A table of features is for that alone. It hears other features, so a preset or a prepared file
    of the others is none of its own, and it does not learn from a teacher.
    """
    if options.dataset in TABLES:
        return [ON_FEATURES]
    prepared = options.dataset.endswith(SUFFIX)
    if options.preset or options.teacher or options.set or prepared:
        return list(ON_SPECTROGRAMS)
    return list_models()


def recordings(
    options: FitOptions, name: str, preset: Preset, accelerator: Accelerator
) -> tuple[Prepared, str | None]:
    """Read what to learn from, and name the corpus that the unlabelled part is of."""
    if options.unlabelled and not options.teacher:
        raise DataError("--unlabelled recordings need a --teacher to label them.")
    config, extra = preset.front_end, None
    if name in TABLES:
        if options.data_root is None:
            raise DataError("Say where the table is: --data-root FOLDER or CRY_DATA.")
        return read_table(options.data_root, name), None
    with accelerator.local_main_process_first():  # the others find the prepared file
        data = find_corpus(name, options.data_root, options.cache, config)
        if options.unlabelled:
            more = find_corpus(options.unlabelled, options.data_root, options.cache, config)
            data, extra = with_unlabelled(data, more), more.corpus.name
    return data, extra


def answers_of(
    options: FitOptions, name: str, teacher: Teacher, accelerator: Accelerator
) -> TeacherPredictions:
    """Return the teacher's answer to every recording."""
    with accelerator.local_main_process_first():
        data = find_corpus(name, options.data_root, options.cache, teacher.front_end.config)
    # Of one process: the folds depend on them.
    return of_main(accelerator, lambda: predict_teacher(teacher, data.clips))


def rows_of_features(
    options: FitOptions, data: Prepared, config: AcousticConfig
) -> tuple[Prepared, Clips | None]:
    """Turn audio into features; under the ``clip`` protocol also those of its parts."""
    if options.dataset in TABLES:
        return data, None
    parts = None
    if options.protocol == "clip":  # as long as the other systems'
        standard = FrontEndConfig(sample_rate=config.sample_rate)
        cut = replace(data, clips=cut_before_splitting(data.clips, standard))
        parts = tabulate(cut, config).clips
    return tabulate(data, config), parts
