"""Choose the device and precision of a fit, as one Accelerate object."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import broadcast_object_list, is_tensorboard_available
from tqdm import tqdm

from train.data.corpus import DataError

Result = TypeVar("Result")
STATES = (AcceleratorState, PartialState, GradientState)
"""Accelerate's process-wide singletons, which fix one device and one precision."""
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def as_found() -> Iterator[None]:
    """Restore on exit all process-wide state that a fit changes.

    This covers torch's and NumPy's random generators, deterministic algorithms, cuDNN's benchmark
    mode, cuBLAS's environment variable and Accelerate's singletons. Also usable as a decorator.
    """
    states = [(kind, kind._shared_state) for kind in STATES]
    mode, benchmark = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    workspace, cuda = os.environ.get(WORKSPACE), torch.cuda.is_initialized()
    numpy = np.random.get_state()  # noqa: NPY002 (scikit-learn's SVC draws from it)
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else ()):
            yield
    finally:
        if not cuda:  # the seed that CUDA would have started with
            torch.cuda.manual_seed_all(torch.initial_seed())
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
        else:
            os.environ[WORKSPACE] = workspace
        for kind, state in states:
            kind._shared_state = state


def ask_for_determinism() -> None:
    """Request deterministic CUDA algorithms, until :func:`as_found` ends.

    CPU results are always reproducible with the same number of threads.
    """
    os.environ.setdefault(WORKSPACE, ":4096:8")  # cuBLAS reads it when it is initialised
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def same_threads(before: int | None, now: int | None, what: str) -> None:
    """Warn if work resumes with another number of threads, which affects the rounding of sums.

    It still resumes, because rounding differences do not justify losing hours of work. None means
    unknown, or a GPU. Raise DataError if determinism was requested.
    """
    if before is None or now is None or before == now:
        return
    sentence = (
        f"{what} was begun with {before} torch threads and goes on with {now}: the weights will "
        "not be bit-identical to those of an unbroken fit."
    )
    if torch.are_deterministic_algorithms_enabled():
        raise DataError(f"{sentence} Set OMP_NUM_THREADS={before}, or leave --deterministic out.")
    tqdm.write(f"{sentence} OMP_NUM_THREADS={before} avoids this.", file=sys.stderr)


def of_main(accelerator: Accelerator, compute: Callable[[], Result]) -> Result:
    """Run ``compute`` in the main process; return its result, or raise its error, in every one."""
    if accelerator.num_processes == 1:
        return compute()
    found = [None, None]
    if accelerator.is_main_process:
        try:
            found[0] = compute()
        except Exception as error:  # broadcast it, or the other processes would wait for ever
            found[1] = error
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    return found[0]


def supports_bfloat16(device: str) -> bool:
    """Return whether the device supports bf16 in hardware, where it is faster than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def make_accelerator(
    device: str = "auto", precision: str = "auto", curves: Path | None = None
) -> Accelerator:
    """Create an Accelerator for a fit; several in one process do not affect each other.

    "auto" selects CUDA if available, and bfloat16 if the hardware supports it. ``curves`` is a
    folder for TensorBoard logs. Raise DataError if CUDA or TensorBoard is requested but missing.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DataError("There is no CUDA device here; use --device cpu.")
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    if curves is not None and not is_tensorboard_available():
        raise DataError("--track needs the package 'tensorboard': pip install tensorboard.")
    for kind in STATES:  # fresh state; an earlier accelerator keeps its own
        kind._shared_state = {}
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if precision == "bfloat16" else "no",
        log_with=None if curves is None else "tensorboard",
        project_dir=curves,
    )
