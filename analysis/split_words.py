"""What the tested recordings were to the fits, in a few words for headings and axes."""

from __future__ import annotations

from cry_model.records import group_name


def kept_apart(dataset: str, protocol: str) -> str:
    """Of what nothing was heard in training: "recordings", "babies"; of `clip`, nothing is."""
    name = "recording" if protocol == "recording" else group_name(dataset)
    head, *rest = name.split(" of ")
    plural = f"{head[:-1]}ies" if head.endswith("y") else f"{head}s"
    return " of ".join([plural, *rest])


def on_what(dataset: str, protocol: str) -> str:
    """For a sentence: "babies never heard before"."""
    if protocol == "clip":
        return "pieces of known recordings"
    return f"{kept_apart(dataset, protocol)} never heard before"


def tick(dataset: str, protocol: str) -> str:
    """For an axis, on three short lines: "baby", "new", "babies"."""
    what = (
        "known<br>recordings" if protocol == "clip" else f"new<br>{kept_apart(dataset, protocol)}"
    )
    return f"{protocol}<br>{what}"
