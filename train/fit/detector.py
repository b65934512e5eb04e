"""Fit a detector on windows that a tagger has labelled, in batches of cries and other sounds.

Where in a recording a cry is, and what else is heard, the teacher says (:mod:`train.data.tagger`):
a window of a cry is one that it takes for one, in a recording labelled as a cry. A second output of
the model learns the teacher's groups of sounds as well (multi-task); it is dropped at the end. Half
of the batch are cries, changed in speed, length and level, with other sounds under half of them;
the other half are other sounds, the more often the more they resemble a cry to the model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as binary_cross_entropy
from tqdm import tqdm

from cry_model.frontend import FrontEnd, resample
from train.data.augmentation import augment_features, augment_waveforms, degrade, uniform
from train.data.clips import Clips
from train.data.corpus import DataError
from train.data.tagger import GROUPS, RATE, STEP
from train.fit.predict import TrainingError
from train.fit.presets import Preset
from train.fit.state import Weights
from train.fit.trainer import MAX_NORM, schedule

SECONDS = (1.0, 2.0)  # of the windows, in turns
CRY_SPEED, OTHER_SPEED = (0.75, 1.7), (0.6, 1.8)
SAME_SPEED = 0.4  # share of the half batches that keep theirs
SNR_DB = (-6.0, 20.0)  # of what lies above what is mixed in
MIXED = (0.55, 0.3)  # share of the cries, and of the other sounds, that have a sound under them
SHORT, SHORTEST = 0.4, 0.4  # share of the cries that are cut out of their window; s
AUXILIARY = 0.3  # weight of the teacher's groups in the loss
HEARD, CERTAIN, ABSENT = 0.1, 0.3, 0.005  # the teacher's probability of a cry
QUIET = 2e-3  # of a recording's peak: nothing is heard in a window below it
SHARES = {"effects": 3.0, "words": 3.0, "instruments": 1.2, "bells": 0.7, "choir": 0.5,
          "whistles": 0.5, "donateacry": 0.5}  # fmt: skip
SHARE = 0.25
"""How often windows of a kind of other sound are drawn, in relation to each other."""


@dataclass(frozen=True)
class Windows:
    """Places in clips, (places, 2) of clip and teacher's window, with how often to draw each."""

    places: Tensor
    weights: Tensor

    def draw(self, count: int, weights: Tensor, rng: torch.Generator) -> Tensor:
        """Return (count,) random rows of :attr:`places`."""
        distribution = weights.double().cumsum(0)
        at = torch.rand(count, generator=rng, dtype=torch.float64) * distribution[-1]
        return torch.searchsorted(distribution, at, right=True).clamp_max(len(weights) - 1)


class DetectorData:
    """The windows of all clips: which are cries, which are not.

    Args:
        clips: prepared; the label is the first class, another, or None for "ask the teacher".
        tags: the teacher's (windows, groups) for each clip.
        cry: the label of cries.
        kinds: of each clip.
        strict: the kind whose recordings hold a cry for certain where the label says so.

    Raises:
        DataError: if there are no windows of cries, or none of other sounds.
    """

    def __init__(
        self, clips: Clips, tags: Sequence[Tensor], cry: str, kinds: Sequence[str], strict: str
    ):
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
            loud = _loudest(wave, len(rows)) > QUIET * wave.abs().max()
            if item.label == cry:
                level = HEARD if kinds[clip] == strict else CERTAIN
                _add(cries, clip, loud & (heard >= level), 4.0 if kinds[clip] == strict else 1.0)
                if kinds[clip] != strict:
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
        """Return (places, length) samples about the teacher's windows; short clips are repeated."""
        clip, window = places.unbind(1)
        step = STEP * rate / RATE
        jitter = torch.randn(len(clip), generator=rng) * rate / 8
        start = ((window + 1) * step - length / 2 + jitter).long()
        room = (self.lengths[clip] - length).clamp_min(0)
        start = torch.minimum(start.clamp_min(0), room)
        at = (start[:, None] + torch.arange(length)) % self.lengths[clip][:, None]
        return self.samples[self.offsets[clip][:, None] + at]

    def groups(self, places: Tensor) -> Tensor:
        """Return the teacher's (places, groups)."""
        return self.tags[self.first[places[:, 0]] + places[:, 1]]


def _loudest(wave: Tensor, windows: int) -> Tensor:
    """Return the peak of each of the teacher's windows of (samples,), (windows,)."""
    return torch.stack([part.abs().amax() for part in wave.tensor_split(windows)])


def _add(found: list[tuple[int, int, float]], clip: int, where: Tensor, weight: float) -> None:
    """Append the windows of a clip, which together weigh the root of their number."""
    windows = where.nonzero().view(-1).tolist()
    found += [(clip, window, weight / math.sqrt(len(windows))) for window in windows]


def _windows(found: Sequence[tuple[int, int, float]]) -> Windows:
    places = torch.tensor([(clip, window) for clip, window, _ in found])
    return Windows(places, torch.tensor([weight for *_, weight in found]))


class TaggedModel(nn.Module):
    """A model with a second output on its embedding: the teacher's groups."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.groups = nn.Linear(model.classifier.in_features, len(GROUPS))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, bands, T) -> logit of a cry (B,), logits of the groups (B, groups)."""
        embedding = self.model.embedding(features)
        logits = self.model.classifier(embedding)
        return logits[:, 0] - logits[:, 1], self.groups(embedding)


@dataclass(frozen=True)
class Batch:
    """Windows (B, samples), targets (B,), teacher's groups (B, groups), and where those hold."""

    waves: Tensor
    cry: Tensor
    groups: Tensor
    clean: Tensor


def half_batch(
    data: DetectorData, front_end: FrontEnd, others: Tensor, length: int, rng: torch.Generator
) -> Batch:
    """Return as many cries as other sounds, at one speed each.

    Args:
        data: to draw from.
        front_end: levels each window.
        others: (2 n,) rows of ``data.others``: n are targets, n are mixed into cries and targets.
        length: samples of a window.
        rng: of all choices.
    """
    count, rate = len(others) // 2, front_end.config.sample_rate
    rows = data.cries.draw(count, data.cries.weights, rng)
    cries, sounds = data.cries.places[rows], data.others.places[others]
    wave = front_end.to_level(_at_speed(data, cries, length, rate, CRY_SPEED, rng))
    other = front_end.to_level(_at_speed(data, sounds, length, rate, OTHER_SPEED, rng))
    wave = _shortened(wave, rate, rng)
    clean, waves = [], []
    for target, share in zip((wave, other[:count]), MIXED, strict=True):
        under = other[count:][torch.randint(count, (count,), generator=rng)]
        mixed = uniform(0, 1, (count, 1), rng) < share
        gain = 10 ** (-uniform(*SNR_DB, (count, 1), rng) / 20)
        waves.append(target + torch.where(mixed, gain, 0.0) * under)
        clean.append(~mixed.squeeze(1))
    groups = torch.cat([data.groups(cries), data.groups(sounds[:count])])
    cry = torch.cat([torch.ones(count), torch.zeros(count)])
    return Batch(torch.cat(waves), cry, groups, torch.cat(clean))


def _at_speed(
    data: DetectorData,
    places: Tensor,
    length: int,
    rate: int,
    speeds: tuple[float, float],
    rng: torch.Generator,
) -> Tensor:
    """Cut windows and play them faster or slower, pitch and all, by one factor."""
    low, high = math.log(speeds[0]), math.log(speeds[1])
    factor = math.exp(uniform(low, high, (1,), rng).item())
    percent = 5 * round(20 * factor)
    if uniform(0, 1, (1,), rng).item() < SAME_SPEED or percent == 100:
        return data.cut(places, length, rate, rng)
    waves = data.cut(places, length * percent // 100 + 8, rate, rng)
    return resample(waves, percent, 100, 8)[:, :length]


def _shortened(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Silence some of (B, samples) but for a stretch of :data:`SHORTEST` seconds or more."""
    count, length = waves.shape
    kept = uniform(SHORTEST, length / rate, (count, 1), rng) * rate
    start = uniform(0, 1, (count, 1), rng) * (length - kept)
    at, edge = torch.arange(length), 0.05 * rate
    inside = ((at - start) / edge).clamp(0, 1) * ((start + kept - at) / edge).clamp(0, 1)
    return torch.where(uniform(0, 1, (count, 1), rng) < SHORT, waves * inside, waves)


def fit_detector(
    model: nn.Module, front_end: FrontEnd, data: DetectorData, preset: Preset, seed: int, title: str
) -> nn.Module:
    """Fit ``model``, whose first class is the cry, and return the average of its weights.

    Args:
        model: a freshly built ECAPA-TDNN or one with the same ``embedding`` and ``classifier``.
        front_end: levels each piece.
        data: the windows.
        preset: epochs of ``samples_per_epoch`` windows, batch, rates, augmentation.
        seed: of all randomness.
        title: of the progress bar.

    Raises:
        DataError: if a batch is smaller than four windows, or an epoch than a batch.
        TrainingError: if the loss is not a number.
    """
    config, how = front_end.config, preset.augmentation
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    student = TaggedModel(model)
    weights = Weights(student, preset, torch.device("cpu"))
    quarter, batches = require_steps(preset)
    hardness = torch.full((len(data.others.places),), 0.5)
    steps = preset.epochs * batches
    for step in tqdm(range(steps), desc=title, unit="step", mininterval=5):
        length = round(SECONDS[step % len(SECONDS)] * config.sample_rate) // config.hop * config.hop
        usual, hard = data.others.weights, data.others.weights * hardness
        chances = usual / usual.sum() + hard / hard.sum()
        with torch.no_grad():
            rows = [data.others.draw(2 * quarter, chances, rng) for _ in range(2)]
            halves = [half_batch(data, front_end, r, length, rng) for r in rows]
            waves = front_end.to_level(torch.cat([half.waves for half in halves]))
            waves = degrade(augment_waveforms(waves, how, rng), config.sample_rate, how.damage, rng)
            features = augment_features(front_end(waves), how, config.kind == "log-mel", rng)
        target = torch.cat([half.cry for half in halves])
        groups = torch.cat([half.groups for half in halves])
        clean = torch.cat([half.clean for half in halves])
        student.train()
        cry, heard = student(features)
        smooth = target * (1 - preset.label_smoothing) + preset.label_smoothing / 2
        loss = binary_cross_entropy(cry, smooth)
        tagged = binary_cross_entropy(heard, groups, reduction="none").sum(1) * clean
        take_step(loss + AUXILIARY * tagged.mean(), step, steps, student, weights, preset)
        with torch.no_grad():
            found = cry.sigmoid().view(2, 2, quarter)[:, 1]
            for r, p in zip(rows, found, strict=True):
                hardness[r[:quarter]] = 0.5 * hardness[r[:quarter]] + 0.5 * (p + 0.02)
    return weights.outcome.model.eval()


def require_steps(preset: Preset) -> tuple[int, int]:
    """Return a quarter of a batch, and the batches of an epoch.

    Raises:
        DataError: if one is 0.
    """
    quarter, batches = preset.batch // 4, preset.samples_per_epoch // preset.batch
    if not (quarter and batches):
        raise DataError("A detector takes a batch of 4 or more, and samples_per_epoch above it.")
    return quarter, batches


def take_step(
    loss: Tensor, step: int, steps: int, student: nn.Module, weights: Weights, preset: Preset
) -> None:
    """Take one step down the gradient of ``loss``.

    Raises:
        TrainingError: if the loss is not a number.
    """
    if not math.isfinite(loss.item()):
        raise TrainingError("The loss is not a number; try a lower learning rate.")
    weights.optimiser.param_groups[0]["lr"] = preset.learning_rate * schedule(preset, step, steps)
    weights.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(student.parameters(), MAX_NORM)
    weights.optimiser.step()
    if weights.ema is not None:
        weights.ema.update()
