"""What the process itself would tell of its visitors when something goes wrong."""

from __future__ import annotations

import sys
import traceback
from typing import Any


def leave_no_traces() -> None:
    """Keeps sound out of core dumps, and names of files out of the tracebacks that Gradio prints.

    A crash of the decoder would write the memory to a file; the message of an error may repeat
    what the visitor sent.
    """
    traceback.print_exc = _print_without_message
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _print_without_message(*_: Any, **__: Any) -> None:
    """Prints where the current exception arose, and its type."""
    kind, _, place = sys.exc_info()
    if kind is not None:
        told = "".join(traceback.format_tb(place))
        print(f"Traceback (most recent call last):\n{told}{kind.__name__}", file=sys.stderr)
