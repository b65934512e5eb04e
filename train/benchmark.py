"""Pieces a second of our loop beside those of the usual recipe, on one machine in one run.

The usual recipe is a DataLoader with a worker a core that takes the MFCC of one item after the
other, and float32. It is spared the reading of files: both find the sound decoded in memory. Both
train the same system on the same 13 MFCC of 5 s pieces, without augmentation. The sound is noise,
as long as Donate-a-Cry; what is in it makes no difference to the time.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from cry_model.frontend import FrontEnd
from cry_model.registry import build_model
from cry_model.torchaudio_compat import import_torchaudio
from train.bank import Bank
from train.clips import Clips
from train.corpus import Item
from train.loop import MAX_NORM, Dice, step_loss
from train.presets import PAPER, Preset

CLASSES, CLIPS, SECONDS = 5, 457, 7.0
FULL_LENGTH = replace(PAPER.front_end, min_seconds=PAPER.front_end.piece_seconds)


@dataclass(frozen=True)
class Throughput:
    """What one run measured: medians over the rounds, in pieces a second.

    Attributes:
        ours: as ``fit`` trains, in the precision that it would choose.
        ours_float32: the same in float32; the rest of the gain is the precision's.
        usual: a DataLoader that takes the MFCC item by item, float32.
        ratio: ours over usual.
    """

    system: str
    batch: int
    device: str
    precision: str
    workers: int
    threads: int
    torch: str
    rounds: int
    ours: float
    ours_float32: float
    usual: float
    ratio: float


class ItemByItem(Dataset):
    """A random crop of one clip, its MFCC and its label: what a worker of the usual recipe does."""

    def __init__(self, clips: Clips):
        self.clips, c = clips, FULL_LENGTH
        self.length = round(c.piece_seconds * c.sample_rate)
        self.mfcc = import_torchaudio().transforms.MFCC(
            c.sample_rate,
            c.num_bands,
            melkwargs={
                "n_fft": c.fft, "win_length": c.window, "hop_length": c.hop,
                "n_mels": c.num_filters, "f_min": c.low_hz, "f_max": c.high_hz,
            },
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.clips.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        wave = self.clips.waveforms[index]
        start = int(torch.randint(len(wave) - self.length + 1, ()))
        features = self.mfcc(wave[start : start + self.length])
        return features[:, : self.length // FULL_LENGTH.hop], self.clips.labels[index]


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def noise() -> Clips:
    """As many clips as Donate-a-Cry has, as long."""
    rng = torch.Generator().manual_seed(0)
    length = round(SECONDS * FULL_LENGTH.sample_rate)
    waves = tuple(torch.randn((CLIPS, length), generator=rng))
    names = [str(i) for i in range(CLIPS)]
    items = tuple(Item(Path(n), str(i % CLASSES), n, n, n) for i, n in enumerate(names))
    facts = (SECONDS,) * CLIPS, (FULL_LENGTH.sample_rate,) * CLIPS
    return Clips(items, torch.arange(CLIPS) % CLASSES, *facts, waves, {})


def our_steps(
    system: str, clips: Clips, preset: Preset, accelerator: Accelerator, float32: bool = False
) -> Iterator[int]:
    """Trains for ever, a batch at a time, as :func:`train.loop.fit` does; yields its size."""
    device = accelerator.device
    front_end = FrontEnd(preset.front_end).to(device)
    bank, dice = Bank(clips, CLASSES, preset.balance, device), Dice(0, 0, device)
    model = build_model(system, CLASSES, preset.front_end.num_bands).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), fused=device.type == "cuda")
    if not float32:  # it is Accelerate that casts
        model, optimiser = accelerator.prepare(model, optimiser)
    while True:
        loss = step_loss(model, front_end, bank, None, preset, dice, accelerator)
        optimiser.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimiser.step()
        yield preset.batch


def usual_steps(
    system: str, clips: Clips, batch: int, device: torch.device, workers: int
) -> Iterator[int]:
    """Trains for ever the usual way."""
    loader = DataLoader(
        ItemByItem(clips), batch, shuffle=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip
    model = build_model(system, CLASSES, FULL_LENGTH.num_bands).to(device).train()
    optimiser = torch.optim.Adam(model.parameters())
    while True:
        for features, labels in loader:
            logits = model(features.to(device, non_blocking=True))
            loss = nn.functional.cross_entropy(logits, labels.to(device, non_blocking=True))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield len(labels)


def pieces_a_second(steps: Iterator[int], seconds: float, wait: Callable[[], None]) -> float:
    """Takes steps for about ``seconds``."""
    wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        count += next(steps)
    wait()
    return count / (time.perf_counter() - start)


def run_benchmark(
    system: str,
    batch: int,
    accelerator: Accelerator,
    rounds: int = 3,
    seconds: float = 10.0,
) -> Throughput:
    """Measures the recipes in turn, ``rounds`` times, after one round to warm up.

    Args:
        system: which.
        batch: pieces in a step.
        accelerator: device and precision to measure in.
        rounds: medians are over so many.
        seconds: for which each recipe trains in a round.
    """
    device, workers, clips = accelerator.device, cores(), noise()
    preset = replace(PAPER, batch=batch, front_end=FULL_LENGTH)
    recipes = {
        "ours": our_steps(system, clips, preset, accelerator),
        "ours_float32": our_steps(system, clips, preset, accelerator, float32=True),
        "usual": usual_steps(system, clips, batch, device, workers),
    }
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    found: dict[str, list[float]] = {name: [] for name in recipes}
    for number in tqdm(range(rounds + 1), desc=f"Measuring {system}", unit="round"):
        for name, steps in recipes.items():
            speed = pieces_a_second(steps, seconds, wait)
            if number:
                found[name].append(speed)
    speeds = {name: round(statistics.median(values), 1) for name, values in found.items()}
    return Throughput(
        system=system,
        batch=batch,
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        precision="bfloat16" if accelerator.mixed_precision == "bf16" else "float32",
        workers=workers,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        rounds=rounds,
        ratio=round(speeds["ours"] / speeds["usual"], 2),
        **speeds,
    )


def describe(found: Throughput) -> str:
    """For a terminal."""
    facts = asdict(found)
    return "\n".join(f"{name.replace('_', ' '):14} {value}" for name, value in facts.items())
