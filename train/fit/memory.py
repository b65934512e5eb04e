"""Estimate the memory of a training step, and refuse one that does not fit."""

from __future__ import annotations

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from cry_model.registry import AnyConfig
from train.data.corpus import DataError
from train.fit.predict import BATCH

GIB = 2**30
PER_WEIGHT = 20  # bytes: weight, gradient, Adam's two moments, moving average, float32 each
PER_SAMPLE = 28  # bytes: the sample, and int64 indices on the way to it
PER_BIN = 12  # bytes: a complex number and its power


def step_bytes(model: nn.Module, front_end: AnyConfig, batch: int) -> int:
    """Estimate the bytes that a training step takes in float32.

    Args:
        model: on the device "meta", where nothing takes memory.
        front_end: of its input.
        batch: pieces in a step.
    """
    frames = round(front_end.piece_seconds / front_end.hop_seconds)
    samples = round(front_end.piece_seconds * front_end.sample_rate)
    bins = getattr(front_end, "fft", 0) // 2 + 1
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(torch.empty(batch, front_end.num_bands, frames, device="meta"))
    weights = sum(tensor.numel() for tensor in model.parameters())
    for parameter in model.parameters():
        saved.pop(parameter.untyped_storage()._cdata, None)
    return (
        PER_WEIGHT * weights
        + PER_SAMPLE * batch * samples
        + PER_BIN * max(batch, BATCH) * bins * frames
        + sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    )


def require_memory(needed: int, device: torch.device) -> None:
    """Refuse what would fill the memory of a device.

    Raises:
        DataError: if there is less.
    """
    cuda = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if cuda else psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"A step of this fit takes about {needed / GIB:.1f} GiB of memory, and "
            f"{free / GIB:.1f} GiB are free; take a smaller batch, or smaller settings."
        )
