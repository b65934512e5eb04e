"""ResNet18 on a one-channel spectrogram, the paper's second baseline.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. Parameters are named
as in torchvision, and shaped so but for the first convolution, which has one input channel.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cry_model.declared import Bands, Classes, declared
from cry_model.networks.attention import AttentionMaps


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a residual. (B, in, H, W) -> (B, out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """(B, bands, T) -> logits (B, classes); the features are one image of height ``bands``.

    Args:
        num_bands: rows of the input features; any number works, so it is checked but not stored.
        width: channels of the first stage, doubled at each further one.
        blocks: residual blocks per stage; one makes a ResNet10.
        stem_pool: whether max-pooling follows the first convolution, as in the paper.
    """

    @declared
    def __init__(
        self,
        num_classes: Classes,
        num_bands: Bands,
        width: Annotated[int, Field(ge=1, le=1024)] = 64,
        blocks: Annotated[int, Field(ge=1, le=64)] = 2,
        stem_pool: bool = True,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem_pool else nn.Identity()
        self.layer1 = self._layer(width, width, 1, blocks)
        self.layer2 = self._layer(width, 2 * width, 2, blocks)
        self.layer3 = self._layer(2 * width, 4 * width, 2, blocks)
        self.layer4 = self._layer(4 * width, 8 * width, 2, blocks)
        self.fc = nn.Linear(8 * width, num_classes)

    @staticmethod
    def _layer(in_channels: int, out_channels: int, stride: int, blocks: int) -> nn.Sequential:
        more = (BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1))
        return nn.Sequential(BasicBlock(in_channels, out_channels, stride), *more)

    @property
    def classifier(self) -> nn.Linear:
        """The linear layer, embedding -> logits."""
        return self.fc

    def embedding(self, features: Tensor) -> Tensor:
        """Compute the embedding, (B, bands, T) -> (B, 8 width)."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(features.unsqueeze(1)))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=(-2, -1))

    def forward(
        self, features: Tensor, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, AttentionMaps]:
        embedding = self.embedding(features)
        logits = self.fc(embedding)
        return (logits, AttentionMaps(embedding=embedding)) if return_attention else logits
