"""Declare the options of the commands as frozen dataclasses, whose fields typer reads.

This and other modules with options must not import ``annotations`` from ``__future__``: typer would
evaluate inherited annotations in the subclass's module.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from cry_model.networks.registry import list_models
from train.data.cache import DATASETS, SUFFIX
from train.data.corpus import DataError
from train.data.datasets.challenge6 import TABLES
from train.data.splits import FOLDS, PROTOCOLS
from train.fit.presets import PRESETS
from train.scoring.calibration import PROMISED

SYSTEMS = ", ".join(list_models())
CORPORA, WITH_TABLES = ", ".join(DATASETS), ", ".join((*DATASETS, *TABLES))
LARGEST = 2**32 - 1  # the largest seed
A_FILE = "a file that 'prepare' wrote"

Parser = Callable[[str], Any]


def option(
    help: str, *names: str, panel: str | None = None, parser: Parser | None = None, **more: Any
) -> Any:
    """Declare an option; the help shows its parser's metavar, if there is one.

    A boolean option has a ``--no-`` form, unless a name is given explicitly.
    """
    metavar = "N" if "min" in more else getattr(parser, "metavar", None)
    more = {"metavar": metavar, "show_envvar": False, **more}
    return typer.Option(*names, help=help, rich_help_panel=panel, parser=parser, **more)


what, how, where_to = (partial(option, panel=panel) for panel in ("What", "How", "Where"))
from_teacher = partial(option, panel="From a teacher (knowledge distillation)")
on_hub = partial(option, panel="On the Hugging Face Hub")


def spelling(field: str) -> str:
    """Return a field's name as on the command line: ``data_root`` -> ``--data-root``."""
    return f"--{field.replace('_', '-')}"


def share(ends: bool) -> Parser:
    """Return a parser of numbers between 0 and 1, inclusive if ``ends``."""

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = float(text)
            if 0 < value < 1 or (ends and value in (0, 1)):
                return value
        raise typer.BadParameter(f"must lie between 0 and 1, not {text:.40}")

    parse.metavar = "SHARE"
    return parse


def one_of(names: Iterable[str], or_file: bool = False) -> Parser:
    """Return a parser that accepts these names and, if ``or_file``, prepared files."""
    known = tuple(names)

    def parse(text: str) -> str:
        if text not in known and not (or_file and text.endswith(SUFFIX)):
            others = f"; or {A_FILE}" if or_file else ""
            raise typer.BadParameter(f"must be one of {', '.join(known)}{others}, not {text:.40}")
        return text

    parse.metavar = "DATASET" if or_file else "|".join(known)
    return parse


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a command.

    Options with several values are declared as lists but stored as tuples, for immutability.
    """

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))

    @classmethod
    def several(cls) -> frozenset[str]:
        kinds = {field.name: get_args(field.type)[0] for field in fields(cls)}
        return frozenset(spelling(name) for name, kind in kinds.items() if get_origin(kind) is list)


def repeat(words: Sequence[str], several: Collection[str]) -> list[str]:
    """Repeat an option before each of its values: ``--seeds 0 1`` -> ``--seeds 0 --seeds 1``."""
    found: list[str] = []
    for word in words:
        if not word.startswith("--") and len(found) > 1 and found[-2] in several:
            found.append(found[-2])
        found.append(word)
    return found


@dataclass(frozen=True, kw_only=True)
class CorpusOptions(Options):
    """The folders of recordings and of prepared corpora."""

    data_root: Annotated[
        Path | None,
        what("folder of the datasets; or set CRY_DATA", envvar="CRY_DATA"),
    ] = None
    cache: Annotated[Path, what("folder of prepared corpora")] = Path("runs/cache")

    def root(self) -> Path:
        if self.data_root is None:
            raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
        return self.data_root


Device = Annotated[str, where_to("where to compute", parser=one_of(["auto", "cpu", "cuda"]))]
CHANGES = "settings of preset, augmentation or system: batch=64 mixup=0 validation=0.2 channels=64"
Settings = Annotated[list[str], how(CHANGES, metavar="NAME=VALUE")]
Seeds = Annotated[
    list[int], what("one or more; each fits every fold once", min=0, max=LARGEST, metavar="SEED")
]
PROMISE = "target share of cries whose prediction set has the true label"
Coverage = Annotated[float, what(PROMISE, parser=share(ends=False))]
Protocols = Annotated[list[str], what("what stays together in a fold", parser=one_of(PROTOCOLS))]
SOME = one_of(["all", *list_models()])
Systems = Annotated[list[str], what(f"{SYSTEMS}; or all", parser=SOME, metavar="SYSTEM")]
Checkpoint = Annotated[bool, where_to("finally fit on everything and save the weights")]
Private = Annotated[bool, on_hub("visible only to its owner", "--private")]
EVERY = one_of((*DATASETS, *TABLES), or_file=True)
PRECISIONS = one_of(["auto", "float32", "bfloat16"])
USUAL = "best; wide for corpora of one rate >= 16 kHz; features for feature-mlp"


@dataclass(frozen=True, kw_only=True)
class FittingOptions(CorpusOptions):
    """The training options that ``fit`` and ``grid`` share."""

    preset: Annotated[
        str | None,
        how(f"{', '.join(PRESETS)}; default: {USUAL}", parser=one_of(PRESETS), metavar="PRESET"),
    ] = None
    start_from: Annotated[
        str | None, how("start from its weights, except the classifier", metavar="CHECKPOINT")
    ] = None
    epochs: Annotated[int | None, how("of each fit", min=1, max=LARGEST)] = None
    set: Settings = ()
    precision: Annotated[str, how("of the model", parser=PRECISIONS)] = "auto"
    deterministic: Annotated[
        bool, how("reproducible, on CUDA or with the same number of threads", "--deterministic")
    ] = False
    device: Device = "auto"
    out: Annotated[Path, where_to("for results, states and checkpoints")] = Path("runs")
    resume: Annotated[bool, where_to("resume an interrupted fit after its last epoch")] = True
    checkpoint: Checkpoint = True
    save_folds: Annotated[bool, where_to("save each fold's weights", "--save-folds")] = False
    track: Annotated[bool, where_to("curves: tensorboard --logdir OUT/curves", "--track")] = False


@dataclass(frozen=True, kw_only=True)
class FitOptions(FittingOptions):
    """Cross-validate systems on a corpus, then train each on all of it and save a checkpoint.

    A corpus with its own test part is tested on that alone. What is already in --out is not trained
    again, so the same command resumes after a crash.
    """

    system: Systems
    dataset: Annotated[str, what(f"one of {WITH_TABLES}; or {A_FILE}", parser=EVERY)]
    protocol: Annotated[str, what("kept together in a fold", parser=one_of(PROTOCOLS))] = "baby"
    folds: Annotated[
        int | None,
        what(f"default: {FOLDS}, or just the corpus's own test part", min=2, max=LARGEST),
    ] = None
    outer_fold: Annotated[
        int | None,
        what(
            "nested cross-validation: use only the training part of this fold, from 0",
            min=0,
            max=LARGEST,
        ),
    ] = None
    inner_folds: Annotated[int, what("of an --outer-fold", min=2)] = 2
    permute_labels: Annotated[
        int | None,
        what("permute them among groups with this seed; no checkpoint", min=0, max=LARGEST),
    ] = None
    seeds: Seeds = (0,)
    coverage: Coverage = PROMISED
    teacher: Annotated[
        str | None, from_teacher("folder or Hub repository of the teacher", metavar="CHECKPOINT")
    ] = None
    teacher_weight: Annotated[
        float, from_teacher("its weight where there is a label", parser=share(ends=True))
    ] = 0.5
    unlabelled: Annotated[
        str | None,
        from_teacher("data for the teacher to label", parser=one_of(DATASETS, or_file=True)),
    ] = None
    publish: Annotated[
        str | None, on_hub("send the final checkpoint there", metavar="USER/NAME")
    ] = None
    private: Private = False

    @property
    def reports_only(self) -> bool:
        """Return whether the fit only gives scores, as with --outer-fold, and no checkpoint."""
        return self.outer_fold is not None or self.permute_labels is not None
