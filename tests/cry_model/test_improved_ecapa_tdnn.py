"""The improved ECAPA-TDNN and its ablations beside the paper's equations."""

from collections import defaultdict

import pytest
import torch

from cry_model.registry import ON_SPECTROGRAMS
from tests.cry_model.by_hand import SETTINGS, build, logits_by_hand

WHOLE, *LESS = [name for name in ON_SPECTROGRAMS if name.startswith("improved")]


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
    for kind in ("temporal", "channel"):
        torch.testing.assert_close(list(getattr(maps, kind)), seen[kind])
    stages = [s.flatten(1) for block in maps.multi_scale for s in block.unbind(1)]
    torch.testing.assert_close(stages, seen["multi_scale"])
    for which in (0, 1):
        found = (maps.differential_1, maps.differential_2)[which]
        heads = [] if found is None else list(found.unbind(1))
        torch.testing.assert_close(heads, seen["differential"][which::2])
