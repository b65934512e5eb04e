"""ECAPA-TDNN as its authors published it, the baseline.

Source: Desplanques, Thienpondt and Demuynck, "ECAPA-TDNN: Emphasized Channel Attention,
Propagation and Aggregation in TDNN Based Speaker Verification", Interspeech 2020.
Shapes: B batch, C channels, T frames.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cry_model.declared import Bands, Classes, declared
from cry_model.networks.attention import AttentionMaps
from cry_model.networks.layers import Conv1d, ConvReLUBatchNorm, SqueezeExcitation

DILATIONS = (2, 3, 4)
"""Dilation of each of the three blocks, in frames."""


class Res2DilatedConv(nn.Module):
    """Res2Net convolution: from the third on, each channel group first adds the previous output.

    (B, C, T) -> (B, C, T). The first group passes unchanged. Source: Gao et al. 2019.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, scale: int):
        super().__init__()
        if channels % scale:
            raise ValueError(f"{channels} channels cannot be split into {scale} equal groups")
        self.scale = scale
        width = channels // scale
        self.convs = nn.ModuleList(
            ConvReLUBatchNorm(width, width, kernel, dilation) for _ in range(scale - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = x.chunk(self.scale, dim=1)
        outputs = [first]
        for i, (group, conv) in enumerate(zip(rest, self.convs, strict=True)):
            outputs.append(conv(group if i == 0 else group + outputs[-1]))
        return torch.cat(outputs, dim=1)


class SERes2Block(nn.Module):
    """Conv1d -> Res2 dilated convolution -> Conv1d -> SE, with a residual. (B, C, T) -> same."""

    def __init__(self, channels: int, dilation: int, scale: int, se_bottleneck: int):
        super().__init__()
        self.expand = ConvReLUBatchNorm(channels, channels)
        self.res2 = Res2DilatedConv(channels, kernel=3, dilation=dilation, scale=scale)
        self.merge = ConvReLUBatchNorm(channels, channels)
        self.se = SqueezeExcitation(channels, se_bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.se(self.merge(self.res2(self.expand(x))))


class AttentiveStatisticsPooling(nn.Module):
    """Channel- and context-dependent attentive mean and standard deviation over time.

    (B, C, T) -> (B, 2C). The attention score of a frame also depends on the mean and standard
    deviation of the whole utterance (Desplanques et al. 2020, section 3.1).
    """

    FLOOR = 1e-12  # of the variance, so that its square root has a finite gradient

    def __init__(self, channels: int, bottleneck: int):
        super().__init__()
        self.hidden = ConvReLUBatchNorm(3 * channels, bottleneck)
        self.score = Conv1d(bottleneck, channels)

    def statistics(self, x: Tensor, weight: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the weighted mean and standard deviation over time, (B, C, 1) each."""
        mean = (weight * x).sum(-1, keepdim=True)
        variance = (weight * (x - mean) ** 2).sum(-1, keepdim=True)
        return mean, variance.clamp_min(self.FLOOR).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.statistics(x, 1.0 / x.shape[-1])
        context = torch.cat([x, mean.expand_as(x), std.expand_as(x)], dim=1)
        weight = torch.softmax(self.score(torch.tanh(self.hidden(context))), dim=-1)
        return torch.cat(self.statistics(x, weight), dim=1).squeeze(-1)


class ECAPATDNN(nn.Module):
    """ECAPA-TDNN with a linear classifier on its embedding.

    (B, bands, T) -> logits (B, classes). Every system is trained with plain cross-entropy, as in
    Figure 1 of the reproduced paper, so that a margin loss does not decide the comparison.

    Args:
        channels: width of the blocks.
        mfa_channels: width of the multi-layer feature aggregation.
        bottleneck: hidden width of the SE modules and of the attentive pooling.
        scale: number of channel groups in each Res2 convolution.
    """

    @declared
    def __init__(
        self,
        num_classes: Classes,
        num_bands: Bands,
        channels: Annotated[int, Field(ge=1, le=4096)] = 128,
        mfa_channels: Annotated[int, Field(ge=1, le=4096)] = 512,
        bottleneck: Annotated[int, Field(ge=1, le=4096)] = 128,
        embedding: Annotated[int, Field(ge=1, le=4096)] = 192,
        scale: Annotated[int, Field(ge=1, le=64)] = 8,
    ):
        super().__init__()
        self.stem = ConvReLUBatchNorm(num_bands, channels, kernel=5)
        self.blocks = nn.ModuleList(SERes2Block(channels, d, scale, bottleneck) for d in DILATIONS)
        self.mfa = ConvReLUBatchNorm(len(DILATIONS) * channels, mfa_channels)
        self.pool = AttentiveStatisticsPooling(mfa_channels, bottleneck)
        self.pool_norm = nn.BatchNorm1d(2 * mfa_channels)
        self.embed = nn.Linear(2 * mfa_channels, embedding)
        self.classifier = nn.Linear(embedding, num_classes)

    def embedding(self, features: Tensor) -> Tensor:
        """Compute the embedding, (B, bands, T) -> (B, embedding)."""
        x = self.stem(features)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return self.embed(self.pool_norm(self.pool(self.mfa(torch.cat(outputs, dim=1)))))

    def forward(
        self, features: Tensor, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, AttentionMaps]:
        embedding = self.embedding(features)
        logits = self.classifier(embedding)
        return (logits, AttentionMaps(embedding=embedding)) if return_attention else logits
