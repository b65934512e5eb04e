"""Each neutralisation beside the network written out by hand, and nothing of it left behind."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import conv1d

import cry_model
from train.studies.neutral import ablated, ablations, averaging

TEMPORAL = {"temporal", "channel", "channel_fixed"}
MULTI_SCALE = {"multi_scale", "multi_scale_fixed"}
WITHOUT = {
    "improved-ecapa-tdnn": set(),
    "improved-ecapa-tdnn-no-mca": MULTI_SCALE,
    "improved-ecapa-tdnn-no-rse": TEMPORAL,
    "improved-ecapa-tdnn-no-diff-attention": {"differential"},
    "ecapa-tdnn": {"differential", *TEMPORAL, *MULTI_SCALE},
    "resnet18": {"differential", *TEMPORAL, *MULTI_SCALE},
}
ALL = WITHOUT["ecapa-tdnn"]
SETTINGS = [
    {"stages": 1},
    {"stages": 2, "deviations": True, "heads": 2, "token_bias": 1.0, "block_residual": False},
]


def build(system="improved-ecapa-tdnn", **settings):
    """In float64, with gates far from 1/2 and statistics as a fit would leave them."""
    torch.manual_seed(0)
    model = cry_model.build_model(system, 3, 5, channels=8, **settings).double().eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_()
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        if any(part in name for part in ("_gate.weight", "recalibrate", "q1", "q2", "k1", "k2")):
            tensor.mul_(4)
    return model


@pytest.fixture(scope="module")
def features():
    return torch.randn(6, 5, 40, dtype=torch.float64, generator=torch.manual_seed(1))


def by_hand(model, features, name, gates=None):
    """The whole forward pass with one attention replaced, from the layers' weights alone.

    ``gates`` holds the average gates of each block for the fixed ones.
    """

    def sigma(x):
        return 1 / (1 + np.exp(-x.detach().numpy()))

    def tensor(array):
        return torch.from_numpy(np.ascontiguousarray(array))

    def temporal_channel(module, x, number):
        x_rse = x + module.rse.se(x)
        gate = module.temporal_gate
        a_t = sigma(conv1d(x_rse, gate.weight, gate.bias, padding=3))[:, 0]
        a_c = sigma(x_rse.mean(-1) @ module.channel_gate.weight.T + module.channel_gate.bias)
        if name == "temporal":
            a_t = np.repeat(a_t.sum(1)[:, None] / a_t.shape[1], a_t.shape[1], axis=1)
        if name == "channel":
            a_c = np.repeat(a_c.sum(1)[:, None] / a_c.shape[1], a_c.shape[1], axis=1)
        if name == "channel_fixed":
            a_c = np.stack([gates[number]] * len(x))
        return x + module.out(tensor(a_t[:, None, :] * a_c[:, :, None]) * x_rse)

    def stage(module, x, number, which):
        mca = module.mca
        parts = mca.reduce(x).chunk(4, dim=1)
        f = [mca.convs[i](parts[i]) for i in range(3)]
        f_cat = torch.cat([*f, mca.pool(parts[3])], dim=1)
        s = sigma(mca.recalibrate.w2(mca.recalibrate.w1(f_cat.mean(-1)).relu()))
        if name == "multi_scale":
            s = np.repeat(s.sum(1)[:, None] / s.shape[1], s.shape[1], axis=1)
        if name == "multi_scale_fixed":
            s = np.stack([gates[number][which]] * len(x))
        hidden = module.norm((tensor(s)[:, :, None] * f_cat).relu())
        return x + module.dilated(module.project(hidden))

    x = model.stem(features)
    tokens = [model.pool(x)]
    for number, block in enumerate(model.blocks):
        hidden = block.expand(temporal_channel(block.attention, x, number))
        for which, part in enumerate(block.res2.stages):
            hidden = stage(part, hidden, number, which)
        added = block.se(block.merge(hidden))
        out = x + added if block.residual else added
        x = x + out
        tokens.append(model.pool(out))
    z = model.pool_norm(torch.cat(tokens, dim=-1))
    z = z.view(len(features), -1, model.channels)
    if name == "differential":
        weight, count = model.differential.lambda_, z.shape[1]
        values = z @ model.differential.v.weight.T
        z = (1 - weight) / count * values.sum(1, keepdim=True) * z
    else:
        z = model.differential(z)[0]
    return model.classifier(z.flatten(1))


def average_gates(model, features, name):
    """Of the maps that the model returns: per block, (channels,) or (stages, 4 channels)."""
    maps = model(features, return_attention=True)[1]
    if name == "channel_fixed":
        return [a_c.numpy().mean(0) for a_c in maps.channel]
    return [s.numpy().mean(0).reshape(s.shape[1], -1) for s in maps.multi_scale]


@pytest.mark.parametrize("settings", SETTINGS, ids=["4 tokens", "8 tokens"])
@pytest.mark.parametrize("name", sorted(ALL))
@torch.no_grad()
def test_the_answer_is_that_of_the_network_by_hand(settings, name, features):
    model = build(**settings)
    gates = average_gates(model, features, name) if name.endswith("_fixed") else None
    with averaging(model) as averages:
        for batch in features.split(4):
            fitted = model(batch)
    fitted = model(features)
    torch.testing.assert_close(by_hand(model, features, "none"), fitted, rtol=0, atol=1e-10)
    with ablated(model, name, averages):
        found = model(features)
    torch.testing.assert_close(found, by_hand(model, features, name, gates), rtol=0, atol=1e-10)
    assert (found - fitted).abs().max() > 1e-5  # it does make a difference here


@pytest.mark.parametrize("settings", SETTINGS, ids=["4 tokens", "8 tokens"])
@torch.no_grad()
def test_the_maps_show_what_is_neutral_and_nothing_else(settings, features):
    model = build(**settings)
    with averaging(model) as averages:
        model(features)
    for name in ablations(model):
        with ablated(model, name, averages):
            maps = model(features, return_attention=True)[1]
        count = maps.differential_1.shape[-1]
        assert count == (8 if settings.get("deviations") else 4)
        across_time = max(a_t.std(1).max() for a_t in maps.temporal)
        across_channels = max(a_c.std(1).max() for a_c in maps.channel)
        within_s = max(s.flatten(2).std(2).max() for s in maps.multi_scale)
        flat = {
            "differential": (maps.differential_1 - 1 / count).abs().max()
            + (maps.differential_2 - 1 / count).abs().max(),
            "temporal": across_time,
            "channel": across_channels,
            "channel_fixed": max(a_c.std(0).max() for a_c in maps.channel),
            "multi_scale": within_s,
            "multi_scale_fixed": max(s.std(0).max() for s in maps.multi_scale),
        }
        assert {key for key, value in flat.items() if value < 1e-9} == {name}


@pytest.mark.parametrize("name", sorted(ALL))
@torch.no_grad()
def test_the_model_is_the_same_afterwards(name, features):
    model = build(stages=1)
    before, weights = model(features), copy.deepcopy(model.state_dict())
    with averaging(model) as averages:
        torch.testing.assert_close(model(features), before, rtol=0, atol=0)
    with pytest.raises(RuntimeError), ablated(model, name, averages):
        model(features[:, :2])  # fails in the middle: the bands are not the model's
    assert torch.equal(model(features), before)
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("bias", [0, 30, -30])
@torch.no_grad()
def test_float32_answers_as_float64_does(bias, features):
    """Also where gates are saturated: 1 - 1e-13 is 1 in float32."""
    model = build(stages=1)
    for block in model.blocks:
        block.attention.temporal_gate.bias.add_(bias)
        block.res2.stages[0].mca.recalibrate.w2.bias.add_(bias)
    single = copy.deepcopy(model).float()
    with averaging(model) as averages, averaging(single) as of_single:
        model(features)
        single(features.float())
    for name in ablations(model):
        with ablated(model, name, averages), ablated(single, name, of_single):
            expected, found = model(features), single(features.float())
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("system", WITHOUT)
def test_a_system_has_what_its_modules_allow(system):
    model = cry_model.build_model(system, 3, 5, **({"channels": 8} if system != "resnet18" else {}))
    assert set(ablations(model)) == ALL - WITHOUT[system]
    for name in WITHOUT[system]:
        with pytest.raises(ValueError, match="has no attention"), ablated(model, name, {}):
            pass


@pytest.mark.parametrize("name", ["channel_fixed", "multi_scale_fixed"])
def test_a_fixed_gate_needs_its_averages(name):
    with pytest.raises(ValueError, match="takes the averages"), ablated(build(), name):
        pass


@torch.no_grad()
def test_every_piece_counts_alike_in_an_average(features):
    model = build(stages=1)
    with averaging(model) as whole:
        model(features)
    with averaging(model) as parts:
        model(features[:1])
        model(features[1:])
    for layer, gate in whole.items():
        torch.testing.assert_close(parts[layer], gate, rtol=0, atol=1e-12)
