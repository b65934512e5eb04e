"""Define the paper's improved ECAPA-TDNN; switches give its three ablations and the hybrid.

Source: Zhou, Li and Yu, section 2, Figures 1b, 2 and 3. Shapes: B batch, C channels, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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

EXTREME = 5.0  # standard deviations, to which predictions are clipped; no target exceeds it


class Partner(nn.Module):
    """An ECAPA-TDNN fitted to labels that forms an ensemble of two with a student.

    It separates the classes ``known``, a subset of the ``num_classes``. Among these, the ensemble
    takes the geometric mean of both networks' probabilities (Hinton 2002, products of experts,
    equal weights). Their total and the other classes' probabilities remain the student's.
    ``centre`` is subtracted from the student's features before they enter the partner.
    """

    @declared
    def __init__(
        self,
        num_classes: Classes,
        num_bands: Bands,
        known: Annotated[tuple[Classes, ...], Strict(False)],  # JSON gives a list
        centre: Annotated[float, Field(ge=-100, le=100)] = 0.0,
        **settings: Any,
    ):
        super().__init__()
        if len(known) < 2 or len({*known}) < len(known) or max(known) >= num_classes:
            raise ValueError("a partner must know two or more different classes")
        self.known, self.centre = [*known], centre
        self.network = ECAPATDNN(len(known), num_bands, **settings)
        from_both = {place: num_classes + i for i, place in enumerate(known)}
        self.order = [from_both.get(place, place) for place in range(num_classes)]

    def forward(self, features: Tensor, log_probabilities: Tensor) -> Tensor:
        """Combine (B, bands, T) and the student's log-probabilities (B, classes), into the same."""
        mine = log_probabilities[:, self.known]
        other = self.network(features - self.centre).log_softmax(-1)
        both = ((mine + other) / 2).log_softmax(-1)
        both = both + mine.logsumexp(-1, keepdim=True)
        return torch.cat([log_probabilities, both], dim=-1)[:, self.order]


class ReusedClassifier(nn.Module):
    """Embedding (batch, width) -> logits (batch, classes), via 25 predicted features.

    A linear layer predicts the standardised inputs of a :class:`FeatureMLP` with ``settings``,
    whose frozen networks compute the answer. In training mode, the output is the predicted features
    (batch, 25). ``adapted`` adds a linear layer of the embedding, fitted to labels, to the
    log-probabilities; ``partner`` holds the settings of a :class:`Partner`.
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
        """Set the mode as usual, but keep the teacher in eval mode, without dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, embedding: Tensor, sound: Tensor) -> Tensor:
        """Compute the logits; ``sound``, (batch, bands, frames), is the partner's input."""
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
        """Compute the teacher's own, before :meth:`FeatureMLP.trusted`: (batch, classes)."""
        return self.teacher.log_probabilities(self.predicted(embedding))

    def ood_score(self, embedding: Tensor) -> Tensor:
        """Return the teacher's out-of-distribution score of the predicted features, (batch,)."""
        return self.teacher.ood_score(self.predicted(embedding))

    def predicted(self, embedding: Tensor) -> Tensor:
        """Predict the features that the teacher classifies, (batch, width) -> (batch, 25)."""
        return self.features(embedding).clamp(-EXTREME, EXTREME)


class MultiScaleDilatedStage(nn.Module):
    """MCA, 1 x 1 projection, dilated convolution back to full width, residual.

    (B, C, T) -> (B, C, T) and the gate s (B, 4, C / 2). Without ``multi_scale``, ECAPA-TDNN's
    single-scale dilated convolution replaces the MCA, and s is None.
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
    """The "Muti-Res2DilatedConv1D" of Figure 3: stages in sequence, each with its residual.

    (B, C, T) -> (B, C, T) and the gates (B, stages, 4, C / 2) or None. Res2Net passes on channel
    groups; here each stage takes the input plus the outputs of all earlier stages, at full width.
    With groups, the system would have a third of the size that the paper reports.
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
    :class:`~cry_model.AttentionMaps`. Each block takes the sum of the outputs of the stem and all
    earlier blocks (dotted box). The N = 4 tokens Z are the time averages of the stem and the three
    blocks, batch-normalised as in ECAPA-TDNN after pooling.

    Args:
        channels: width C of the network.
        stages: multi-scale stages per block; two match the paper's parameter count.
        heads: heads of the differential attention.
        multi_scale, rse, differential_attention: False for the ablation without it.
        spatial_spectral: add the hybrid attention that the paper leaves to future work: joint
            weights over bands and time, before the stem mixes the bands.
        deviations: not in the paper: add the standard deviations over time as tokens, each beside
            its layer's average, N = 8.
        block_residual: give each block its own residual beside the sum over the layers. Without it,
            a block outputs only its increment, and the stem does not count twice in each layer.
        token_bias: initial BatchNorm bias of the tokens. Differential attention multiplies two
            functions of the tokens. Around 1, the product is at first linear in them; around 0, the
            default of BatchNorm, it is quadratic.
        reused_classifier: settings of a :class:`ReusedClassifier`, which replaces the linear layer
            in a student of a :class:`~cry_model.networks.feature_mlp.FeatureMLP` and sets
            ``token_bias`` to 1; None for the linear layer.
    """

    FLOOR = 1e-6  # of a variance, so that its square root has a finite gradient

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
            token_bias = 1.0  # features that are linear in the sound are learnt sooner
        nn.init.constant_(self.pool_norm.bias, token_bias)

    def pool(self, x: Tensor) -> Tensor:
        """Pool a layer over time, (B, C, T) -> (B, C), or (B, 2 C) with the deviations."""
        if self.deviations and x.dtype == torch.bfloat16:  # too coarse for deviations
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
        maps = AttentionMaps()
        if self.differential is not None:
            z, maps = self.differential(z.unflatten(1, (-1, self.channels)))
            z = z.flatten(1)
        reused = isinstance(self.classifier, ReusedClassifier)
        logits = self.classifier(z, sound) if reused else self.classifier(z)
        if not return_attention:
            return logits
        temporal, channel, multi_scale = (
            tuple(gate for gate in kind if gate is not None) for kind in zip(*gates, strict=True)
        )
        return logits, replace(
            maps,
            temporal=temporal,
            channel=channel,
            multi_scale=multi_scale,
            spectral=spectral,
            ood_score=self.classifier.ood_score(z) if reused else None,
            embedding=self.classifier.predicted(z) if reused else z,
        )
