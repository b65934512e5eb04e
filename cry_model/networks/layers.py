"""Define the paper's attention layers, one small class each, named as in its figures.

Shapes: B batch, C channels, T frames, N tokens, H heads. Equation numbers are those of Zhou, Li and
Yu, "Infant Cry Emotion Recognition Using Improved ECAPA-TDNN with Multi-scale Feature Fusion and
Attention Enhancement", section 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cry_model.networks.attention import AttentionMaps


class Conv1d(nn.Conv1d):
    """Length-preserving convolution over time, (B, in_channels, T) -> (B, out_channels, T).

    A single item on the CPU is computed as one matrix product with shifted copies: torch has no
    fast kernel there for small dilated convolutions with batch size one (ATen's ``use_mkldnn``).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, dilation: int = 1):
        super().__init__(in_channels, out_channels, kernel, dilation=dilation, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != 1 or x.device.type != "cpu":
            return super().forward(x)
        ((kernel,), (dilation,)), frames = (self.kernel_size, self.dilation), x.shape[-1]
        copies, reach = x[0], (kernel - 1) * dilation
        if kernel > 1:
            padded = pad(copies, (reach // 2, reach - reach // 2))
            copies = torch.cat([padded[:, i * dilation :][:, :frames] for i in range(kernel)])
        weight = self.weight.transpose(1, 2).flatten(1)  # (out_channels, kernel * in_channels)
        return torch.addmm(self.bias.unsqueeze(1), weight, copies).unsqueeze(0)


class ConvReLUBatchNorm(nn.Sequential):
    """(B, in_channels, T) -> (B, out_channels, T), as in Desplanques et al. 2020, figure 2."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, dilation: int = 1):
        super().__init__(
            Conv1d(in_channels, out_channels, kernel, dilation),
            nn.ReLU(),
            nn.BatchNorm1d(out_channels),
        )


class SqueezeExcitation(nn.Module):
    """Equations 8 and 9: SE(X) = sigma(W_2 delta(W_1 z)) . X, with z the mean of X over time.

    (B, C, T) -> (B, C, T). Source: Hu et al. 2018.
    """

    def __init__(self, channels: int, bottleneck: int):
        super().__init__()
        self.w1 = nn.Linear(channels, bottleneck)
        self.w2 = nn.Linear(bottleneck, channels)

    def gate(self, x: Tensor) -> Tensor:
        """Compute the channel weights alone: (B, C, T) -> (B, C), in (0, 1)."""
        return torch.sigmoid(self.w2(torch.relu(self.w1(x.mean(-1)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x).unsqueeze(-1) * x


class ResidualSqueezeExcitation(nn.Module):
    """Equation 7: X_rse = RSE(X) = X + SE(X). (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, bottleneck: int):
        super().__init__()
        self.se = SqueezeExcitation(channels, bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.se(x)


class TemporalChannelAttention(nn.Module):
    """Equations 7 to 11: X_out = X + Conv1D((A_t A_c^T) . X_rse).

    (B, C, T) -> X_out (B, C, T), A_t (B, T), A_c (B, C). The paper does not specify the two gates.
    Here A_t is the sigmoid of a convolution over time, one weight per frame. A_c is the sigmoid of
    a linear map of the time average, one weight per channel.
    """

    def __init__(self, channels: int, bottleneck: int, gate_kernel: int = 7, out_kernel: int = 5):
        super().__init__()
        self.rse = ResidualSqueezeExcitation(channels, bottleneck)
        self.temporal_gate = Conv1d(channels, 1, gate_kernel)
        self.channel_gate = nn.Linear(channels, channels)
        self.out = Conv1d(channels, channels, out_kernel)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_rse = self.rse(x)
        a_t = torch.sigmoid(self.temporal_gate(x_rse)).squeeze(1)
        a_c = torch.sigmoid(self.channel_gate(x_rse.mean(-1)))
        m = a_t.unsqueeze(1) * a_c.unsqueeze(2) * x_rse  # equation 10
        return x + self.out(m), a_t, a_c


class MultiScaleChannelAttention(nn.Module):
    """Equations 1 to 6: parallel dilated convolutions of kernel 3, 5 and 7 and a max-pooling
    branch, concatenated and weighted per channel.

    (B, in_channels, T) -> F_out (B, 4C, T), s (B, 4, C), with C = ``branch_channels`` and the
    branches in the order [F_3, F_5, F_7, M] of equation 2. Equation 5 says 3C where the
    concatenation has 4C; it is 4C here. The paper gives no values for d_k: here all three kernels
    of a block share the dilation of ECAPA-TDNN (2, 3, 4). Their receptive fields (k - 1) d + 1
    still differ.
    """

    KERNELS = (3, 5, 7)

    def __init__(self, in_channels: int, branch_channels: int, dilation: int, reduction: int = 8):
        super().__init__()
        self.branches = len(self.KERNELS) + 1
        cat = self.branches * branch_channels
        # The four 1 x 1 convolutions of equations 1 and 3, fused into one.
        self.reduce = Conv1d(in_channels, cat)
        self.convs = nn.ModuleList(
            Conv1d(branch_channels, branch_channels, k, dilation) for k in self.KERNELS
        )
        self.pool = nn.MaxPool1d(3, stride=1, padding=1)
        self.recalibrate = SqueezeExcitation(cat, cat // reduction)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        *inputs, pooled = self.reduce(x).chunk(self.branches, dim=1)
        f_k = [conv(branch) for conv, branch in zip(self.convs, inputs, strict=True)]
        f_cat = torch.cat([*f_k, self.pool(pooled)], dim=1)
        s = self.recalibrate.gate(f_cat)
        return s.unsqueeze(-1) * f_cat, s.unflatten(1, (self.branches, -1))


class SpatialSpectralAttention(nn.Module):
    """Weight each band at each time by its neighbourhood: X_out = M . X.

    (B, bands, T) -> X_out and M, both (B, bands, T), M in (0, 1), where
    M = sigmoid(Conv2D_7x7([mean_k F; max_k F]) + b) and F are ``maps`` 3 x 3 convolutions of X.
    Source: Woo et al. 2018, "CBAM", equation 3. The bias b, one per band, is our addition: a
    pattern means the same anywhere in a photograph, but not at every pitch.
    """

    def __init__(self, bands: int, maps: int = 8, kernel: int = 7):
        super().__init__()
        self.patterns = nn.Sequential(
            nn.Conv2d(1, maps, 3, padding="same"), nn.ReLU(), nn.BatchNorm2d(maps)
        )
        self.gate = nn.Conv2d(2, 1, kernel, padding="same", bias=False)
        self.bias = nn.Parameter(torch.zeros(bands, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.patterns(x.unsqueeze(1))
        pooled = torch.cat([f.mean(1, keepdim=True), f.amax(1, keepdim=True)], dim=1)
        m = torch.sigmoid(self.gate(pooled).squeeze(1) + self.bias)
        return m * x, m


class DifferentialAttention(nn.Module):
    """Equations 12 to 17: Z_out = ((A_1 - lambda A_2) V) . Z, attention between the N tokens.

    (B, N, C) -> Z_out (B, N, C), and A_1, A_2 and lambda. ``Split`` divides the channels into H
    heads of d = C / H; each head has its own maps. Lambda is one learnt scalar, initialised at the
    first layer's value of Ye et al. 2024 ("Differential transformer"). Raise ValueError if
    ``channels`` is not a multiple of ``heads``.
    """

    LAMBDA_START = 0.2

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be split into {heads} equal heads")
        self.heads = heads
        self.q1, self.k1, self.q2, self.k2, self.v = (
            nn.Linear(channels, channels, bias=False) for _ in range(5)
        )
        self.lambda_ = nn.Parameter(torch.tensor(self.LAMBDA_START))

    def split(self, z: Tensor) -> Tensor:
        """Split the channels into heads, (B, N, C) -> (B, H, N, C / H)."""
        return z.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def attend(self, query: Tensor, key: Tensor) -> Tensor:
        """Compute softmax(Q K^T / sqrt(d)) of equations 13 and 15, (B, H, N, N)."""
        q, k = self.split(query), self.split(key)
        return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1)

    def forward(self, z: Tensor) -> tuple[Tensor, AttentionMaps]:
        a1 = self.attend(self.q1(z), self.k1(z))
        a2 = self.attend(self.q2(z), self.k2(z))
        mixed = (a1 - self.lambda_ * a2) @ self.split(self.v(z))
        maps = AttentionMaps(differential_1=a1, differential_2=a2, differential_lambda=self.lambda_)
        return mixed.transpose(1, 2).flatten(2) * z, maps
