"""Fit a detector on examples of cries and other sounds, in batches that hold as many of each.

A second output of the model learns the teacher's groups of sounds as well (multi-task); it is
dropped at the end. Of the other sounds half are drawn the more often the more they resemble a cry
to the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as binary_cross_entropy
from tqdm import tqdm

from train.data.augmentation import augment_features
from train.data.corpus import DataError
from train.data.tagger import GROUPS
from train.fit.examples import Examples, draw_weighted
from train.fit.predict import TrainingError
from train.fit.presets import Preset
from train.fit.state import Weights, schedule

AUXILIARY = 0.3  # weight of the teacher's groups in the loss


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


class Pool:
    """Examples of one length, drawn from; raise DataError if cries or other sounds are missing."""

    def __init__(self, examples: Examples):
        self.examples = examples
        self.cries = examples.cry.nonzero().view(-1)
        self.others = (~examples.cry).nonzero().view(-1)
        if not (len(self.cries) and len(self.others)):
            raise DataError("There are no windows of cries, or none of other sounds, to fit on.")
        self.hardness = torch.full((len(self.others),), 0.5, dtype=torch.float64)
        self.drawn = self.others[:0]

    def draw(self, half: int, rng: torch.Generator) -> Tensor:
        """Return (2 half,) rows: cries, then other sounds, half of them by how hard they are."""
        chances = 1 / len(self.others) + self.hardness / self.hardness.sum()
        self.drawn = draw_weighted(chances, half, rng)
        cries = self.cries[torch.randint(len(self.cries), (half,), generator=rng)]
        return torch.cat([cries, self.others[self.drawn]])

    def learn(self, found: Tensor) -> None:
        """Take (half,) probabilities of a cry for how hard the last other sounds are."""
        self.hardness[self.drawn] = 0.5 * self.hardness[self.drawn] + 0.5 * (found + 0.02)


def fit_detector(
    model: nn.Module,
    examples: Sequence[Examples],
    preset: Preset,
    accelerator: Accelerator,
    seed: int,
    title: str,
) -> nn.Module:
    """Fit ``model``, whose first class is the cry, and return the average of its weights.

    The model has an ``embedding`` and a ``classifier``; examples of each length are taken in turns.
    Raise DataError if there are no cries or no other sounds, or an epoch holds no batch;
    TrainingError if the loss is not a number.
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
    """Return the batches of an epoch; raise DataError if there is none."""
    if not (batches := preset.samples_per_epoch // preset.batch):
        raise DataError("An epoch holds no batch; samples_per_epoch must be batch or more.")
    return batches
