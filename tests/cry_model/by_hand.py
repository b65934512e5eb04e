"""Compute both ECAPA-TDNNs a second time, from the papers' equations with a model's weights."""

import math

import torch
from torch.nn.functional import batch_norm, conv1d, conv2d, pad

import cry_model

DILATIONS = (2, 3, 4)
SETTINGS = (
    {"stages": 1},
    {"stages": 2, "deviations": True, "heads": 2, "token_bias": 1.0, "block_residual": False},
)


def shake(model):
    """Randomise the running statistics as training would, so BatchNorm is not the identity."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.3)
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return model


def build(system="improved-ecapa-tdnn", **settings):
    """Build a random model in float64 and eval mode, with gates far from 1/2."""
    torch.manual_seed(0)
    model = cry_model.build_model(system, 3, 5, **{"channels": 8, **settings}).double().eval()
    for name, tensor in shake(model).state_dict().items():
        if name == "spectral.bias":
            tensor.normal_()
        if any(part in name for part in ("_gate.weight", "recalibrate", "q1", "q2", "k1", "k2")):
            tensor.mul_(4)
    return model


def conv(x, layer, dilation=1):
    """Convolve with zero padding that keeps the length, (B, in, T) -> (B, out, T)."""
    reach = dilation * (layer.weight.shape[-1] - 1) // 2
    return conv1d(x, layer.weight, layer.bias, dilation=dilation, padding=reach)


def norm(x, layer):
    return batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)


def conv_relu_norm(x, layers, dilation=1):
    return norm(conv(x, layers[0], dilation).relu(), layers[2])


def linear(x, layer):
    return x @ layer.weight.T + layer.bias


def squeeze(x, layer):
    """Compute the squeeze-and-excitation gate of equation 9, (B, C, T) -> (B, C)."""
    return linear(linear(x.mean(-1), layer.w1).relu(), layer.w2).sigmoid()


def temporal_channel(module, x, change, number):
    """Apply the temporal and channel attention of equations 7 to 11."""
    x_rse = x + squeeze(x, module.rse.se)[..., None] * x
    a_t = change("temporal", conv(x_rse, module.temporal_gate)[:, 0].sigmoid(), number)
    a_c = change("channel", linear(x_rse.mean(-1), module.channel_gate).sigmoid(), number)
    return x + conv(a_t[:, None] * a_c[..., None] * x_rse, module.out)


def multi_scale(module, x, change, number, which):
    """Apply the multi-scale attention (MCA) of equations 1 to 6."""
    parts = conv(x, module.reduce).chunk(4, dim=1)
    assert [layer.weight.shape[-1] for layer in module.convs] == [3, 5, 7]
    branches = [conv(parts[i], module.convs[i], DILATIONS[number]) for i in range(3)]
    pooled = pad(parts[3], (1, 1), value=-math.inf).unfold(-1, 3, 1).amax(-1)
    f_cat = torch.cat([*branches, pooled], dim=1)
    s = change("multi_scale", squeeze(f_cat, module.recalibrate), number, which)
    return s[..., None] * f_cat


def differential(module, z, change):
    """Apply the differential attention of equations 12 to 17."""
    q1, k1, q2, k2, v = (z @ getattr(module, n).weight.T for n in ("q1", "k1", "q2", "k2", "v"))
    width, mixed = z.shape[-1] // module.heads, []
    for head in range(module.heads):
        part = slice(width * head, width * (head + 1))
        a1, a2 = (
            change("differential", (q[..., part] @ k[..., part].mT / math.sqrt(width)).softmax(-1))
            for q, k in ((q1, k1), (q2, k2))
        )
        mixed.append((a1 - module.lambda_ * a2) @ v[..., part])
    return torch.cat(mixed, dim=-1) * z


def spatial_spectral(module, x):
    """Return the gate of equation 3 of CBAM with a bias for each band, (B, bands, T)."""
    first, _, third = module.patterns
    f = norm(conv2d(x[:, None], first.weight, first.bias, padding=1).relu(), third)
    pooled = torch.stack([f.mean(1), f.amax(1)], dim=1)
    return (conv2d(pooled, module.gate.weight, padding=3)[:, 0] + module.bias).sigmoid()


def logits_by_hand(model, features, change):
    """Return the logits with every gate replaced by ``change(kind, gate, *place)``: "spectral"
    (B, bands, T), "temporal" (B, T) and "channel" (B, C) of a block, "multi_scale" (B, 2 C) of a
    stage of a block, "differential" (B, N, N), A_1 or A_2 of each head.
    """

    def pool(x):
        mean, deviation = x.mean(-1), x.std(-1, correction=0).clamp_min(1e-3)
        return [mean, deviation] if model.deviations else [mean]

    if model.spectral is not None:
        m = change("spectral", spatial_spectral(model.spectral, features))
        features = m * features
    x = conv_relu_norm(features, model.stem)
    tokens = pool(x)
    for number, block in enumerate(model.blocks):
        hidden = x
        if block.attention is not None:
            hidden = temporal_channel(block.attention, x, change, number)
        hidden = conv_relu_norm(hidden, block.expand)
        for which, stage in enumerate(block.res2.stages):
            if stage.mca is None:
                inner = conv_relu_norm(hidden, stage.project, DILATIONS[number])
            else:
                scaled = multi_scale(stage.mca, hidden, change, number, which).relu()
                inner = conv_relu_norm(norm(scaled, stage.norm), stage.project)
            hidden = hidden + conv_relu_norm(inner, stage.dilated, DILATIONS[number])
        added = conv_relu_norm(hidden, block.merge)
        added = squeeze(added, block.se)[..., None] * added
        out = x + added if block.residual else added
        x = x + out
        tokens += pool(out)
    z = norm(torch.cat(tokens, dim=1), model.pool_norm).view(len(features), -1, model.channels)
    if model.differential is not None:
        z = differential(model.differential, z, change)
    return linear(z.flatten(1), model.classifier)


def ecapa_embedding_by_hand(model, features):
    """Compute the embedding of ECAPA-TDNN as in Desplanques et al. 2020."""
    x, outputs = conv_relu_norm(features, model.stem), []
    for block, dilation in zip(model.blocks, DILATIONS, strict=True):
        groups = list(conv_relu_norm(x, block.expand).chunk(8, dim=1))
        for i in range(1, 8):
            given = groups[i] + groups[i - 1] if i > 1 else groups[i]
            groups[i] = conv_relu_norm(given, block.res2.convs[i - 1], dilation)
        merged = conv_relu_norm(torch.cat(groups, dim=1), block.merge)
        x = x + squeeze(merged, block.se)[..., None] * merged
        outputs.append(x)
    h = conv_relu_norm(torch.cat(outputs, dim=1), model.mfa)
    mean, deviation = h.mean(-1, keepdim=True), h.std(-1, correction=0, keepdim=True)
    context = torch.cat([h, mean.expand_as(h), deviation.expand_as(h)], dim=1)
    score = conv(conv_relu_norm(context, model.pool.hidden).tanh(), model.pool.score)
    weight = score.softmax(-1)
    mean = (weight * h).sum(-1)
    deviation = (weight * (h - mean[..., None]) ** 2).sum(-1).sqrt()
    return linear(norm(torch.cat([mean, deviation], dim=1), model.pool_norm), model.embed)
