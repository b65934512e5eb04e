"""What only a GPU can show; skipped where there is none."""

from dataclasses import replace

import pytest
import torch

import cry_model
from cry_model import FrontEnd
from cry_model.registry import ON_SPECTROGRAMS
from train.fit.devices import as_found, ask_for_determinism, make_accelerator
from train.fit.feature_mlp import fit_table
from train.fit.presets import BEST, FEATURES
from train.fit.trainer import DeviceDataset, EpochRng, TrainingData, fit, step_loss

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
QUICK = replace(BEST, epochs=2, batch=8)


@as_found()
def fitted(clips, system):
    accelerator = make_accelerator("cuda")
    ask_for_determinism()
    torch.manual_seed(0)
    model = cry_model.build_model(system, 5, 64).to(accelerator.device)
    front_end = FrontEnd(BEST.front_end).to(accelerator.device)
    return fit(model, front_end, TrainingData(clips, 5), QUICK, 0, accelerator)


@pytest.mark.parametrize("system", ON_SPECTROGRAMS)
def test_the_same_seed_gives_the_same_weights(clips, system):
    first, again = (fitted(clips, system).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_feature_mlp_is_fitted_beside_cuda_and_comes_back(clips):
    rows = tuple(torch.randn(26).abs() + 0.1 for _ in clips.items)
    table = replace(clips, waveforms=rows)
    model = cry_model.build_model("feature-mlp", 5, hidden=16).cuda()
    preset = replace(FEATURES, epochs=1, batch=8)
    assert next(fit_table(model, table, preset, 0).parameters()).device.type == "cuda"


def test_the_gradient_is_the_processors(clips):
    preset = replace(QUICK, augmentation=None)
    losses = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = cry_model.build_model("improved-ecapa-tdnn", 5, 64).to(device).eval()
        front_end = FrontEnd(BEST.front_end).to(device)
        waves = torch.stack([wave[:16_000] for wave in clips.waveforms[:8]]).to(device)
        # The ten bits of TF32 would be seen.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            losses.append(nn_loss(model, front_end, waves, clips.labels[:8].to(device)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    dataset = DeviceDataset(clips, 5, 1.0, torch.device("cuda"))
    accelerator = make_accelerator("cuda")
    loss = step_loss(
        model, front_end, dataset, None, preset, EpochRng(0, 0, torch.device("cuda")), accelerator
    )
    assert loss.device.type == "cuda"


def nn_loss(model, front_end, waves, labels):
    loss = torch.nn.functional.cross_entropy(model(front_end(waves)), labels)
    model.zero_grad()
    loss.backward()
    return sum(p.grad.double().abs().sum().item() for p in model.parameters())
