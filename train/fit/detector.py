"""Make training examples from windows of cries and of other sounds, and fit a detector on them.

The teacher (:mod:`train.data.tagger`) scores each window. A window counts as a cry if its score
reaches a threshold, which depends on the recording's label; recordings labelled as other sounds
have no cries. Half of the examples are cries at random speeds and lengths, more than half of them
with another sound mixed in. The examples are made once and shared by all fits. Only clips of one
fold are mixed, so that a fit can leave out its test fold.

Batches are balanced. An auxiliary output learns the teacher's groups of sounds (multi-task) and is
dropped at the end. Half of the other sounds in a batch are drawn uniformly, half in proportion to
how much they resemble a cry to the model (hard-example mining).
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as binary_cross_entropy
from tqdm import tqdm

from cry_model.checkpoint import write_atomically
from cry_model.sound.frontend import FrontEnd, resample
from train.data.augmentation import (
    Augmentation,
    augment_features,
    augment_waveforms,
    degrade,
    uniform,
)
from train.data.corpus import Clips, DataError
from train.data.datasets.detector import CRY, ESC_CRY, kind_of
from train.data.tagger import GROUPS, RATE, STEP
from train.fit.predict import TrainingError
from train.fit.presets import Preset
from train.fit.state import Weights, schedule

SECONDS = (1.0, 2.0)  # window lengths
COUNT = 30_000  # cries per fold and window length, and as many other sounds
TOGETHER = 25  # examples per class that are made together, each class at one speed
CRY_SPEED, OTHER_SPEED = (0.75, 1.7), (0.6, 1.8)
SAME_SPEED = 0.4  # share of these sets that keep their original speed
SNR_DB = (-6.0, 15.0)  # of an example to the sound mixed in
MIXED = (0.6, 0.35)  # share of the cries, and of the other sounds, with a sound mixed in
SHORT, SHORTEST = 0.4, 0.4  # share of cries that are shortened; shortest length, s
HEARD, CERTAIN, ABSENT = 0.1, 0.3, 0.005  # teacher's P(cry): ESC-10 cry, cry of an upload, no cry
QUIET = 2e-3  # share of a recording's peak; windows below it are silent
SHARES: Mapping[str, float] = {
    "effects": 3.0, "words": 3.0, "instruments": 1.2, "laughter": 1.2, "donateacry_android": 1.0,
    "laughs": 1.0, "mew": 0.8, "bells": 0.7, "choir": 0.5, "whistles": 0.5, "donateacry": 0.5,
    "cats": 0.5, "crowds": 0.5, "horns": 0.5,
}  # fmt: skip
SHARE = 0.25
"""Relative sampling frequency of each kind of other sound; SHARE is that of unlisted kinds."""


@dataclass(frozen=True)
class Windows:
    """Indices (windows, 2) of clip and teacher's window, with sampling weights (windows,)."""

    places: Tensor
    weights: Tensor


def draw_weighted(weights: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Sample (count,) indices into ``weights`` with replacement, in proportion to them."""
    distribution = weights.double().cumsum(0)
    at = torch.rand(count, generator=rng, dtype=torch.float64) * distribution[-1]
    return torch.searchsorted(distribution, at, right=True).clamp_max(len(weights) - 1)


class DetectorData:
    """The windows of all clips, divided into cries and other sounds.

    A label is :data:`CRY`, another, or None if only the teacher decides. Recordings of the kind
    :data:`ESC_CRY` certainly contain a cry. Raise DataError if there are no windows of cries, or
    none of other sounds.
    """

    def __init__(self, clips: Clips, tags: Sequence[Tensor]):
        kinds = [kind_of(item.recording) for item in clips.items]
        self.samples = torch.cat(clips.waveforms)
        self.lengths = torch.tensor([len(wave) for wave in clips.waveforms])
        self.offsets = self.lengths.cumsum(0) - self.lengths
        self.tags = torch.cat(list(tags))
        counts = torch.tensor([len(rows) for rows in tags])
        self.first = counts.cumsum(0) - counts
        cries: list[tuple[int, int, float]] = []
        others: list[tuple[int, int, float]] = []
        for clip, (item, rows, wave) in enumerate(
            zip(clips.items, tags, clips.waveforms, strict=True)
        ):
            heard = rows[:, 0]
            near = nn.functional.max_pool1d(heard[None, None], 3, 1, 1).view(-1)
            peaks = torch.stack([part.abs().amax() for part in wave.tensor_split(len(rows))])
            loud = peaks > QUIET * wave.abs().max()
            if item.label == CRY:
                certain = kinds[clip] == ESC_CRY
                level, weight = (HEARD, 4.0) if certain else (CERTAIN, 1.0)
                _add(cries, clip, loud & (heard >= level), weight)
                if not certain:
                    _add(others, clip, loud & (near < ABSENT), 1.0)
            elif item.label is None:
                _add(cries, clip, loud & (heard >= 0.4), 0.5)
                _add(others, clip, loud & (near < 0.03), 1.0)
            else:
                _add(others, clip, loud & (heard < 0.5), 1.0)
        if not (cries and others):
            raise DataError("There are no windows of cries, or none of other sounds, to fit on.")
        self.cries, self.others = _windows(cries), _windows(others)
        total: Counter[str] = Counter()
        for clip, _, weight in others:
            total[kinds[clip]] += weight
        shares = [SHARES.get(kinds[clip], SHARE) / total[kinds[clip]] for clip, _, _ in others]
        self.others.weights.mul_(torch.tensor(shares))

    def cut(self, places: Tensor, length: int, rate: int, rng: torch.Generator) -> Tensor:
        """Cut (places, length) samples around teacher windows, with jitter; repeat short clips."""
        clip, window = places.unbind(1)
        step = STEP * rate / RATE
        jitter = torch.randn(len(clip), generator=rng) * rate / 8
        start = ((window + 1) * step - length / 2 + jitter).long()
        room = (self.lengths[clip] - length).clamp_min(0)
        start = torch.minimum(start.clamp_min(0), room)
        at = (start[:, None] + torch.arange(length)) % self.lengths[clip][:, None]
        return self.samples[self.offsets[clip][:, None] + at]

    def groups(self, places: Tensor) -> Tensor:
        return self.tags[self.first[places[:, 0]] + places[:, 1]]


def _add(found: list[tuple[int, int, float]], clip: int, where: Tensor, weight: float) -> None:
    """Append n windows of a clip, so that their total weight is ``weight`` times sqrt(n)."""
    windows = where.nonzero().view(-1).tolist()
    found += [(clip, window, weight / math.sqrt(len(windows))) for window in windows]


def _windows(found: Sequence[tuple[int, int, float]]) -> Windows:
    places = torch.tensor([(clip, window) for clip, window, _ in found])
    return Windows(places, torch.tensor([weight for *_, weight in found]))


class Examples(NamedTuple):
    """Examples of one window length, before tilt and masking."""

    features: Tensor  # (rows, bands, frames), float16; in half_batch, waves (rows, samples)
    cry: Tensor  # (rows,) bool
    groups: Tensor  # (rows, groups), the teacher's probabilities
    clean: Tensor  # (rows,) bool: no sound is mixed in, so that ``groups`` is valid
    # (rows, 2), numbers of the clip and of the one mixed in; twice the same if there is none
    clips: Tensor

    def among(self, chosen: Tensor) -> Examples:
        """Return the rows whose clips are all in the mask ``chosen`` (clips,)."""
        kept = chosen[self.clips].all(1)
        return Examples(*(tensor[kept] for tensor in self))


def half_batch(
    data: DetectorData, front_end: FrontEnd, others: Tensor, length: int, rng: torch.Generator
) -> Examples:
    """Return waves of n cries and n other sounds, each class at one speed. Of ``others``, (2 n,)
    rows of ``data.others``, the first n are targets; the rest are mixed into cries and targets."""
    count, rate = len(others) // 2, front_end.config.sample_rate
    rows = draw_weighted(data.cries.weights, count, rng)
    cries, sounds = data.cries.places[rows], data.others.places[others]
    wave = front_end.to_level(_at_speed(data, cries, length, rate, CRY_SPEED, rng))
    other = front_end.to_level(_at_speed(data, sounds, length, rate, OTHER_SPEED, rng))
    wave = _shortened(wave, rate, rng)
    clean, waves, clips = [], [], []
    places = (cries, sounds[:count])
    for own, target, share in zip(places, (wave, other[:count]), MIXED, strict=True):
        below = count + torch.randint(count, (count,), generator=rng)
        mixed = uniform(0, 1, (count,), rng) < share
        gain = 10 ** (-uniform(*SNR_DB, (count,), rng) / 20)
        waves.append(target + torch.where(mixed, gain, 0.0)[:, None] * other[below])
        clean.append(~mixed)
        second = torch.where(mixed, sounds[below, 0], own[:, 0])
        clips.append(torch.stack([own[:, 0], second], 1))
    groups = torch.cat([data.groups(own) for own in places])
    cry = torch.arange(2 * count) < count
    return Examples(torch.cat(waves), cry, groups, torch.cat(clean), torch.cat(clips))


def _at_speed(
    data: DetectorData,
    places: Tensor,
    length: int,
    rate: int,
    speeds: tuple[float, float],
    rng: torch.Generator,
) -> Tensor:
    """Cut windows and change their speed and pitch together, by one random factor for all."""
    low, high = math.log(speeds[0]), math.log(speeds[1])
    factor = math.exp(uniform(low, high, (1,), rng).item())
    percent = 5 * round(20 * factor)
    if uniform(0, 1, (1,), rng).item() < SAME_SPEED or percent == 100:
        return data.cut(places, length, rate, rng)
    waves = data.cut(places, length * percent // 100 + 8, rate, rng)
    return resample(waves, percent, 100, 8)[:, :length]


def _shortened(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Silence some of (B, samples) except for a stretch of at least :data:`SHORTEST` seconds."""
    count, length = waves.shape
    kept = uniform(SHORTEST, length / rate, (count, 1), rng) * rate
    start = uniform(0, 1, (count, 1), rng) * (length - kept)
    at, edge = torch.arange(length), 0.05 * rate
    inside = ((at - start) / edge).clamp(0, 1) * ((start + kept - at) / edge).clamp(0, 1)
    return torch.where(uniform(0, 1, (count, 1), rng) < SHORT, waves * inside, waves)


def make_examples(
    data: DetectorData,
    numbers: Tensor,
    front_end: FrontEnd,
    how: Augmentation,
    seconds: float,
    count: int,
    rng: torch.Generator,
) -> Examples:
    """Return ``count`` cries, rounded up to a multiple of :data:`TOGETHER`, and as many other
    sounds. ``numbers`` (clips,) identify the clips in :attr:`Examples.clips`."""
    config = front_end.config
    length = round(seconds * config.sample_rate) // config.hop * config.hop
    made = []
    for _ in range(-(-count // TOGETHER)):
        others = draw_weighted(data.others.weights, 2 * TOGETHER, rng)
        batch = half_batch(data, front_end, others, length, rng)
        waves = augment_waveforms(front_end.to_level(batch.features), how, rng)
        features = front_end(degrade(waves, config.sample_rate, how.damage, rng)).half()
        rest = batch.cry, batch.groups.half(), batch.clean, numbers[batch.clips]
        made.append((features, *rest))
    return Examples(*map(torch.cat, zip(*made, strict=True)))


def find_examples(
    clips: Clips,
    tags: Sequence[Tensor],
    front_end: FrontEnd,
    how: Augmentation,
    seed: int,
    cache: Path,
    count: int = COUNT,
) -> list[Examples]:
    """Return examples of each length, ``count`` cries per fold, from ``cache`` if possible."""
    found = []
    code = Path(__file__).read_bytes()  # any change to this file invalidates the cache
    facts = clips.fingerprint(), front_end.config, how, seed, count, GROUPS, code
    cache.mkdir(parents=True, exist_ok=True)
    folds = sorted({item.fold for item in clips.items})
    for fold in tqdm(folds, desc="Making examples", unit="fold"):
        path = cache / f"examples-{zlib.crc32(repr((fold, *facts)).encode()):08x}.safetensors"
        if not path.exists():
            chosen = [i for i, item in enumerate(clips.items) if item.fold == fold]
            own = clips.subset(chosen)
            data = DetectorData(own, [tags[i] for i in chosen])
            rng = torch.Generator().manual_seed(100 * seed + folds.index(fold))
            tensors = {}
            for number, seconds in enumerate(SECONDS):
                made = make_examples(
                    data, torch.tensor(chosen), front_end, how, seconds, count, rng
                )
                tensors |= {f"{number}.{name}": t for name, t in made._asdict().items()}
            write_atomically(path, save(tensors))
        found.append(load_file(path))
    return [
        Examples(*(torch.cat([own[f"{n}.{name}"] for own in found]) for name in Examples._fields))
        for n in range(len(SECONDS))
    ]


AUXILIARY = 0.3  # weight of the auxiliary loss on the teacher's groups


class TaggedModel(nn.Module):
    """A model with an auxiliary output on its embedding for the teacher's groups."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.groups = nn.Linear(model.classifier.in_features, len(GROUPS))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, bands, T) to the logit of a cry (B,) and the logits of the groups (B, groups)."""
        embedding = self.model.embedding(features)
        logits = self.model.classifier(embedding)
        return logits[:, 0] - logits[:, 1], self.groups(embedding)


class Pool:
    """Examples of one window length, from which batches are drawn."""

    def __init__(self, examples: Examples):
        self.examples = examples
        self.cries = examples.cry.nonzero().view(-1)
        self.others = (~examples.cry).nonzero().view(-1)
        self.hardness = torch.full((len(self.others),), 0.5, dtype=torch.float64)
        self.drawn = self.others[:0]

    def draw(self, half: int, rng: torch.Generator) -> Tensor:
        """Sample (2 half,) rows: cries, then other sounds, half of these by their hardness."""
        chances = 1 / len(self.others) + self.hardness / self.hardness.sum()
        self.drawn = draw_weighted(chances, half, rng)
        cries = self.cries[torch.randint(len(self.cries), (half,), generator=rng)]
        return torch.cat([cries, self.others[self.drawn]])

    def learn(self, found: Tensor) -> None:
        """Update the hardness of the other sounds last drawn from P(cry), (half,)."""
        self.hardness[self.drawn] = 0.5 * self.hardness[self.drawn] + 0.5 * (found + 0.02)


def fit_detector(
    model: nn.Module,
    examples: Sequence[Examples],
    preset: Preset,
    accelerator: Accelerator,
    seed: int,
    title: str,
) -> nn.Module:
    """Fit ``model``, whose first class is the cry; return it, with EMA weights if enabled.

    It has an ``embedding`` and a ``classifier``; batches alternate between the window lengths.
    Raise DataError if an epoch has no batch; TrainingError if the loss is not finite.
    """
    how, log_mel = preset.augmentation, preset.front_end.kind == "log-mel"
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    student = TaggedModel(model).to(memory_format=torch.channels_last)
    weights = Weights(student, preset, torch.device("cpu"))
    half, steps = preset.batch // 2, preset.epochs * require_steps(preset)
    pools = [Pool(own) for own in examples]
    for step in tqdm(range(steps), desc=title, unit="step", mininterval=5):
        pool = pools[step % len(pools)]
        own, rows = pool.examples, pool.draw(half, rng)
        features = augment_features(own.features[rows].float(), how, log_mel, rng)
        student.train()
        with accelerator.autocast():
            cry, heard = (answer.float() for answer in student(features))
        target, groups = own.cry[rows].float(), own.groups[rows].float()
        smooth = target * (1 - preset.label_smoothing) + preset.label_smoothing / 2
        tagged = binary_cross_entropy(heard, groups, reduction="none").sum(1) * own.clean[rows]
        loss = binary_cross_entropy(cry, smooth) + AUXILIARY * tagged.mean()
        if not math.isfinite(loss.item()):
            raise TrainingError("The loss is not a number; try a lower learning rate.")
        rate = preset.learning_rate * schedule(preset, step, steps)
        weights.step(loss, rate, student, weights.optimiser, accelerator)
        pool.learn(cry[half:].detach().sigmoid().double())
    return weights.outcome.model.eval()


def require_steps(preset: Preset) -> int:
    """Return the number of batches per epoch; raise DataError if it is 0."""
    if not (batches := preset.samples_per_epoch // preset.batch):
        raise DataError("An epoch holds no batch; samples_per_epoch must be batch or more.")
    return batches
