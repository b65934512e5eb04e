"""Build the improved ECAPA-TDNN of the paper, its three ablations and the hybrid by switch.

Source: Zhou, Li and Yu, section 2, Figures 1b, 2 and 3. Shapes: B batch, C channels, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field, Strict
from torch import Tensor, nn

from cry_model.declared import Bands, Classes, declared
from cry_model.networks.attention import AttentionMaps
from cry_model.networks.ecapa_tdnn import DILATIONS, ECAPATDNN
from cry_model.networks.feature_mlp import INPUTS, FeatureMLP
from cry_model.networks.layers import (
    ConvReLUBatchNorm,
    DifferentialAttention,
    MultiScaleChannelAttention,
    SpatialSpectralAttention,
    SqueezeExcitation,
    TemporalChannelAttention,
)

EXTREME = 5.0  # standard deviations; no target lies further out


class Partner(nn.Module):
    """An ECAPA-TDNN, fitted to labels, beside a student: an ensemble of two.

    It tells apart the classes ``known``, some of ``num_classes``. Among these the probabilities
    are the geometric mean of both networks' (Hinton 2002, products of experts, equal weights);
    their sum, and what the student gives the other classes, stay. ``centre`` is subtracted from
    the student's features before it hears them.
    """

    @declared
    def __init__(
        self,
        num_classes: Classes,
        num_bands: Bands,
        known: Annotated[tuple[Classes, ...], Strict(False)],  # JSON has a list
        centre: Annotated[float, Field(ge=-100, le=100)] = 0.0,
        **settings: Any,
    ):
        super().__init__()
        if len(known) < 2 or len({*known}) < len(known) or max(known) >= num_classes:
            raise ValueError("a partner knows two or more of the classes, each once")
        self.known, self.centre = [*known], centre
        self.network = ECAPATDNN(len(known), num_bands, **settings)
        from_both = {place: num_classes + i for i, place in enumerate(known)}
        self.order = [from_both.get(place, place) for place in range(num_classes)]

    def forward(self, features: Tensor, log_probabilities: Tensor) -> Tensor:
        """(B, bands, T) and the student's (B, classes) -> those of both, (B, classes)."""
        mine = log_probabilities[:, self.known]
        other = self.network(features - self.centre).log_softmax(-1)
        both = ((mine + other) / 2).log_softmax(-1)
        both = both + mine.logsumexp(-1, keepdim=True)
        return torch.cat([log_probabilities, both], dim=-1)[:, self.order]


class ReusedClassifier(nn.Module):
    """Embedding (batch, width) -> logits (batch, classes), by way of 25 predicted features.

    A linear layer predicts the standardised inputs of a :class:`FeatureMLP` with ``settings``,
    whose networks, which a fit does not change, answer. In training mode it gives the predicted
    features (batch, 25). ``adapted`` adds a linear layer of the embedding, fitted to labels, to the
    logarithm of the probabilities; ``partner`` has the settings of a :class:`Partner`.
    """

    @declared
    def __init__(
        self,
        width: int,
        num_classes: Classes,
        num_bands: Bands,
        adapted: bool = False,
        partner: Mapping[str, Any] | None = None,
        **settings: Any,
    ):
        super().__init__()
        self.adaptation = nn.Linear(width, num_classes) if adapted else None
        self.partner = None if partner is None else Partner(num_classes, num_bands, **partner)
        self.features = nn.Linear(width, len(INPUTS))
        self.teacher = FeatureMLP(num_classes, **settings).requires_grad_(False)

    def train(self, mode: bool = True) -> ReusedClassifier:
        """As usual, but the teacher stays in eval mode: its dropout is over."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, embedding: Tensor, sound: Tensor) -> Tensor:
        """``sound``, (batch, bands, frames), is what the partner hears."""
        if self.training:
            return self.features(embedding)
        predicted = self.predicted(embedding)
        found = self.teacher.log_probabilities(predicted)
        if self.adaptation is not None:
            found = (found + self.adaptation(embedding)).log_softmax(-1)
        if self.partner is not None:
            found = self.partner(sound, found)
        return self.teacher.trusted(found, predicted)

    def log_probabilities(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> (batch, classes): of the classifier alone, whatever the distance."""
        return self.teacher.log_probabilities(self.predicted(embedding))

    def ood_score(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> (batch,): of the predicted features, see the teacher's."""
        return self.teacher.ood_score(self.predicted(embedding))

    def predicted(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> (batch, 25): the features that the classifier hears."""
        return self.features(embedding).clamp(-EXTREME, EXTREME)


class MultiScaleDilatedStage(nn.Module):
    """MCA, 1 x 1 projection, dilated convolution back to full width, residual.

    (B, C, T) -> (B, C, T) and the gate s (B, 4, C / 2); without ``multi_scale`` ECAPA-TDNN's
    single-scale dilated convolution is in the place of the MCA, and s is None.
    """

    def __init__(self, channels: int, dilation: int, multi_scale: bool):
        super().__init__()
        half = channels // 2
        if multi_scale:
            self.mca = MultiScaleChannelAttention(channels, half, dilation)
            self.norm = nn.BatchNorm1d(self.mca.branches * half)
            self.project = ConvReLUBatchNorm(self.mca.branches * half, half)
        else:
            self.mca = None
            self.project = ConvReLUBatchNorm(channels, half, kernel=3, dilation=dilation)
        self.dilated = ConvReLUBatchNorm(half, channels, kernel=3, dilation=dilation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.mca is None:
            return x + self.dilated(self.project(x)), None
        scaled, gate = self.mca(x)
        hidden = self.norm(torch.relu(scaled))
        return x + self.dilated(self.project(hidden)), gate


class MultiScaleRes2DilatedConv(nn.Module):
    """The "Muti-Res2DilatedConv1D" of Figure 3: stages in a row, each with its residual.

    (B, C, T) -> (B, C, T) and the gates (B, stages, 4, C / 2) or None. Where Res2Net hands on
    groups of channels, each stage gets the input plus what the stages before it found, at full
    width: with groups the system would have a third of the size that the paper reports.
    """

    def __init__(self, channels: int, dilation: int, multi_scale: bool, stages: int):
        super().__init__()
        self.stages = nn.ModuleList(
            MultiScaleDilatedStage(channels, dilation, multi_scale) for _ in range(stages)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        gates = []
        for stage in self.stages:
            x, gate = stage(x)
            gates.append(gate)
        return x, None if gates[0] is None else torch.stack(gates, dim=1)


class RSEMCABlock(nn.Module):
    """The "MCA and RSE Res2Block" of Figure 3, (B, C, T) -> (B, C, T) and its gates.

    TemporalChannelAttention -> Conv1d -> multi-scale Res2 dilated convolution -> Conv1d -> SE ->
    residual. With ``rse=False`` the first step is the identity.
    """

    def __init__(
        self,
        channels: int,
        dilation: int,
        multi_scale: bool,
        rse: bool,
        stages: int,
        residual: bool,
    ):
        super().__init__()
        self.residual = residual
        bottleneck = channels // 2
        self.attention = TemporalChannelAttention(channels, bottleneck) if rse else None
        self.expand = ConvReLUBatchNorm(channels, channels)
        self.res2 = MultiScaleRes2DilatedConv(channels, dilation, multi_scale, stages)
        self.merge = ConvReLUBatchNorm(channels, channels)
        self.se = SqueezeExcitation(channels, bottleneck)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        hidden, a_t, a_c = (x, None, None) if self.attention is None else self.attention(x)
        hidden, multi_scale = self.res2(self.expand(hidden))
        out = self.se(self.merge(hidden))
        return x + out if self.residual else out, (a_t, a_c, multi_scale)


class ImprovedECAPATDNN(nn.Module):
    """Improved ECAPA-TDNN: RSE, MCA and differential attention (Figure 1b).

    (B, bands, T) -> logits (B, classes); with ``return_attention=True`` also the
    :class:`~cry_model.AttentionMaps`. Every block gets the sum of the stem's and all
    earlier blocks' outputs (dotted box). The N = 4 tokens Z are the time averages of the stem and
    the three blocks, batch-normalised as ECAPA-TDNN does after pooling.

    Args:
        num_classes, num_bands: logits, and rows of the input features.
        channels: width C of the network.
        stages: multi-scale stages in each block; two meet the paper's size.
        heads: heads of the differential attention.
        multi_scale, rse, differential_attention: False for the ablation without it.
        spatial_spectral: the hybrid attention that the paper leaves to future work: bands and time
            are weighted together before the stem, where bands still are bands.
        deviations: our own: the standard deviations over time are tokens beside the averages, the
            two of a layer side by side, N = 8.
        block_residual: the block's own residual beside the sum over the layers; without it a block
            gives only what it adds, and the stem is not counted twice in each layer.
        token_bias: where BatchNorm's bias of the tokens starts. Differential attention multiplies
            two functions of the tokens; around 1 the product begins linear in them, and around 0,
            BatchNorm's own start, with the square of each.
        reused_classifier: settings of a :class:`~cry_model.networks.feature_mlp.FeatureMLP` whose
            classifier answers in the place of a linear layer, for a student of one; None for the
            linear layer.
    """

    FLOOR = 1e-6  # of a variance, so that its root has a gradient

    @declared
    def __init__(
        self,
        num_classes: Classes,
        num_bands: Bands,
        channels: Annotated[int, Field(ge=4, le=4096)] = 128,
        stages: Annotated[int, Field(ge=1, le=16)] = 2,
        heads: Annotated[int, Field(ge=1, le=64)] = 4,
        multi_scale: bool = True,
        rse: bool = True,
        differential_attention: bool = True,
        spatial_spectral: bool = False,
        deviations: bool = False,
        block_residual: bool = True,
        token_bias: Annotated[float, Field(ge=-100, le=100)] = 0.0,
        reused_classifier: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.spectral = SpatialSpectralAttention(num_bands) if spatial_spectral else None
        self.stem = ConvReLUBatchNorm(num_bands, channels, kernel=5)
        self.blocks = nn.ModuleList(
            RSEMCABlock(channels, d, multi_scale, rse, stages, block_residual) for d in DILATIONS
        )
        self.deviations = deviations
        self.channels = channels
        width = (1 + len(DILATIONS)) * (2 if deviations else 1) * channels
        self.pool_norm = nn.BatchNorm1d(width)
        self.differential = (
            DifferentialAttention(channels, heads) if differential_attention else None
        )
        if reused_classifier is None:
            self.classifier: nn.Module = nn.Linear(width, num_classes)
        else:
            self.classifier = ReusedClassifier(width, num_classes, num_bands, **reused_classifier)
            token_bias = 1.0  # features that are linear in the sound are found sooner
        nn.init.constant_(self.pool_norm.bias, token_bias)

    def pool(self, x: Tensor) -> Tensor:
        """(B, C, T) -> the tokens of one layer, (B, C), or (B, 2 C) with the deviations."""
        if self.deviations and x.dtype == torch.bfloat16:  # too coarse for differences
            x = x.float()
        mean = x.mean(-1)
        if not self.deviations:
            return mean
        variance = (x - mean.unsqueeze(-1)).square().mean(-1)  # x.var is slow
        return torch.cat([mean, variance.clamp_min(self.FLOOR).sqrt()], dim=-1)

    def forward(
        self, features: Tensor, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, AttentionMaps]:
        sound, spectral = features, None
        if self.spectral is not None:
            features, spectral = self.spectral(features)
        x = self.stem(features)
        tokens, gates = [self.pool(x)], []
        for block in self.blocks:
            out, block_gates = block(x)
            x = x + out  # the next block's input: the sum of all outputs so far
            tokens.append(self.pool(out))
            gates.append(block_gates)
        z = self.pool_norm(torch.cat(tokens, dim=1))
        maps: tuple[Tensor, ...] = ()
        if self.differential is not None:
            z, found = self.differential(z.unflatten(1, (-1, self.channels)))
            z, maps = z.flatten(1), (found.first, found.second, found.weight)
        reused = isinstance(self.classifier, ReusedClassifier)
        logits = self.classifier(z, sound) if reused else self.classifier(z)
        if not return_attention:
            return logits
        temporal, channel, multi_scale = (
            tuple(gate for gate in kind if gate is not None) for kind in zip(*gates, strict=True)
        )
        outside, embedding = None, z
        if reused:
            outside, embedding = self.classifier.ood_score(z), self.classifier.predicted(z)
        found = {"spectral": spectral, "ood_score": outside, "embedding": embedding}
        return logits, AttentionMaps(temporal, channel, multi_scale, *maps, **found)
