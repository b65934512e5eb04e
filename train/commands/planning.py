"""From the options of ``python -m train fit`` to the runs that they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace

from accelerate import Accelerator

from cry_model.acoustic_front_end import AcousticConfig
from cry_model.features import FrontEndConfig
from train.cache import Prepared
from train.clips import cut_before_splitting
from train.corpus import DataError
from train.distillation import Teacher, load_teacher
from train.feature_tables import ALL, ONE_RATE, TABLES, read_table, tabulate
from train.loading import describe, find_corpus, with_unlabelled
from train.opinions import Opinions, ask
from train.overrides import apply_overrides
from train.presets import PRESETS, Preset, usual_preset
from train.run import Run
from train.stability import Stability, stability


def plan(args: argparse.Namespace, system: str, accelerator: Accelerator) -> Iterator[Run]:
    """The runs of one system: one, but for the challenge's whole table.

    That is measured on all recordings and on those of one sample rate alone, and what is shipped
    is fitted on the latter.
    """
    preset = PRESETS[args.preset] if args.preset else usual_preset(system)
    if isinstance(preset.front_end, AcousticConfig) != (system == "feature-mlp"):
        raise DataError(f"The preset {preset.name} is not one for {system}.")
    if args.epochs is not None:
        preset = replace(preset, epochs=args.epochs)
    preset, settings = apply_overrides(preset, args.set)
    names = (ALL, ONE_RATE) if args.dataset == ALL else (args.dataset,)
    for name in names:
        data, extra = recordings(args, name, preset, accelerator)
        teacher, opinions, stays = None, None, {}
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
                opinions, stays = ask_about(args, name, teacher, accelerator)
        yield Run(
            system=system,
            data=data,
            protocol=args.protocol,
            preset=preset,
            folds=args.folds,
            seeds=tuple(dict.fromkeys(args.seeds)),
            accelerator=accelerator,
            out=args.out,
            settings=settings,
            teacher=teacher,
            opinions=opinions,
            stability=stays,
            extra=extra,
            resume=args.resume,
            track=args.track,
            checkpoint=args.checkpoint and name == names[-1],
        )


def recordings(
    args: argparse.Namespace, name: str, preset: Preset, accelerator: Accelerator
) -> tuple[Prepared, str | None]:
    """What to learn from, and the name of the corpus that the unlabelled part is of."""
    if args.unlabelled and not args.teacher:
        raise DataError("--unlabelled recordings need a --teacher to label them.")
    config, extra = preset.front_end, None
    if isinstance(config, AcousticConfig):
        if args.teacher:
            raise DataError("feature-mlp learns from labels; leave --teacher out.")
        data = rows_of_features(args, name, config, accelerator)
    else:
        with accelerator.local_main_process_first():  # the others find the prepared file
            data = find_corpus(name, args.data_root, args.cache, config)
            if args.unlabelled:
                more = find_corpus(args.unlabelled, args.data_root, args.cache, config)
                data, extra = with_unlabelled(data, more), more.corpus.name
    accelerator.print(describe(data))
    return data, extra


def ask_about(
    args: argparse.Namespace, name: str, teacher: Teacher, accelerator: Accelerator
) -> tuple[Opinions, Mapping[str, Stability]]:
    """The teacher's answer to every recording, and how far it stays with it."""
    with accelerator.local_main_process_first():
        data = find_corpus(name, args.data_root, args.cache, teacher.front_end.config)
    opinions = ask(teacher, data.clips)
    return opinions, stability(teacher, data.clips, opinions)


def rows_of_features(
    args: argparse.Namespace, name: str, config: AcousticConfig, accelerator: Accelerator
) -> Prepared:
    """The challenge's table, or the features of any corpus's audio."""
    if name in TABLES:
        if args.data_root is None:
            raise DataError("Say where the table is: --data-root FOLDER or CRY_DATA.")
        return read_table(args.data_root, name)
    with accelerator.local_main_process_first():
        data = find_corpus(name, args.data_root, args.cache, config)
    if args.protocol == "clip":  # into parts as long as the other systems'
        clips = cut_before_splitting(data.clips, FrontEndConfig(sample_rate=config.sample_rate))
        data = replace(data, clips=clips)
    return tabulate(data, config)
