"""Read a folder of one baby's labelled recordings, and report what can be learnt of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import inf, nan
from pathlib import Path

from tqdm import tqdm

from cry_model.audio import AudioError
from cry_model.personal import PersonalError, PersonalModel, Report, context_features
from cry_model.prediction import Prediction

TABLE = "labels.csv"
COLUMNS = ("file", "label", "time")
HOURS = ("fed", "slept", "changed")
"""Optional columns: hours since the last feed, sleep and diaper."""
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class LabelledCry:
    """A row of the table."""

    path: Path
    label: str
    time: float  # s on the clock of the home
    hours: tuple[float, ...]  # since feed, sleep and diaper; NaN where unknown


@dataclass(frozen=True)
class FolderReport:
    """What the sounds of a folder tell, and what the hours since feed, sleep and diaper do."""

    sound: Report
    context: Report | None  # None without such columns
    passed_over: tuple[str, ...]  # why a recording is not counted


def read_labels(folder: Path) -> list[LabelledCry]:
    """Return the rows of ``folder/labels.csv`` in the order of time.

    Times are ISO 8601 (2026-03-01T04:30); what they say of a time zone is passed over, since days
    are those of the home.

    Raises:
        PersonalError: if there is no such table, or a row cannot be read.
    """
    table = folder / TABLE
    try:
        text = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError):
        raise PersonalError(
            f"There is no table {table} in UTF-8; please make one with the columns "
            f"{', '.join(COLUMNS)}."
        ) from None
    found, reader = [], csv.DictReader(text)
    if missing := set(COLUMNS) - set(reader.fieldnames or ()):
        raise PersonalError(f"{table} has no column {', '.join(sorted(missing))}; please add it.")
    for row in reader:
        try:
            when = datetime.fromisoformat(row["time"].strip()).replace(tzinfo=None) - EPOCH
            hours = tuple(float(row.get(name) or nan) for name in HOURS)
            name, label = row["file"].strip(), row["label"].strip()
            if not name or not label or any(abs(h) == inf or h < 0 for h in hours):
                raise ValueError
        except (ValueError, AttributeError, TypeError):
            raise PersonalError(
                f"{table}, line {reader.line_num}: please give a file, a label, a time such as "
                "2026-03-01T04:30, and hours from 0 on."
            ) from None
        found.append(LabelledCry(folder / name, label, when.total_seconds(), hours))
    return sorted(found, key=lambda cry: cry.time)


def report_folder(folder: Path, predict: Callable[[str], Prediction]) -> FolderReport:
    """Hear every recording of the table, and test what can be learnt of them.

    Recordings without a cry, and those that cannot be used, are passed over.

    Raises:
        PersonalError: if the table, or what is left of it, cannot be used.
    """
    kept, heard, passed_over = [], [], []
    for cry in tqdm(read_labels(folder), unit="file", disable=None):
        try:
            prediction = predict(str(cry.path))
        except (AudioError, OSError) as error:
            passed_over.append(f"{cry.path}: {error}")
            continue
        if prediction.is_cry is False:
            passed_over.append(f"{cry.path}: no cry is heard in it.")
            continue
        kept.append(cry)
        heard.append(prediction)
    labels, times = [cry.label for cry in kept], [cry.time for cry in kept]
    prior = [prediction.probabilities for prediction in heard]
    sound = PersonalModel.fit([p.embedding for p in heard], labels, times, prior)
    hours = [cry.hours for cry in kept]
    known = any(h == h for row in hours for h in row)
    context = PersonalModel.fit(context_features(hours), labels, times) if known else None
    return FolderReport(sound.report(), context and context.report(), tuple(passed_over))


def describe(found: FolderReport) -> str:
    """Return the report for a terminal."""
    r, lines = found.sound, [*found.passed_over]
    counts = ", ".join(f"{label} {count}" for label, count in r.support.items())
    lines += [
        f"{r.recordings} recordings, {r.cries} cries on {r.days} days: {counts}.",
        f"Always '{r.constant_label}' is right for {r.constant_accuracy:.0%}; balanced accuracy "
        f"of any constant answer {r.chance:.0%}. Left out: one {r.left_out} at a time.",
        "",
        f"{'':12} {'right':>18} {'balanced accuracy':>18} {'p, one look':>12} {'p, any':>8}",
    ]
    rows = {"sound": r.skill, "time of day": r.time_of_day}
    if found.context is not None:
        rows["context"] = found.context.skill
    for name, s in rows.items():
        both = (s.accuracy, s.balanced_accuracy)
        right, balanced = (f"{e.value:.0%} ({e.low:.0%}-{e.high:.0%})" for e in both)
        lines.append(
            f"{name:12} {right:>18} {balanced:>18} {s.permutation_p:12.3f} {s.anytime_p:8.2g}"
        )
    lines += ["", f"Sound: {r}."]
    if found.context is not None:
        lines.append(f"Hours since feed, sleep and diaper: {found.context}.")
    return "\n".join([*lines, "Not a medical device."])
