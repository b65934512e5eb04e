"""Test every registered system; a new one is covered once it is listed."""

import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from scipy.special import ndtr, softmax

import cry_model
from cry_model import CryClassifier
from cry_model.__main__ import systems
from cry_model.networks.feature_mlp import INPUTS, level_free
from cry_model.networks.registry import MEBI, ON_SPECTROGRAMS, get_system, measure
from cry_model.sound.front_end_config import FEATURES
from tests.cry_model import by_hand
from tests.cry_model.by_hand import build, shake
from train.fit.feature_mlp import set_statistics

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
def test_logits_are_finite_and_independent_of_batch_and_attention(system):
    name, model = system
    for frames in (1, 2, 7, 333):
        batch = features(name, 3, frames)
        logits = model(batch)
        assert logits.shape == (3, 6)
        assert logits.isfinite().all()
        assert torch.equal(model(batch, return_attention=True)[0], logits)
        alone = torch.cat([model(item[None]) for item in batch])
        torch.testing.assert_close(alone, logits, rtol=0, atol=1e-5)


def test_backward_reaches_every_parameter(system):
    name, _ = system
    model = cry_model.build_model(name)
    torch.nn.functional.cross_entropy(model(features(name)), torch.arange(3)).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


@pytest.mark.parametrize("name", PAPER_MEBI)
def test_parameter_counts_match_the_paper_and_are_listed(name):
    count = sum(p.numel() for p in cry_model.build_model(name).parameters()) / MEBI
    assert count == pytest.approx(PAPER_MEBI[name], rel=0.02)
    (row,) = (line for line in systems().splitlines() if line.startswith(f"{name} "))
    assert row.split()[1:3] == [f"{count:.2f}", f"{PAPER_MEBI[name]:.2f}"]


def test_multiply_adds_are_exact_and_match_the_paper():
    linear = torch.nn.Sequential(torch.nn.Conv1d(13, 5, 3, padding=1), torch.nn.Flatten())
    assert measure(linear).multiply_adds == 250 * 13 * 5 * 3
    cost = measure(cry_model.build_model("improved-ecapa-tdnn"))
    assert cost.multiply_adds == pytest.approx(0.32e9, rel=0.1)


def test_settings_are_applied_and_unknown_ones_refused():
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
    expected = by_hand.ecapa_embedding_by_hand(model, x)
    torch.testing.assert_close(model.embedding(x), expected, rtol=0, atol=1e-5)


# The improved ECAPA-TDNN and its ablations against the paper's equations


WHOLE, *LESS = [name for name in ON_SPECTROGRAMS if name.startswith(("improved", "hybrid"))]


@pytest.mark.parametrize(
    ("system", "settings"),
    [*((WHOLE, s) for s in by_hand.SETTINGS), *((name, {}) for name in LESS)],
)
@torch.no_grad()
def test_logits_and_attention_match_the_equations(system, settings):
    model, seen = build(system, **settings), defaultdict(list)
    features = torch.randn(6, 5, 40, dtype=torch.float64, generator=torch.manual_seed(1))

    def note(kind, gate, *place):
        seen[kind].append(gate)
        return gate

    expected = by_hand.logits_by_hand(model, features, note)
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


# FeatureMLP: uniform probabilities out of distribution, and contributions that add up


def rows(count=200, seed=0):
    """Return a synthetic table of correlated columns with different means and deviations."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(26, 26))
    table = rng.normal(size=(count, 26)) @ mixing + 50 * rng.normal(size=26)
    table[:, FEATURES.index("rms")] = 0.01 + 0.1 * rng.random(count)
    return torch.tensor(table, dtype=torch.float32)


@pytest.fixture(scope="module")
def settled():
    """Return an untrained system with the statistics of a table set."""
    torch.manual_seed(0)
    model = cry_model.build_model("feature-mlp", 6, hidden=16).eval().requires_grad_(False)
    set_statistics(model, level_free(rows()), [str(i // 2) for i in range(200)])
    return model


@pytest.fixture(scope="module")
def bundled():
    return CryClassifier.from_pretrained("six-class-features", detector=False)


def test_ensemble_averages_its_members(settled):
    """Compare with the mean of the members' probabilities by NumPy and SciPy in float64."""
    inputs = settled.inputs(rows(5, 1)[..., None])
    members = []
    for part in (settled.deep, settled.kernel):
        for member in range(len(part.weights[0])):
            x = inputs.double().numpy().clip(-4, 4)
            for layer, (weight, bias) in enumerate(zip(part.weights, part.biases, strict=True)):
                if layer:
                    x = math.sqrt(2) * np.cos(x) if part is settled.kernel else x * ndtr(x)
                x = x @ weight[member].double().numpy() + bias[member].double().numpy()
            members.append(softmax(x, axis=1))
    found = settled.log_probabilities(inputs).exp()
    np.testing.assert_allclose(found, np.mean(members, 0), atol=1e-5)


def test_ood_score_is_the_mahalanobis_distance(settled):
    learnt = level_free(rows()).double().numpy()
    table = level_free(rows(7, 3)).double().numpy()
    spread = learnt.std(0, ddof=1)
    z = (learnt - learnt.mean(0)) / spread
    covariance = z.T @ z / len(z) + 0.02 * np.eye(25)
    apart = (table - learnt.mean(0)) / spread
    expected = np.sqrt(np.einsum("ij,ij->i", apart, np.linalg.solve(covariance, apart.T).T))
    found = settled.ood_score(settled.inputs(rows(7, 3)[..., None])) * settled.limit
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_training_rows_are_in_distribution_and_far_ones_uniform(settled):
    table = rows()[..., None]
    assert (settled.ood_score(settled.inputs(table)) < 1).float().mean() > 0.95
    far = table + 1000
    assert (settled.ood_score(settled.inputs(far)) > 2).all()
    torch.testing.assert_close(settled(far).softmax(-1), torch.full((200, 6), 1 / 6))


def test_contributions_sum_to_the_change_of_log_probability(settled):
    table = rows(8, 4)[..., None]
    inputs = settled.inputs(table)
    gained = settled.log_probabilities(inputs) - settled.log_probabilities(inputs * 0)
    for label in (0, 3):
        found = settled.contributions(table, label, steps=512)
        assert found.shape == (8, len(INPUTS))
        torch.testing.assert_close(found.sum(1), gained[:, label], atol=0.02, rtol=0.02)


def test_a_tone_and_faint_noise_are_out_of_distribution(bundled):
    t = np.arange(5 * 16_000) / 16_000
    noise = 2e-3 * np.random.default_rng(0).standard_normal(len(t))
    for wave in (0.5 * np.sin(2 * np.pi * 440 * t), noise):
        prediction = bundled.predict(wave, 16_000)
        assert prediction.cautions
        assert prediction.acoustic.ood_score > 1
        assert max(prediction.probabilities.values()) < 0.3


def test_8_khz_clips_are_out_of_distribution_and_16_khz_cries_in(bundled, data_root):
    narrow = sorted((data_root / "donateacry").glob("*/*.wav"))[::40]
    wide = sorted((data_root / "donateacry_ios").glob("*.flac"))[::40]
    assert np.mean([bundled.predict(path).acoustic.ood_score < 1 for path in wide]) > 0.8
    apart = [bundled.predict(path) for path in narrow]
    assert all("no sound above 4 kHz" in prediction.cautions[0] for prediction in apart)
    assert np.mean([prediction.acoustic.ood_score > 1 for prediction in apart]) > 0.7
    own = bundled.predict(data_root / "challenge6" / "sleepy_0.wav")
    assert (own.label, own.cautions, tuple(own.acoustic.features)) == ("sleepy", (), FEATURES)
