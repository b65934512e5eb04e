"""Our own ways to the tokens of the differential attention, beside the paper's."""

import pytest
import torch

import cry_model

FRAMES = 90


def model(**settings):
    torch.manual_seed(0)
    built = cry_model.build_model("improved-ecapa-tdnn", 5, 64, channels=16, stages=1, **settings)
    return built.eval()


@pytest.fixture(scope="module")
def features():
    return torch.randn(3, 64, FRAMES, generator=torch.Generator().manual_seed(1))


def layers(built, features):
    """What the stem and each block give, (B, C, T) each."""
    found = []
    hooks = [built.stem.register_forward_hook(lambda *args: found.append(args[-1]))]
    hooks += [
        b.register_forward_hook(lambda *args: found.append(args[-1][0])) for b in built.blocks
    ]
    with torch.no_grad():
        logits, maps = built(features, return_attention=True)
    for hook in hooks:
        hook.remove()
    return found, logits, maps


def expected_logits(built, tokens):
    """By the differential attention's own call on tokens (B, tokens * C)."""
    with torch.no_grad():
        z, _ = built.differential(built.pool_norm(tokens).view(len(tokens), -1, 16))
        return built.classifier(z.flatten(1))


def test_deviations_stand_beside_the_averages(features):
    built = model(deviations=True)
    found, logits, maps = layers(built, features)
    assert maps.differential_1.shape == (3, 4, 8, 8)
    parts = [torch.cat([x.mean(-1), x.std(-1, correction=0)], dim=-1) for x in found]
    torch.testing.assert_close(logits, expected_logits(built, torch.cat(parts, dim=-1)))


def test_without_the_blocks_own_residual_a_block_gives_what_it_adds(features):
    with_it, without = model(), model(block_residual=False)
    without.load_state_dict(with_it.state_dict())
    (stem, first, *_), *_ = layers(with_it, features)
    (_, added, *_), *_ = layers(without, features)
    torch.testing.assert_close(first - stem, added, rtol=1e-4, atol=1e-5)


def test_the_tokens_begin_where_the_setting_says():
    assert model(token_bias=1.0).pool_norm.bias.eq(1).all()
    assert model().pool_norm.bias.eq(0).all()
