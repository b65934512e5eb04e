"""Run ``cry-model`` or ``python -m cry_model``: classify recordings, list the models."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cry_model.audio import AudioError
from cry_model.calibration import one_of
from cry_model.checkpoint import DEFAULT, CheckpointError, to_json
from cry_model.classifier import CryClassifier
from cry_model.detector import clock
from cry_model.prediction import Prediction
from cry_model.records import percent, percent_interval, tested, words
from cry_model.registry import table

UNEXPECTED = "This file could not be classified ({}); please give another one, and report it."


def parser() -> argparse.ArgumentParser:
    """Return the command and its options."""
    main = argparse.ArgumentParser(
        "cry-model", description="Classify infant cries; without a command, list the models."
    )
    commands = main.add_subparsers(dest="command")
    commands.add_parser("models", help="list the models, their size and cost")
    predict = commands.add_parser("predict", help="classify recordings")
    predict.add_argument("files", nargs="+", metavar="FILE", help="recordings, or films with sound")
    predict.add_argument(
        "--model", default=DEFAULT, help="checkpoint folder or Hub repository (default: bundled)"
    )
    predict.add_argument("--revision", help="branch, tag or commit of a Hub repository")
    predict.add_argument(
        "--detector",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="first tell whether and where a baby cries, and classify only that",
    )
    predict.add_argument(
        "--anyway", action="store_true", help="classify what does not sound like a cry, too"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object a line and file")
    return main


def heading(prediction: Prediction) -> Iterator[str]:
    """Yield what the answer comes down to; nothing where the checkpoint was never calibrated."""
    if prediction.abstain_reason is not None:
        yield f"  Can't tell: {prediction.abstain_reason}."
    elif prediction.prediction_set is not None:
        yield f"  Sounds like {one_of([words(label) for label in prediction.prediction_set])}."


def measured(prediction: Prediction) -> Iterator[str]:
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


def detected(prediction: Prediction) -> Iterator[str]:
    """Return what the detector heard, line by line; nothing without one."""
    if prediction.track is None:
        return
    if not prediction.is_cry:
        found = "does not sound like a baby crying"
        if prediction.track.state == "maybe":
            found = "may be a baby crying, the detector is not sure"
        yield (
            f"  This {found} (probability of a cry at most "
            f"{100 * prediction.track.score:.1f}%, and it takes "
            f"{percent(prediction.track.threshold)})."
        )
        return
    for cry in prediction.segments:
        named = [words(label) for label in prediction.named_in(cry)]
        like = one_of(named) if named else "can't tell"
        when = f"{clock(cry.start):>7} - {clock(cry.end):>7}"
        yield f"  {when}  a cry ({percent(cry.detector)}): {like}"
    yield ""


def as_text(prediction: Prediction, anyway: bool = False) -> str:
    """Return the answer for a terminal; of what is no cry, no reasons unless they are asked for."""
    heard = list(detected(prediction))
    if prediction.is_cry is False and not anyway:
        return "\n".join(heard)
    return "\n".join([*heard, reasons(replace(prediction, track=None))])


def reasons(prediction: Prediction) -> str:
    """Return the set, the probabilities and how far to trust them."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    bars = [f"  {words(label):14} {percent(p):>5}" for label, p in ranked]
    lines = [*heading(prediction), *bars]
    sentences = (*prediction.cautions, *measured(prediction))
    if sentences:
        lines += ["", *(f"  {sentence}" for sentence in sentences)]
    return "\n".join([*lines, "  Not a medical device."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 if a file or the checkpoint could not be used."""
    args = parser().parse_args(arguments)
    if args.command != "predict":
        print(table())
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
        except AudioError as error:
            print(f"{file}: {error}", file=sys.stderr)
            status = 2
            continue
        except Exception as error:  # the other files are answered all the same
            print(f"{file}: {UNEXPECTED.format(type(error).__name__)}", file=sys.stderr)
            status = 2
            continue
        if args.json:
            print(to_json({"file": file, **prediction.to_dict(args.anyway)}, None))
        else:
            print(f"{file}\n{as_text(prediction, args.anyway)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
