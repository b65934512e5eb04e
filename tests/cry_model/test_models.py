"""Every system of the registry; a new one is tested by being listed."""

from collections import defaultdict

import pytest
import torch

import cry_model
from cry_model.__main__ import systems
from cry_model.networks.registry import MEBI, ON_SPECTROGRAMS, get_system, measure
from tests.cry_model.by_hand import (
    SETTINGS,
    build,
    ecapa_embedding_by_hand,
    logits_by_hand,
    shake,
)

SYSTEMS = cry_model.list_models()
PAPER_MEBI = {"improved-ecapa-tdnn": 1.43, "ecapa-tdnn": 0.84, "resnet18": 10.66}


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request):
    torch.manual_seed(0)
    return request.param, shake(cry_model.build_model(request.param)).eval()


def features(name, batch=3, frames=61):
    bands = get_system(name).num_bands
    return torch.randn(batch, bands, frames, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_any_length_gives_finite_logits_and_asking_for_attention_changes_no_bit(system):
    name, model = system
    for frames in (1, 2, 7, 333):
        batch = features(name, 2, frames)
        logits = model(batch)
        assert logits.shape == (2, 6)
        assert logits.isfinite().all()
        assert torch.equal(model(batch, return_attention=True)[0], logits)


def test_backward_reaches_every_parameter(system):
    name, _ = system
    model = cry_model.build_model(name)
    torch.nn.functional.cross_entropy(model(features(name)), torch.arange(3)).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


@torch.inference_mode()
def test_batch_of_one_equals_the_item_in_a_larger_batch(system):
    name, model = system
    batch = features(name, 5)
    alone = torch.cat([model(item[None]) for item in batch])
    torch.testing.assert_close(model(batch), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PAPER_MEBI)
def test_parameter_counts_meet_the_paper_and_are_listed(name):
    count = sum(p.numel() for p in cry_model.build_model(name).parameters()) / MEBI
    assert count == pytest.approx(PAPER_MEBI[name], rel=0.02)
    (row,) = (line for line in systems().splitlines() if line.startswith(f"{name} "))
    assert row.split()[1:3] == [f"{count:.2f}", f"{PAPER_MEBI[name]:.2f}"]


def test_multiply_adds_are_counted_right_and_meet_the_paper():
    linear = torch.nn.Sequential(torch.nn.Conv1d(13, 5, 3, padding=1), torch.nn.Flatten())
    assert measure(linear).multiply_adds == 250 * 13 * 5 * 3
    cost = measure(cry_model.build_model("improved-ecapa-tdnn"))
    assert cost.multiply_adds == pytest.approx(0.32e9, rel=0.1)


def test_settings_reach_the_system_and_what_is_unknown_is_refused():
    model = cry_model.build_model("improved-ecapa-tdnn", 4, 64, token_bias=0.5)
    assert model(torch.zeros(2, 64, 9)).shape == (2, 4)
    assert model.pool_norm.bias.eq(0.5).all()
    with pytest.raises(TypeError, match="colour"):
        cry_model.build_model("resnet18", colour="red")
    with pytest.raises(cry_model.UnknownSystemError, match=r"'vgg'.*resnet18"):
        cry_model.build_model("vgg")


@torch.inference_mode()
def test_ecapa_tdnn_embedding_equals_a_second_implementation():
    model = build("ecapa-tdnn", channels=32, mfa_channels=24)
    x = torch.randn(2, 5, 61, dtype=torch.float64, generator=torch.manual_seed(1))
    expected = ecapa_embedding_by_hand(model, x)
    torch.testing.assert_close(model.embedding(x), expected, rtol=0, atol=1e-5)


def test_resnet18_has_the_parameters_that_torchvisions_has():
    names = set(cry_model.build_model("resnet18").state_dict())
    assert {"conv1.weight", "layer1.0.bn2.running_var", "layer2.0.downsample.1.bias"} <= names
    assert len(names) == 122  # as many as torchvision's


# The improved ECAPA-TDNN and its ablations beside the paper's equations


WHOLE, *LESS = [name for name in ON_SPECTROGRAMS if name.startswith(("improved", "hybrid"))]


@pytest.mark.parametrize(
    ("system", "settings"), [*((WHOLE, s) for s in SETTINGS), *((name, {}) for name in LESS)]
)
@torch.no_grad()
def test_answers_and_maps_are_those_of_the_equations(system, settings):
    model, seen = build(system, **settings), defaultdict(list)
    features = torch.randn(6, 5, 40, dtype=torch.float64, generator=torch.manual_seed(1))

    def note(kind, gate, *place):
        seen[kind].append(gate)
        return gate

    expected = logits_by_hand(model, features, note)
    logits, maps = model(features, return_attention=True)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close([maps.spectral] * len(seen["spectral"]), seen["spectral"])
    for kind in ("temporal", "channel"):
        torch.testing.assert_close(list(getattr(maps, kind)), seen[kind])
    stages = [s.flatten(1) for block in maps.multi_scale for s in block.unbind(1)]
    torch.testing.assert_close(stages, seen["multi_scale"])
    for which in (0, 1):
        found = (maps.differential_1, maps.differential_2)[which]
        heads = [] if found is None else list(found.unbind(1))
        torch.testing.assert_close(heads, seen["differential"][which::2])
