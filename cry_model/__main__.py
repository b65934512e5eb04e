"""Run ``cry-model`` or ``python -m cry_model``: classify recordings, list the models."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cry_model.audio import AudioError
from cry_model.calibration import one_of
from cry_model.checkpoint import ASSETS, BUNDLED, DEFAULT, CheckpointError, read_config, to_json
from cry_model.classifier import CryClassifier
from cry_model.detector import clock
from cry_model.prediction import CANT_TELL, Prediction
from cry_model.records import percent, percent_interval, tested, words
from cry_model.registry import get_system, table

UNEXPECTED = "This file could not be classified ({}); please give another one, and report it."


def parser() -> argparse.ArgumentParser:
    """Return the command and its options."""
    main = argparse.ArgumentParser(
        "cry-model", description="Classify infant cries; without a command, list the models."
    )
    commands = main.add_subparsers(dest="command")
    commands.add_parser("models", help="list the bundled models, and all systems with their size")
    predict = commands.add_parser("predict", help="classify recordings")
    predict.add_argument("files", nargs="+", metavar="FILE", help="recordings, or films with sound")
    predict.add_argument(
        "--model",
        default=DEFAULT,
        metavar="NAME",
        help="a bundled model (`cry-model models` lists them), a folder with a checkpoint, or a "
        f"repository of the Hugging Face Hub; default: {next(iter(BUNDLED))}",
    )
    predict.add_argument("--revision", help="branch, tag or commit of a Hub repository")
    predict.add_argument(
        "--detector",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="first find out whether and where a baby cries, and classify only the crying",
    )
    predict.add_argument(
        "--anyway", action="store_true", help="give an answer even if no baby seems to cry"
    )
    predict.add_argument("--json", action="store_true", help="print a line of JSON for each file")
    return main


def bundled() -> Iterator[str]:
    """Yield a line for each bundled model: its short name, its system, its labels."""
    yield "Bundled models, for `predict --model`:"
    for name, folder in BUNDLED.items():
        if (ASSETS / folder).is_dir():
            config = read_config(ASSETS / folder)
            labels = ", ".join(map(words, config.labels))
            yield f"  {name:20}{get_system(config.system).title}: {labels}"


def as_text(prediction: Prediction, anyway: bool = False) -> str:
    """Return the answer for a terminal; of what is no cry, no reasons unless they are asked for."""
    heard = list(_detected(prediction))
    if prediction.is_cry is False and not anyway:
        return "\n".join(heard)
    p = replace(prediction, track=None)
    ranked = sorted(p.probabilities.items(), key=lambda item: -item[1])
    lines = [*heard, *_heading(p), *(f"  {words(name):14} {percent(s):>5}" for name, s in ranked)]
    if sentences := [*p.cautions, *_measured(p)]:
        lines += ["", *(f"  {sentence}" for sentence in sentences)]
    return "\n".join([*lines, "  Not a medical device."])


def _detected(prediction: Prediction) -> Iterator[str]:
    """Yield what the detector heard; nothing without one."""
    if (track := prediction.track) is None:
        return
    if not prediction.is_cry:
        found = "does not sound like a baby crying"
        if track.state == "maybe":
            found = "may be a baby crying; the detector is not sure"
        yield (
            f"  This {found} (probability of a cry at most {100 * track.score:.1f}%, and it takes "
            f"{percent(track.threshold)})."
        )
        return
    for cry in prediction.segments:
        named = [words(label) for label in prediction.named_in(cry)]
        like = one_of(named) if named else "can't tell"
        when = f"{clock(cry.start):>7} - {clock(cry.end):>7}"
        yield f"  {when}  a cry ({percent(cry.detector)}): {like}"
    yield ""


def _heading(prediction: Prediction) -> Iterator[str]:
    """Yield what the answer comes down to."""
    answer = prediction.answer
    if answer.reason is not None:
        yield f"  Can't tell: {CANT_TELL[answer.reason]}."
    else:
        like = "like" if prediction.prediction_set else "most like"
        yield f"  Sounds {like} {one_of([words(label) for label in answer.labels])}."


def _measured(prediction: Prediction) -> Iterator[str]:
    """Yield what was measured of the checkpoint, a line a record."""
    if (e := prediction.evaluation) is not None:
        recall = percent_interval(e.metrics["balanced_accuracy"])
        yield (
            f"Balanced accuracy on {tested(e.dataset, e.protocol)}: {recall}; chance level "
            f"{percent(e.chance)}."
        )
    elif (a := prediction.agreement) is not None:
        yield f"Same answer as its teacher, {a.teacher}: {percent_interval(a.agreement)}."
    if (c := prediction.calibration) is not None:
        yield (
            f"{percent(c.promised)} prediction set; measured coverage on "
            f"{tested(c.dataset, c.protocol)}{c.condition}: {percent_interval(c.coverage)}."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 if a file or the checkpoint could not be used."""
    args = parser().parse_args(arguments)
    if args.command != "predict":
        print(*bundled(), "", table(), sep="\n")
        return 0
    try:
        classifier = CryClassifier.from_pretrained(
            args.model, args.revision, detector=args.detector
        )
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that cannot be printed ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    status = 0
    for file in args.files:
        try:
            prediction = classifier.predict(file)
        except Exception as error:  # the other files are answered all the same
            known = isinstance(error, AudioError)
            told = error if known else UNEXPECTED.format(type(error).__name__)
            print(f"{file}: {told}", file=sys.stderr)
            status = 2
            continue
        if args.json:
            print(to_json({"file": file, **prediction.to_dict(args.anyway)}, None))
        else:
            print(f"{file}\n{as_text(prediction, args.anyway)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
