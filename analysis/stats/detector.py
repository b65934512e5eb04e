"""Read what was measured of the cry detector, beside the tagger that taught it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.stats.runs import ResultsError
from cry_model.records import Estimate, percent, words
from cry_model.results import RUN, DamagedFileError, read_record

Row = Mapping[str, str]
NONE = "-"


def read_detector(results: Path) -> dict[str, list[Row]]:
    """Return three tables: totals, kinds of sound, changed cries; empty ones without a run.

    Raise ResultsError if the file is damaged.

    Args:
        results: the results folder.
    """
    for path in sorted((results / "detector").glob(f"*/*/{RUN}")):
        try:
            record = read_record(path)
            return _tables(record["detector"], record.get("external", {}))
        except (DamagedFileError, LookupError, TypeError, ValueError) as error:
            raise ResultsError(f"{path} is damaged ({error}); restore it.") from error
    return {}


def _tables(found: Mapping, external: Mapping[str, float]) -> dict[str, list[Row]]:
    own, theirs = found["alarms_per_hour"]
    totals = [
        ("area under the ROC curve", _interval(found["area"]), _interval(found["tagger_area"])),
        ("cries accepted", _interval(found["accepted"]), "as many"),
        (
            "other sounds accepted",
            _interval(found["false_accepts"]),
            _interval(found["tagger_false_accepts"]),
        ),
        ("false alarms an hour of other sounds", f"{own:.1f}", f"{theirs:.1f}"),
        ("seconds from onset to detection, median", f"{found['delay']:.1f}", NONE),
        *((f"cries of another corpus: {words(k)}", percent(v), NONE) for k, v in external.items()),
    ]
    unheard = [
        (f"{family}, fitted without them", percent(share), NONE)
        for family, share in found["unheard"].items()
    ]
    return {
        "totals": _rows("held-out recordings", totals),
        "kinds": _rows("accepted", [*_pairs(found["kinds"]), *unheard]),
        "conditions": _rows("cries accepted", _pairs(found["conditions"])),
    }


def _rows(head: str, cells: list[tuple[str, str, str]]) -> list[Row]:
    return [{head: name, "detector": own, "YAMNet": theirs} for name, own, theirs in cells]


def _pairs(shares: Mapping[str, tuple[float, float]]) -> list[tuple[str, str, str]]:
    ordered = sorted(shares.items(), key=lambda item: -item[1][0])
    return [(words(name), percent(own), percent(theirs)) for name, (own, theirs) in ordered]


def _interval(estimate: Mapping[str, float]) -> str:
    return str(Estimate(**estimate))
