"""Each attention layer against its equations, computed a second way in numpy float64."""

import numpy as np
import pytest
import torch

from cry_model.layers import (
    DifferentialAttention,
    MultiScaleChannelAttention,
    ResidualSqueezeExcitation,
    SqueezeExcitation,
    TemporalChannelAttention,
)


def weights(module):
    return {name: t.detach().numpy().astype(np.float64) for name, t in module.state_dict().items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def conv1d(x, weight, bias, dilation=1):
    """(channels, frames) with zeros around, one multiplication at a time."""
    out_channels, _, kernel = weight.shape
    reach = dilation * (kernel - 1)
    padded = np.pad(x, ((0, 0), (reach // 2, reach - reach // 2)))
    result = np.empty((out_channels, x.shape[1]))
    for t in range(x.shape[1]):
        taps = padded[:, t : t + reach + 1 : dilation]
        result[:, t] = (weight * taps).sum((1, 2)) + bias
    return result


def squeeze_excitation_gate(x, w, prefix=""):
    z = x.mean(1)  # equation 9
    hidden = np.maximum(w[f"{prefix}w1.weight"] @ z + w[f"{prefix}w1.bias"], 0)
    return sigmoid(w[f"{prefix}w2.weight"] @ hidden + w[f"{prefix}w2.bias"])


def example(channels, frames=23, seed=0):
    x = torch.randn(2, channels, frames, generator=torch.Generator().manual_seed(seed))
    return x, x.numpy().astype(np.float64)


def close(tensor, expected):
    np.testing.assert_allclose(tensor.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_squeeze_excitation_is_equations_7_and_8():
    x, x64 = example(8)
    for layer, prefix in ((SqueezeExcitation(8, 4), ""), (ResidualSqueezeExcitation(8, 4), "se.")):
        gates = [squeeze_excitation_gate(item, weights(layer), prefix)[:, None] for item in x64]
        own = 1 if prefix else 0
        close(layer(x), [own * item + gate * item for gate, item in zip(gates, x64, strict=True)])


def test_temporal_channel_attention_is_equations_10_and_11():
    layer, (x, x64) = TemporalChannelAttention(8, 4), example(8)
    w = weights(layer)
    out, a_t, a_c = layer(x)
    for i, item in enumerate(x64):
        x_rse = item + squeeze_excitation_gate(item, w, "rse.se.")[:, None] * item
        t = sigmoid(conv1d(x_rse, w["temporal_gate.weight"], w["temporal_gate.bias"]))[0]
        c = sigmoid(w["channel_gate.weight"] @ x_rse.mean(1) + w["channel_gate.bias"])
        m = np.outer(t, c).T * x_rse  # equation 10; X is (T, C) in the paper
        close(a_t[i], t)
        close(a_c[i], c)
        close(out[i], item + conv1d(m, w["out.weight"], w["out.bias"]))


@pytest.mark.parametrize("dilation", [1, 3])
def test_multi_scale_channel_attention_is_equations_1_to_6(dilation):
    layer, (x, x64) = MultiScaleChannelAttention(8, 4, dilation, reduction=2), example(8)
    assert [conv.kernel_size for conv in layer.convs] == [(3,), (5,), (7,)]
    w = weights(layer)
    out, gate = layer(x)
    for i, item in enumerate(x64):
        one_by_one = conv1d(item, w["reduce.weight"], w["reduce.bias"]).reshape(4, 4, -1)
        branches = [
            conv1d(one_by_one[b], w[f"convs.{b}.weight"], w[f"convs.{b}.bias"], dilation)
            for b in range(3)
        ]
        padded = np.pad(one_by_one[3], ((0, 0), (1, 1)), constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)
        f_cat = np.concatenate([*branches, windows.max(-1)])
        s = squeeze_excitation_gate(f_cat, w, "recalibrate.")
        close(gate[i], s.reshape(4, 4))
        close(out[i], s[:, None] * f_cat)


def test_differential_attention_is_equations_12_to_17():
    layer = DifferentialAttention(12, heads=3)
    with torch.no_grad():
        layer.lambda_.fill_(0.37)
    w = weights(layer)
    z = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))
    out, maps = layer(z)
    for i, item in enumerate(z.numpy().astype(np.float64)):
        q1, k1, q2, k2, v = (item @ w[f"{n}.weight"].T for n in ("q1", "k1", "q2", "k2", "v"))
        mixed = []
        for head in range(3):
            part = slice(4 * head, 4 * head + 4)
            a1 = softmax(q1[:, part] @ k1[:, part].T / 2)  # sqrt(d) with d = 4
            a2 = softmax(q2[:, part] @ k2[:, part].T / 2)
            close(maps.first[i, head], a1)
            close(maps.second[i, head], a2)
            mixed.append((a1 - 0.37 * a2) @ v[:, part])
        close(out[i], np.concatenate(mixed, axis=1) * item)
