"""Where a fit computes and how exactly, as one Accelerate object."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, is_tensorboard_available

from train.corpus import DataError

Result = TypeVar("Result")


def of_main(accelerator: Accelerator, compute: Callable[[], Result]) -> Result:
    """What the first process computes, or the error that it ends with, in all of them."""
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
    """Whether bf16 is quicker than float32 there: by hardware, not by emulation."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def make_accelerator(
    device: str = "auto",
    precision: str = "auto",
    deterministic: bool = False,
    curves: Path | None = None,
) -> Accelerator:
    """The processes and the device to fit on.

    Args:
        device: "cpu", "cuda", or "auto" for CUDA where there is one.
        precision: "float32", "bfloat16", or "auto" for bfloat16 where the hardware has it.
        deterministic: ask CUDA for algorithms that give the same result twice. CPUs always do.
        curves: folder for TensorBoard's files; None writes none.

    Raises:
        DataError: if CUDA is asked for and there is none, or TensorBoard is not installed.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DataError("There is no CUDA device here; use --device cpu.")
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its start
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
    if curves is not None and not is_tensorboard_available():
        raise DataError("--track needs the package 'tensorboard': pip install tensorboard.")
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if precision == "bfloat16" else "no",
        log_with=None if curves is None else "tensorboard",
        project_dir=curves,
    )
