"""Choose where a fit computes and how exactly, as one Accelerate object."""

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
"""In these, Accelerate keeps one device and one precision for the whole process."""
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def as_found() -> Iterator[None]:
    """Put back, in the end, what a fit changes for the whole process.

    That is the state of torch's and NumPy's generators, deterministic algorithms, cuDNN's
    benchmark, cuBLAS's variable, and what Accelerate keeps. Decorates a function, too.
    """
    states = [(kind, kind._shared_state) for kind in STATES]
    mode, benchmark = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    workspace, cuda = os.environ.get(WORKSPACE), torch.cuda.is_initialized()
    numpy = np.random.get_state()  # noqa: NPY002 (scikit-learn's SVC draws from it)
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else ()):
            yield
    finally:
        if not cuda:  # the seed that it would have begun with
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
    """Ask CUDA for algorithms that give the same result twice, until :func:`as_found` ends.

    CPUs always give it, with the same number of threads.
    """
    os.environ.setdefault(WORKSPACE, ":4096:8")  # cuBLAS reads it at its start
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def same_threads(before: int | None, now: int | None, what: str) -> None:
    """Warn where what goes on was begun with other threads: they decide the last bit of a sum.

    It goes on all the same: the difference is one of rounding, and the work of a night is not. None
    is an unknown number, or a GPU. Raise DataError if determinism was asked for.
    """
    if before is None or now is None or before == now:
        return
    sentence = (
        f"{what} was begun with torch's number of threads at {before}, and it is {now} now: the "
        "weights are not the same to the bit as without the break."
    )
    if torch.are_deterministic_algorithms_enabled():
        raise DataError(f"{sentence} Set OMP_NUM_THREADS={before}, or leave --deterministic out.")
    tqdm.write(f"{sentence} With OMP_NUM_THREADS={before} they are.", file=sys.stderr)


def of_main(accelerator: Accelerator, compute: Callable[[], Result]) -> Result:
    """Return what the first process computes, or the error that it ends with, in all of them."""
    if accelerator.num_processes == 1:
        return compute()
    found = [None, None]
    if accelerator.is_main_process:
        try:
            found[0] = compute()
        except Exception as error:  # the others must not wait for an answer that never comes
            found[1] = error
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    return found[0]


def supports_bfloat16(device: str) -> bool:
    """Return whether bf16 is quicker than float32 there: by hardware, not by emulation."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def make_accelerator(
    device: str = "auto", precision: str = "auto", curves: Path | None = None
) -> Accelerator:
    """Open the processes and the device to fit on; several of them do not disturb each other.

    "auto" is CUDA where there is one, and bfloat16 where the hardware has it. ``curves`` is a
    folder for TensorBoard's files. Raise DataError if CUDA or TensorBoard is asked for and missing.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DataError("There is no CUDA device here; use --device cpu.")
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    if curves is not None and not is_tensorboard_available():
        raise DataError("--track needs the package 'tensorboard': pip install tensorboard.")
    for kind in STATES:  # a new one; an earlier accelerator keeps its own
        kind._shared_state = {}
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if precision == "bfloat16" else "no",
        log_with=None if curves is None else "tensorboard",
        project_dir=curves,
    )
