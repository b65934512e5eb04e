"""FeatureMLP: no level, no answer outside of its range, and contributions that add up."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr, softmax

import cry_model
from cry_model import CryClassifier
from cry_model.networks.feature_mlp import INPUTS, level_free
from cry_model.sound.acoustic_features import FEATURES
from train.fit.feature_mlp import set_statistics


def rows(count=200, seed=0):
    """Synthetic tables: correlated columns, each with a mean and a spread of its own."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(26, 26))
    table = rng.normal(size=(count, 26)) @ mixing + 50 * rng.normal(size=26)
    table[:, FEATURES.index("rms")] = 0.01 + 0.1 * rng.random(count)
    return torch.tensor(table, dtype=torch.float32)


@pytest.fixture(scope="module")
def settled():
    """An untrained system that knows the range of a table."""
    torch.manual_seed(0)
    model = cry_model.build_model("feature-mlp", 6, hidden=16).eval().requires_grad_(False)
    set_statistics(model, level_free(rows()), [str(i // 2) for i in range(200)])
    return model


@pytest.fixture(scope="module")
def bundled():
    return CryClassifier.from_pretrained("six-class-features", detector=False)


def test_the_answer_is_the_mean_of_the_members(settled):
    """Against SciPy in float64, member by member."""
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


def test_remoteness_is_the_mahalanobis_distance(settled):
    learnt = level_free(rows()).double().numpy()
    table = level_free(rows(7, 3)).double().numpy()
    spread = learnt.std(0, ddof=1)
    z = (learnt - learnt.mean(0)) / spread
    covariance = z.T @ z / len(z) + 0.02 * np.eye(25)
    apart = (table - learnt.mean(0)) / spread
    expected = np.sqrt(np.einsum("ij,ij->i", apart, np.linalg.solve(covariance, apart.T).T))
    found = settled.ood_score(settled.inputs(rows(7, 3)[..., None])) * settled.limit
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_most_of_the_table_is_inside_and_far_off_every_label_is_alike(settled):
    table = rows()[..., None]
    assert (settled.ood_score(settled.inputs(table)) < 1).float().mean() > 0.95
    far = table + 1000
    assert (settled.ood_score(settled.inputs(far)) > 2).all()
    torch.testing.assert_close(settled(far).softmax(-1), torch.full((200, 6), 1 / 6))


def test_contributions_add_up_to_what_the_answer_gained(settled):
    features = rows(8, 4)[..., None]
    inputs = settled.inputs(features)
    gained = settled.log_probabilities(inputs) - settled.log_probabilities(inputs * 0)
    for label in (0, 3):
        found = settled.contributions(features, label, steps=512)
        assert found.shape == (8, len(INPUTS))
        torch.testing.assert_close(found.sum(1), gained[:, label], atol=0.02, rtol=0.02)


def test_a_tone_and_faint_noise_are_outside_and_not_answered_with_confidence(bundled):
    t = np.arange(5 * 16_000) / 16_000
    noise = 2e-3 * np.random.default_rng(0).standard_normal(len(t))
    for wave in (0.5 * np.sin(2 * np.pi * 440 * t), noise):
        prediction = bundled.predict(wave, 16_000)
        assert prediction.cautions
        assert prediction.acoustic.ood_score > 1
        assert max(prediction.probabilities.values()) < 0.3


def test_8_khz_clips_are_outside_and_16_khz_cries_inside(bundled, data_root):
    narrow = sorted((data_root / "donateacry").glob("*/*.wav"))[::40]
    wide = sorted((data_root / "donateacry_ios").glob("*.flac"))[::40]
    assert np.mean([bundled.predict(path).acoustic.ood_score < 1 for path in wide]) > 0.8
    apart = [bundled.predict(path) for path in narrow]
    assert all("nothing above 4 kHz" in prediction.cautions[0] for prediction in apart)
    assert np.mean([prediction.acoustic.ood_score > 1 for prediction in apart]) > 0.7
    own = bundled.predict(data_root / "challenge6" / "sleepy_0.wav")
    assert (own.label, own.cautions, tuple(own.acoustic.features)) == ("sleepy", (), FEATURES)
