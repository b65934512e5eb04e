"""Define FeatureMLP, the classical baseline: an ensemble on 26 clip-level acoustic features."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cry_model.declared import Classes, Share, declared
from cry_model.networks.attention import AttentionMaps
from cry_model.sound.front_end_config import FEATURES, MELS

RMS, MFCC1 = FEATURES.index("rms"), FEATURES.index("mfcc1")
INPUTS: tuple[str, ...] = tuple(name for name in FEATURES if name != "rms")
"""Inputs of the networks: without the level, which depends on the microphone, not the baby."""


def level_free(features: Tensor) -> Tensor:
    """Remove the level: means over frames (batch, 26) -> (batch, 25), ordered as :data:`INPUTS`.

    A gain of g dB adds sqrt(128) g to MFCC 1 and g to the RMS level. So MFCC 1 less sqrt(128) times
    the level does not depend on the gain, nor do the other inputs, nor the answer.
    """
    level = 20 * features[:, RMS].clamp_min(1e-8).log10()
    without = features.clone()
    without[:, MFCC1] -= math.sqrt(MELS) * level
    return without[:, [i for i in range(len(FEATURES)) if i != RMS]]


FAR = 1e6  # initial limit, which no recording exceeds


class Members(nn.Module):
    """Networks of one shape, in parallel: (batch, inputs) -> (members, batch, classes).

    GELU networks with dropout after every hidden layer. With ``fourier``, the first layer starts as
    random Fourier features (Rahimi and Recht 2007), with frequencies of this standard deviation,
    and is then trained: close to a kernel machine. ``widths``: inputs, hidden widths, classes.
    """

    def __init__(
        self, members: int, widths: tuple[int, ...], fourier: float | None, dropout: float
    ):
        super().__init__()
        self.fourier, self.dropout = fourier is not None, nn.Dropout(dropout)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (width, following) in enumerate(pairwise(widths)):
            last = layer == len(widths) - 2
            scale = math.sqrt(2 / width) * (0.3 if last else 1.0)
            bias = torch.zeros(members, 1, following)
            weight = torch.empty(members, width, following)
            if not weight.is_meta:  # on meta, random draws make torch import its compiler: 1 s
                if layer == 0 and fourier is not None:
                    scale, bias = fourier, 2 * math.pi * torch.rand(members, 1, following)
                weight.normal_().mul_(scale)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the logits; (members, batch, inputs) gives each member a batch of its own."""
        x = inputs
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer == 1 and self.fourier:
                x = self.dropout(math.sqrt(2) * x.cos())
            elif layer:
                x = self.dropout(nn.functional.gelu(x))
            x = x @ weight + bias
        return x


class FeatureMLP(nn.Module):
    """Features (batch, 26, frames) -> log of the members' mean probabilities (batch, classes).

    Half of the members are GELU networks with two hidden layers, half have one layer of Fourier
    features. A temperature (Guo et al. 2017) calibrates their mean. Out of distribution, the
    probabilities are mixed with uniform ones, the more the higher the out-of-distribution score.

    ``members`` is even. ``hidden`` is the width of each GELU layer; the Fourier layer has twice as
    many units. ``dropout`` is that of the GELU networks; the others use a third of it.
    """

    @declared
    def __init__(
        self,
        num_classes: Classes,
        num_bands: Annotated[int, Field(ge=len(FEATURES), le=len(FEATURES))] = len(FEATURES),
        members: Annotated[int, Field(ge=2, le=64)] = 8,
        hidden: Annotated[int, Field(ge=1, le=4096)] = 256,
        dropout: Share = 0.3,
    ):
        super().__init__()
        if members % 2:
            raise ValueError(f"The number of members must be even, not {members}.")
        size = len(INPUTS)
        self.deep = Members(members // 2, (size, hidden, hidden, num_classes), None, dropout)
        self.kernel = Members(members // 2, (size, 2 * hidden, num_classes), 0.3, dropout / 3)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("precision", torch.zeros(size, size).fill_diagonal_(1))
        self.register_buffer("limit", torch.tensor(FAR))
        self.register_buffer("temperature", torch.tensor(1.0))

    def inputs(self, features: Tensor) -> Tensor:
        """Remove the level and standardise as in the fit: (batch, 26, frames) -> (batch, 25)."""
        return (level_free(features.mean(-1)) - self.mean) / self.scale

    def member_logits(self, inputs: Tensor) -> Tensor:
        """Map (batch, 25) or (members, batch, 25), standardised, to (members, batch, classes)."""
        # An outlier carries no more information than a value at the edge.
        clipped = inputs.clamp(-4, 4)
        parts = clipped.tensor_split(2) if clipped.dim() == 3 else (clipped, clipped)
        return torch.cat([self.deep(parts[0]), self.kernel(parts[1])])

    def log_probabilities(self, inputs: Tensor) -> Tensor:
        """Map standardised (batch, 25) to calibrated (batch, classes), before :meth:`trusted`."""
        mean = self.member_logits(inputs).log_softmax(-1).logsumexp(0)
        return (mean / self.temperature).log_softmax(-1)

    def ood_score(self, inputs: Tensor) -> Tensor:
        """Return the out-of-distribution score of standardised (batch, 25), (batch,): Mahalanobis
        distance over its 97.5 % quantile of held-out recordings; above 1 is out of distribution."""
        return distance(inputs, self.precision) / self.limit

    def forward(
        self, features: Tensor, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, AttentionMaps]:
        inputs = self.inputs(features)
        logits = self.answer(inputs)
        if not return_attention:
            return logits
        return logits, AttentionMaps(ood_score=self.ood_score(inputs), embedding=inputs)

    def answer(self, inputs: Tensor) -> Tensor:
        """Map standardised (batch, 25) to logits (batch, classes), flatter out of distribution."""
        return self.trusted(self.log_probabilities(inputs), inputs)

    def trusted(self, log_probabilities: Tensor, inputs: Tensor) -> Tensor:
        """Mix probabilities with uniform ones as the out-of-distribution score rises from 1 to 2.

        Log-probabilities (batch, classes) and standardised (batch, 25) -> log-probabilities.
        """
        trust = (2 - self.ood_score(inputs)).clamp(0, 1)[:, None]
        equal = 1 / log_probabilities.shape[-1]
        return (trust * log_probabilities.exp() + (1 - trust) * equal).log()

    def contributions(self, features: Tensor, label: int, steps: int = 64) -> Tensor:
        """Attribute the log-probability of ``label`` to each input, by integrated gradients.

        Source: Sundararajan et al. 2017, with the average recording as the baseline. The
        attributions sum to the difference in log-probability between ``features``
        (batch, 26, frames) and the baseline. Return (batch, 25), in the order of :data:`INPUTS`.
        """
        with torch.inference_mode(False), torch.enable_grad():
            end = self.inputs(features.clone()).detach()
            shares = (torch.arange(steps, device=end.device) + 0.5) / steps
            points = (shares[:, None, None] * end).flatten(0, 1).requires_grad_()
            total = self.log_probabilities(points)[:, label].sum()
            (gradient,) = torch.autograd.grad(total, points)
        return gradient.view(steps, *end.shape).mean(0) * end


def distance(inputs: Tensor, precision: Tensor) -> Tensor:
    """Return the Mahalanobis distance of standardised inputs, (batch, 25) -> (batch,)."""
    return ((inputs @ precision) * inputs).sum(-1).clamp_min(0).sqrt()
