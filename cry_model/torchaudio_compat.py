"""Imports torchaudio where its compiled extension does not load.

torchaudio's wheels link CUDA: beside a CPU-only torch the import raises OSError, beside a torch
built for another CUDA it raises RuntimeError. What this project uses of it is pure Python, so the
extension is then declared absent, which torchaudio itself allows for, and the import repeated.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable

EXTENSION = "torchaudio._extension"


def _needs_extension(function: Callable) -> Callable:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension.")

    return refuse


def import_torchaudio() -> types.ModuleType:
    """torchaudio, with ``functional`` and ``transforms`` usable in any case.

    Raises:
        ImportError: if torchaudio is not installed.
    """
    try:
        return importlib.import_module("torchaudio")
    except (OSError, RuntimeError):
        for name in [n for n in sys.modules if n == "torchaudio" or n.startswith("torchaudio.")]:
            del sys.modules[name]
        absent = types.ModuleType(EXTENSION)
        absent._IS_TORCHAUDIO_EXT_AVAILABLE = False
        absent._IS_ALIGN_AVAILABLE = False
        absent.fail_if_no_align = _needs_extension
        sys.modules[EXTENSION] = absent
        return importlib.import_module("torchaudio")
