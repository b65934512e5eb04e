"""Read one baby's labelled cries, from a folder or a diary, and report what can be learnt of them.

The page keeps a diary in a parent's browser and exports it as one file: times, labels and a few
numbers per cry, and no sound.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cry_model.declared import require
from cry_model.one_baby.personal import (
    PERMUTATIONS,
    PersonalError,
    PersonalModel,
    Report,
    context_features,
)
from cry_model.prediction import Prediction
from cry_model.sound.audio import AudioError

TABLE = "labels.csv"
COLUMNS = ("file", "label", "time")
HOURS = ("fed", "slept", "changed")
"""Optional columns: hours since the last feed, sleep and diaper; in a diary, kinds of events."""
EPOCH = datetime(1970, 1, 1)
UNKNOWN = "unknown"
"""A parent's answer if the reason of a cry is not known."""
FORGOTTEN = 24.0  # hours; older care events count as unknown
MOST = 2000  # cries
GREATEST = 1e6
WIDEST = 64  # numbers per cry: more would take minutes to fit
LONGEST = 40  # characters of a label
NO_DIARY = "This is not a saved diary; please choose a file that the page saved."


@dataclass(frozen=True)
class LabelledCry:
    """One cry: its label, time, context and embedding."""

    label: str  # its reason; empty if unknown
    time: float  # seconds of local time
    hours: tuple[float, ...]  # since feed, sleep and diaper; NaN where unknown
    embedding: tuple[float, ...] = ()  # from the network ``model``; empty without any
    prior: Mapping[str, float] | None = None  # the general model's probabilities
    model: str = ""


@dataclass(frozen=True)
class Findings:
    """Test results of the sound head and of the context head."""

    sound: Report
    context: Report | None
    passed_over: Sequence[str] = ()  # why each recording was skipped


@dataclass(frozen=True)
class Heads:
    """The two heads of one baby: on the sound, and on the hours since feed, sleep and diaper."""

    sound: PersonalModel
    context: PersonalModel | None  # None where no hours are known

    @classmethod
    def fit(cls, cries: Iterable[LabelledCry]) -> Heads:
        """Fit both to labelled cries; raise PersonalError if no model can be fitted to them."""
        cries = sorted(cries, key=lambda cry: cry.time)
        labels, times = [cry.label for cry in cries], [cry.time for cry in cries]
        prior = [cry.prior for cry in cries if cry.prior is not None]
        told = prior if len(prior) == len(cries) else None
        sound = PersonalModel.fit([cry.embedding for cry in cries], labels, times, told)
        known = any(isfinite(h) for cry in cries for h in cry.hours)
        return cls(sound, PersonalModel.fit(cls.hours(cries), labels, times) if known else None)

    def report(self, permutations: int = PERMUTATIONS) -> Findings:
        """Test both heads."""
        context = self.context and self.context.report(permutations)
        return Findings(self.sound.report(permutations), context)

    @staticmethod
    def hours(cries: Iterable[LabelledCry]) -> NDArray[np.float64]:
        """Return the input features of the context head, (cries, 6)."""
        return context_features([cry.hours for cry in cries])


def read_labels(folder: Path) -> list[tuple[Path, LabelledCry]]:
    """Return the rows of ``folder/labels.csv``, sorted by time.

    Times are ISO 8601 (2026-03-01T04:30); any time zone in them is ignored, since days are those of
    local time. Raise PersonalError if there is no such table, or a row cannot be read.
    """
    if not folder.exists():
        raise PersonalError(f"There is no diary or folder {folder}; check the name.")
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
            hours = tuple(float(row.get(name) or nan) for name in HOURS)
            name, label = row["file"].strip(), row["label"].strip()
            if not name or not label or any(abs(h) == inf or h < 0 for h in hours):
                raise ValueError
            found.append((folder / name, LabelledCry(label, _seconds(row["time"]), hours)))
        except (ValueError, AttributeError, TypeError):
            raise PersonalError(
                f"{table}, line {reader.line_num}: please give a file, a label, a time such as "
                "2026-03-01T04:30, and hours >= 0."
            ) from None
    return sorted(found, key=lambda row: row[1].time)


def _seconds(time: str) -> float:
    """Convert an ISO 8601 time to seconds of local time."""
    return (datetime.fromisoformat(time.strip()).replace(tzinfo=None) - EPOCH).total_seconds()


def report_folder(folder: Path, predict: Callable[[str], Prediction]) -> Findings:
    """Classify every recording of the table, and test what can be learnt from them.

    Recordings without a cry, and those that cannot be used, are skipped. Raise PersonalError if the
    table, or what is left of it, cannot be used.
    """
    heard, passed_over = [], []
    for path, cry in tqdm(read_labels(folder), unit="file", disable=None):
        try:
            prediction = predict(str(path))
        except (AudioError, OSError) as error:
            passed_over.append(f"{path}: {error}")
            continue
        if prediction.is_cry is False:
            passed_over.append(f"{path}: no cry was detected.")
            continue
        found = prediction.embedding
        numbers = () if found is None else tuple(found.tolist())
        heard.append(LabelledCry(cry.label, cry.time, cry.hours, numbers, prediction.probabilities))
    return replace(Heads.fit(usable(heard)).report(), passed_over=passed_over)


def read_diary(document: object) -> list[LabelledCry]:
    """Return the cries of a diary, parsed JSON, sorted by time, at most the last 2,000.

    ``cries`` have ``at`` (ISO 8601) and may have ``was``, ``embedding``, ``prior`` and ``model``;
    ``care`` has ``at`` and ``kind``, one of :data:`HOURS`. Raise PersonalError on anything else.
    """
    try:
        care = sorted((_seconds(event["at"]), str(event["kind"])) for event in document["care"])
        cries = sorted((_seconds(cry["at"]), i) for i, cry in enumerate(document["cries"]))
        return [_cry(document["cries"][i], time, care) for time, i in cries[-MOST:]]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise PersonalError(NO_DIARY) from None


def _cry(cry: Mapping[str, Any], time: float, care: Sequence[tuple[float, str]]) -> LabelledCry:
    label, model = cry.get("was") or "", cry.get("model") or ""
    prior = {str(name): float(p) for name, p in (cry.get("prior") or {}).items()}
    embedding = tuple(map(float, cry.get("embedding") or ()))
    require(isinstance(label, str) and isinstance(model, str) and len(label) <= LONGEST, NO_DIARY)
    require(max(len(embedding), len(prior)) <= WIDEST, NO_DIARY)
    require(all(abs(x) < GREATEST for x in embedding), NO_DIARY)
    require(all(0 <= p <= 1 for p in prior.values()), NO_DIARY)
    since = [
        min((time - t for t, k in care if k == kind and t <= time), default=inf) for kind in HOURS
    ]
    hours = tuple(s / 3600 if s / 3600 <= FORGOTTEN else nan for s in since)
    label = "" if label == UNKNOWN else label
    return LabelledCry(label, time, hours, embedding, prior or None, model)


def usable(cries: Iterable[LabelledCry], model: str = "") -> list[LabelledCry]:
    """Return the cries with a label and an embedding of one width, by one network: by default the
    most frequent."""
    known = [cry for cry in cries if cry.label and cry.embedding]
    kinds = [(cry.model, len(cry.embedding)) for cry in known if cry.model == (model or cry.model)]
    most = max(kinds, key=kinds.count, default=None)
    return [cry for cry in known if (cry.model, len(cry.embedding)) == most]


def report_diary(path: Path) -> Findings:
    """Test what can be learnt from a diary that the page saved; raise PersonalError if nothing."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise PersonalError(f"{path}: {NO_DIARY}") from None
    return Heads.fit(usable(read_diary(document))).report()


def describe(found: Findings) -> str:
    """Format the report for a terminal."""
    r, lines = found.sound, [*found.passed_over]
    counts = ", ".join(f"{label} {count}" for label, count in r.support.items())
    lines += [
        f"{r.recordings} recordings, {r.cries} cries on {r.days} days: {counts}.",
        f"Always '{r.constant_label}' is right for {r.constant_accuracy:.0%}; balanced accuracy "
        f"of any constant answer {r.chance:.0%}. Left out: one {r.left_out} at a time.",
        "",
        f"{'':12} {'right':>18} {'balanced accuracy':>18} {'p, permuted':>12} {'p, anytime':>10}",
    ]
    rows, alone = {"sound": r.skill, "time of day": r.time_of_day}, r.cries == r.days
    if found.context is not None:
        rows["context"] = found.context.skill
    for name, s in rows.items():
        both = (s.accuracy, s.balanced_accuracy)
        right, balanced = (f"{e.value:.0%} ({e.low:.0%}-{e.high:.0%})" for e in both)
        once, always = ("-", "-") if alone else (f"{s.permutation_p:.3f}", f"{s.anytime_p:.2g}")
        lines.append(f"{name:12} {right:>18} {balanced:>18} {once:>12} {always:>10}")
    lines += ["p, permuted: labels permuted within days, valid for one look; p, anytime: for many."]
    lines += ["No day has two cries, so nothing can be permuted."] * alone
    lines += ["", f"Sound: {r}."]
    if found.context is not None:
        lines.append(f"Hours since feed, sleep and diaper: {found.context}.")
    return "\n".join([*lines, "Not a medical device."])
