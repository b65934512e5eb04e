"""Run ``cry-model`` or ``python -m cry_model``: classify recordings, list the models."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from cry_model.checkpoint import (
    ASSETS,
    BUNDLED,
    DEFAULT,
    INSTALLED,
    PAPER_REFERENCE,
    CheckpointError,
    read_config,
    to_json,
)
from cry_model.classifier import BACKENDS, CryClassifier
from cry_model.detection import clock
from cry_model.many.answering import (
    Answering,
    Who,
    cores,
    in_processes,
    on_ray,
    one_interrupt,
    problem,
)
from cry_model.many.files import Export
from cry_model.many.table import ERROR, FORMATS, NO_FORMATS, Journal, TableError
from cry_model.prediction import CANT_TELL, Prediction
from cry_model.records import counted, either, percent, percent_interval, tested, words
from cry_model.sound.audio import SUFFIXES

REMEMBERED = "The model was fitted on this recording, so this is memory, not skill."
NO_RECORDING = "There are no recordings in this folder; please name another."
INSTEAD = "The default model does not know such recordings, so another answers."


def parser() -> argparse.ArgumentParser:
    """Build the argument parser."""
    main = argparse.ArgumentParser(
        "cry-model", description="Classify infant cries; without a command, list the models."
    )
    commands = main.add_subparsers(dest="command")
    commands.add_parser("models", help="list the bundled models, and all systems with their size")
    predict = commands.add_parser("predict", help="classify recordings")
    predict.add_argument(
        "files",
        nargs="+",
        metavar="FILE_OR_FOLDER",
        help="recordings, videos with sound, or folders",
    )
    predict.add_argument(
        "--model",
        metavar="NAME",
        help=f"a bundled model ({', '.join(INSTALLED)}), a checkpoint folder, or a Hub "
        "repository (user/name); by default the first bundled one that knows such recordings",
    )
    predict.add_argument("--revision", help="branch, tag or commit of a Hub repository")
    predict.add_argument(
        "--detector",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="first find out whether and where a baby cries, and classify only the crying",
    )
    predict.add_argument(
        "--backend",
        choices=BACKENDS,
        default=BACKENDS[0],
        help="onnx uses the files written by `python -m train export`, without torch; --model "
        "names their folder",
    )
    predict.add_argument("--json", action="store_true", help="print one line of JSON per file")
    predict.add_argument(
        "--full", action="store_true", help="with --json: all fields, whatever the answer"
    )
    predict.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER_OR_TABLE",
        help="a folder: write answers.csv there, and for each recording its cries as Audacity "
        "labels and as a Raven selection table; a .csv or .parquet file: write one table, on all "
        "cores; if stopped, the same command resumes",
    )
    predict.add_argument(
        "--ray",
        action="store_true",
        help="with a table: run on the Ray cluster at RAY_ADDRESS, whose nodes need this package "
        "and the same file paths; needs `pip install '.[ray]'`",
    )
    personal = commands.add_parser(
        "personal", help="test whether a model can learn from one baby's labelled cries"
    )
    personal.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="recordings of one baby and labels.csv with file, label, time (2026-03-01T04:30), "
        "optional fed, slept, changed (hours since); or a diary saved by the page",
    )
    personal.add_argument(
        "--model", default=DEFAULT, metavar="NAME", help="embedding model, as for predict"
    )
    return main


def bundled() -> Iterator[str]:
    """Yield a line for each bundled model: its short name, its system, its labels."""
    from cry_model.networks.registry import get_system

    yield "Bundled models, for `predict --model`:"
    for name in INSTALLED:
        config = read_config(ASSETS / BUNDLED[name])
        labels = ", ".join(map(words, config.labels))
        yield f"  {name:20}{get_system(config.system).title}: {labels}"


def as_text(prediction: Prediction) -> str:
    """Format the answer for a terminal; without probabilities if it names no label."""
    p, answer = prediction, prediction.answer
    lines = [*_detected(p)]
    if answer.kind == "not_a_cry":
        return "\n".join(lines)
    lines.append(f"  {_heading(p)}")
    if answer.labels:
        ranked = sorted(p.probabilities.items(), key=lambda item: -item[1])
        lines += [f"  {words(name):14} {percent(share):>5}" for name, share in ranked]
    notes = [*([REMEMBERED] if p.remembered else []), *([INSTEAD] if p.fallback else [])]
    if sentences := [*notes, *p.cautions, *_measured(p)]:
        lines += ["", *(f"  {sentence}" for sentence in sentences)]
    return "\n".join([*lines, "  Not a medical device."])


def _detected(prediction: Prediction) -> Iterator[str]:
    """Yield lines on what the detector found; none without a detector."""
    if (track := prediction.track) is None:
        return
    if not prediction.is_cry:
        found = "does not sound like a baby crying"
        if track.state == "maybe":
            found = "may be a baby crying: go closer and record five seconds more"
        yield (
            f"  This {found} (probability of a cry at most {100 * track.score:.1f}%; a cry needs "
            f"{percent(track.threshold)})."
        )
        return
    for cry in prediction.segments:
        named = prediction.named_in(cry)
        like = either(named) if named else "can't tell"
        when = f"{clock(cry.start):>7} - {clock(cry.end):>7}"
        yield f"  {when}  a cry ({percent(cry.detector)}): {like}"
    yield ""


def _heading(prediction: Prediction) -> str:
    answer = prediction.answer
    if answer.reason is not None:
        return f"Can't tell: {CANT_TELL[answer.reason]}."
    like = "like" if prediction.prediction_set else "most like"
    sounds = "If it is a cry, it sounds" if answer.kind == "maybe_cry" else "Sounds"
    return f"{sounds} {like} {either(answer.labels)}."


def _measured(prediction: Prediction) -> Iterator[str]:
    """Yield a line per measurement of the checkpoint; on sets only if the answer names labels."""
    if (e := prediction.evaluation) is not None:
        recall = percent_interval(e.metrics["balanced_accuracy"])
        yield (
            f"Balanced accuracy on {tested(e.dataset, e.protocol)}: {recall}; chance level "
            f"{percent(e.chance)}."
        )
    elif (a := prediction.agreement) is not None:
        yield f"Same answer as its teacher, {a.teacher}: {percent_interval(a.agreement)}."
    if (c := prediction.calibration) is not None and prediction.answer.labels:
        yield (
            f"{percent(c.promised)} prediction set; measured coverage on "
            f"{tested(c.dataset, c.protocol)}{c.condition}: {percent_interval(c.coverage)}."
        )


def recordings(named: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the path of each file, and its path relative to the folder that was named.

    Of a folder, yield the files in it with a suffix of audio or video, sorted by path.
    """
    for name in named:
        folder = Path(name)
        if not name or not folder.is_dir():
            yield name, folder.name
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.is_dir():
                yield str(path), str(path.relative_to(folder))


SYSTEMS_NOTE = """Inputs of 13 MFCC x 250 frames (5 s), six classes; feature-mlp has 26 features,
whose own cost is not counted. The paper does not state the inputs behind its figures."""


def systems() -> str:
    """Format a table of all systems with six classes and 13 MFCC, beside the paper's figures."""
    from cry_model.networks.registry import MEBI, build_model, get_system, list_models, measure

    paper = json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["systems"]
    lines = [f"{'system':37}  parameters / 2^20  paper  multiply-adds, 5 s    paper"]
    for name in list_models():
        cost, stated = measure(build_model(name), get_system(name).num_bands), paper.get(name, {})
        size, giga = stated.get("parameters_mebi"), stated.get("flops_giga")
        lines.append(
            f"{name:37}  {cost.parameters / MEBI:17.2f}  {size or '-':>5}  "
            f"{cost.multiply_adds / 1e9:16.2f} G  {f'{giga:.2f} G' if giga else '-':>7}"
        )
    return "\n".join(lines) + "\n\n" + SYSTEMS_NOTE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 2 if a file or the checkpoint cannot be used, 1 if standard output
    was closed by its reader."""
    try:
        status = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # Python would flush the rest at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def run(arguments: Sequence[str] | None) -> int:
    """Run one command; see :func:`main`."""
    args = (asked := parser()).parse_args(arguments)
    if args.command == "personal":
        return personal(args)
    if args.command != "predict":
        print(*bundled(), "", systems(), sep="\n")
        return 0
    if args.full and not args.json:
        asked.error("--full needs --json; add it, or leave --full out")
    table = args.out is not None and args.out.suffix.lower() in FORMATS and not args.out.is_dir()
    if args.out is not None and args.out.suffix.lower() in NO_FORMATS:
        asked.error(f"--out cannot write {args.out.suffix}; give .csv, .parquet or a folder")
    if table and args.json:
        asked.error("--json does not go with a table; leave it out, or name a folder for --out")
    if args.ray and not table:
        asked.error("--ray needs --out with a .csv or .parquet file")
    if args.ray and find_spec("ray") is None:
        asked.error("--ray needs Ray; install it with `pip install '.[ray]'`")
    names = (args.model,) if args.model else INSTALLED
    who = Who(names, args.revision, args.detector, args.backend)
    try:
        answering = who.load()
        if table:
            del answering  # each process loads its own
            return write_table(args, who)
        export = None if args.out is None else Export(args.out)
    except (CheckpointError, TableError) as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        told = f"--out {args.out} cannot be written ({error.strerror})"
        print(f"{told}; please name another one.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command resumes.", file=sys.stderr)
        return 130
    if isinstance(sys.stdout, io.TextIOWrapper):  # unprintable names must not abort
        sys.stdout.reconfigure(errors="backslashreplace")
    return predict(args, answering, export)


def personal(args: argparse.Namespace) -> int:
    """Report what one baby's cries teach; return 2 if they, or the checkpoint, cannot be used."""
    # pandas imports slowly
    from cry_model.one_baby.labelled import PersonalError, describe, report_diary, report_folder

    try:
        if args.folder.is_file():
            found = report_diary(args.folder)
        else:
            found = report_folder(args.folder, CryClassifier.from_pretrained(args.model).predict)
    except (CheckpointError, PersonalError) as error:
        print(error, file=sys.stderr)
        return 2
    print(describe(found))
    return 0


def predict(args: argparse.Namespace, answering: Answering, export: Export | None) -> int:
    """Classify every file; return 2 if one cannot be used, or if there is none."""
    files = list(recordings(args.files))
    if not files:
        print(NO_RECORDING, file=sys.stderr)
        return 2
    bad = 0
    for file, within in tqdm(files, unit="file", disable=len(files) == 1 or None):
        try:
            name, prediction = answering(file)
            if export is not None:
                export.write(within, file, name, prediction)
        except Exception as error:  # continue with the other files
            tqdm.write(f"{file}: {problem(error)}", file=sys.stderr)
            bad += 1
            if export is not None:
                with suppress(OSError):  # such as a full disk
                    export.refuse(file, problem(error))
            continue
        if args.json:
            told = {"file": file, "model": name, **prediction.to_dict(args.full)}
            tqdm.write(to_json(told, None), file=sys.stdout)
        elif export is None:
            tqdm.write(f"{file}\n{as_text(prediction)}", file=sys.stdout)
    if export is not None and not args.json:
        print(f"Answers, labels and selection tables are in {export.folder}.")
        print(f"{counted(len(files), 'recording')}, {bad} without an answer.")
    return 2 if bad else 0


def write_table(args: argparse.Namespace, who: Who) -> int:
    """Classify every file not yet in the journal, and write the table; return 2 if one fails.

    Raise TableError or OSError if no table can be written; finished answers are kept.
    """
    named = list(dict.fromkeys(file for file, _ in recordings(args.files)))
    if not named:
        raise TableError(NO_RECORDING)
    with one_interrupt(), Journal(args.out, asdict(who)) as journal:
        files = [file for file in named if file not in journal.done]
        if args.ray:
            rows = on_ray(files, who)
        else:
            rows = in_processes(files, who, min(cores(), len(files)))
        done = len(named) - len(files)
        with closing(rows):
            for row in tqdm(rows, unit="file", total=len(named), initial=done, disable=None):
                journal.add(row)
                if ERROR in row:
                    tqdm.write(f"{row['file']}: {row[ERROR]}", file=sys.stderr)
    count, bad = journal.finish()
    print(f"{args.out}: {counted(count, 'recording')}, {bad} without an answer.")
    return 2 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
