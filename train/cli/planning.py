"""From the options of ``python -m train fit`` to the runs that they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from accelerate import Accelerator

from cry_model.acoustic_features import AcousticConfig
from cry_model.frontend import FrontEndConfig
from cry_model.registry import ON_FEATURES, ON_SPECTROGRAMS, list_models
from train.cli.prepare import cautions
from train.data.cache import SUFFIX, Prepared, describe, find_corpus, with_folds, with_unlabelled
from train.data.clips import Clips, cut_before_splitting
from train.data.corpus import DataError
from train.data.feature_tables import ALL, ONE_RATE, TABLES, read_table, tabulate
from train.data.splits import Outer
from train.fit.devices import ask_for_determinism, make_accelerator, of_main
from train.fit.distillation import Start, Teacher, ask, load_start, load_teacher
from train.fit.presets import PRESETS, Preset, apply_overrides, usual_preset, usual_settings
from train.fit.run import Run
from train.scoring.results import Opinions
from train.studies.permutation_test import shuffled


def accelerator_of(args: argparse.Namespace) -> Accelerator:
    """The device that the options name.

    Raises:
        DataError: if there is none, or TensorBoard is missing.
    """
    curves = args.out / "curves" if args.track else None
    if args.deterministic:
        ask_for_determinism()
    return make_accelerator(args.device, args.precision, curves)


def plan(args: argparse.Namespace, system: str, accelerator: Accelerator) -> Iterator[Run]:
    """The runs of one system: one, but for the challenge's whole table.

    That is measured on all recordings and on those of one sample rate alone, and what is shipped
    is fitted on the latter.
    """
    preset, settings = settle(args, system)
    names = names_of(args.dataset)
    for name in names:
        data, extra = recordings(args, name, preset, accelerator)
        data, folds = with_folds(data, args.protocol, args.folds)
        data = with_labels(args, data)
        parts = None
        if isinstance(preset.front_end, AcousticConfig):
            data, parts = rows_of_features(args, data, preset.front_end)
        accelerator.print(describe(data), *cautions(data, folds), sep="\n")
        teacher, opinions = None, None
        if args.teacher:
            teacher = load_teacher(
                args.teacher,
                args.teacher_weight,
                data.corpus.labels,
                system,
                preset.front_end,
                accelerator.device,
            )
            settings = {**settings, **teacher.settings}
            data = replace(data, corpus=replace(data.corpus, labels=teacher.labels))
            if not data.clips.labelled().items:
                opinions = ask_about(args, name, teacher, accelerator)
        yield Run(
            system=system,
            data=data,
            protocol=args.protocol,
            preset=preset,
            folds=folds if args.within is None else args.inner_folds,
            seeds=tuple(dict.fromkeys(args.seeds)),
            accelerator=accelerator,
            out=args.out,
            settings=settings,
            teacher=teacher,
            parts=parts,
            opinions=opinions,
            coverage=args.coverage,
            extra=extra,
            start=start_of(args, data, system, preset),
            within=within(args, folds),
            shuffled=args.shuffle_labels,
            resume=args.resume,
            track=args.track,
            checkpoint=args.checkpoint and name == names[-1] and not apart(args),
            keep_folds=args.keep_folds,
        )


def start_of(args: argparse.Namespace, data: Prepared, system: str, preset: Preset) -> Start | None:
    """The weights to begin with, if some were named."""
    if args.start_from is None:
        return None
    return load_start(args.start_from, data.corpus.name, system, preset.front_end)


def names_of(dataset: str) -> tuple[str, ...]:
    """The corpora that are measured where this one is asked for."""
    return (ALL, ONE_RATE) if dataset == ALL else (dataset,)


def systems_of(args: argparse.Namespace) -> list[str]:
    """The systems that ``--system`` names, each once.

    Raises:
        DataError: if one of them cannot take the dataset.
    """
    systems = suitable(args) if "all" in args.system else list(dict.fromkeys(args.system))
    if args.dataset in TABLES and systems != [ON_FEATURES]:
        raise DataError(f"{args.dataset} has features and no audio: only feature-mlp takes it.")
    return systems


def within(args: argparse.Namespace, folds: int) -> Outer | None:
    """The fold whose tested part is not to be seen.

    Raises:
        DataError: if there is no such fold, or with recordings that its split does not know.
    """
    if args.within is None:
        return None
    if args.within >= folds:
        raise DataError(f"--within counts from 0; the folds are {folds}.")
    if args.teacher:
        raise DataError("A teacher may know the tested part of the fold; leave --within out.")
    return Outer(args.within, folds)


def with_labels(args: argparse.Namespace, data: Prepared) -> Prepared:
    """The corpus with the labels that are asked for: its own, or those dealt out anew.

    Raises:
        DataError: if a teacher would tell what the labels are.
    """
    if args.shuffle_labels is None:
        return data
    if args.teacher:
        raise DataError("A teacher knows the true labels; leave --shuffle-labels out.")
    whole = data.clips.labelled()
    return replace(data, clips=shuffled(whole, data.corpus.labels, args.shuffle_labels))


def apart(args: argparse.Namespace) -> bool:
    """Whether the fit answers a question of its own, of which nothing is to be shipped."""
    return args.within is not None or args.shuffle_labels is not None


def settle(args: argparse.Namespace, system: str) -> tuple[Preset, Mapping[str, Any]]:
    """The preset of a system with what was changed in it, and the settings of its class.

    Raises:
        DataError: if they do not suit the system.
    """
    preset = PRESETS[args.preset] if args.preset else usual_preset(system, args.dataset)
    on_features = isinstance(preset.front_end, AcousticConfig)
    if on_features != (system == ON_FEATURES):
        raise DataError(f"The preset {preset.name} is not one for {system}.")
    if args.epochs is not None:
        preset = replace(preset, epochs=args.epochs)
    preset, changed = apply_overrides(preset, args.set)
    settings = {**usual_settings(preset, system), **changed}
    if on_features and args.teacher:
        raise DataError(f"{system} learns from labels; leave --teacher out.")
    if on_features and (preset.validation or preset.average or preset.schedule != "one-cycle"):
        raise DataError(
            f"{system} is fitted with a one-cycle schedule, without validation or averaging; "
            "leave them out."
        )
    return preset, settings


def suitable(args: argparse.Namespace) -> list[str]:
    """What ``--system all`` means with the other options: without feature-mlp where it differs.

    A table of features is for that alone. It hears other features, so a preset or a prepared file
    of the others is none of its own, and it does not learn from a teacher.
    """
    if args.dataset in TABLES:
        return [ON_FEATURES]
    prepared = args.dataset.endswith(SUFFIX)
    if args.preset or args.teacher or args.set or prepared:
        return list(ON_SPECTROGRAMS)
    return list_models()


def recordings(
    args: argparse.Namespace, name: str, preset: Preset, accelerator: Accelerator
) -> tuple[Prepared, str | None]:
    """What to learn from, and the name of the corpus that the unlabelled part is of."""
    if args.unlabelled and not args.teacher:
        raise DataError("--unlabelled recordings need a --teacher to label them.")
    config, extra = preset.front_end, None
    if name in TABLES:
        if args.data_root is None:
            raise DataError("Say where the table is: --data-root FOLDER or CRY_DATA.")
        return read_table(args.data_root, name), None
    with accelerator.local_main_process_first():  # the others find the prepared file
        data = find_corpus(name, args.data_root, args.cache, config)
        if args.unlabelled:
            more = find_corpus(args.unlabelled, args.data_root, args.cache, config)
            data, extra = with_unlabelled(data, more), more.corpus.name
    return data, extra


def ask_about(
    args: argparse.Namespace, name: str, teacher: Teacher, accelerator: Accelerator
) -> Opinions:
    """The teacher's answer to every recording."""
    with accelerator.local_main_process_first():
        data = find_corpus(name, args.data_root, args.cache, teacher.front_end.config)
    # Of one process: the folds depend on them.
    return of_main(accelerator, lambda: ask(teacher, data.clips))


def rows_of_features(
    args: argparse.Namespace, data: Prepared, config: AcousticConfig
) -> tuple[Prepared, Clips | None]:
    """Audio as features; under the ``clip`` protocol also those of its parts."""
    if args.dataset in TABLES:
        return data, None
    parts = None
    if args.protocol == "clip":  # as long as the other systems'
        standard = FrontEndConfig(sample_rate=config.sample_rate)
        cut = replace(data, clips=cut_before_splitting(data.clips, standard))
        parts = tabulate(cut, config).clips
    return tabulate(data, config), parts
