"""Test pruned models against the full model with the pruned channels set to zero."""

import re

import pytest
import torch

from cry_model import CryClassifier, FrontEnd
from cry_model.checkpoint import read_config
from cry_model.networks.registry import build_model
from tests.train import small_fit
from tests.train.folders import contents
from tests.train.small_fit import CHECKPOINT
from train.data.corpus import Corpus, DataError, Prepared
from train.data.datasets.public import REASONS as LABELS
from train.fit import pruning
from train.fit.presets import BEST
from train.fit.run import Experiment
from train.publish.hub import checkpoint_upload

SETTINGS = {
    "as the paper": {},
    "as the best preset": {"deviations": True, "block_residual": False, "token_bias": 1.0},
    "with attention over bands": {"spatial_spectral": True},
    "without MCA": {"multi_scale": False},
    "without RSE": {"rse": False},
    "without differential attention": {"differential_attention": False},
}


def random_model(**settings):
    """Return a model in eval mode without any of BatchNorm's initial values."""
    torch.manual_seed(0)
    model = build_model("improved-ecapa-tdnn", 5, 20, channels=32, **settings)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.dim() == 1:  # other tensors are initialised at random
                tensor += 0.2 * torch.rand(tensor.shape)
    return model.eval()


def places(model, kept, axis):
    """Return the indices of the kept channels on an axis."""
    sizes = pruning.sizes_of(model)
    return torch.cat([kept[group] + n * sizes[group] for n, group in enumerate(axis)])


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_pruned_model_matches_the_full_one_with_zeroed_channels(settings):
    """Check the groups, too: their channels can change order, within attention heads."""
    full, features = random_model(**settings), torch.randn(3, 20, 40)
    narrow = build_model("improved-ecapa-tdnn", 5, 20, channels=16, **settings).eval()
    scores = {name: torch.rand(size) for name, size in pruning.sizes_of(full).items()}
    heads = pruning.heads_of(full)
    kept = pruning.most_important(scores, pruning.sizes_of(narrow), heads)
    order = {
        name: torch.arange(len(score)).view(heads, -1)[:, torch.randperm(len(score) // heads)]
        for name, score in scores.items()
    }
    with torch.no_grad():
        before = full(features)
        pruned = pruning.keep(full, kept, 16)
        moved = {name: channels.flatten() for name, channels in order.items()}
        full.load_state_dict(pruning.keep(full, moved, full.channels))
        assert full(features) == pytest.approx(before, abs=1e-5)
        narrow.load_state_dict(pruned)
        found = narrow(features)
    assert found != pytest.approx(before, abs=1e-2)
    full = random_model(**settings)
    for name, tensor in full.state_dict().items():
        for i, axis in enumerate(pruning.axes_of(full).get(name, ())):
            if axis:
                gone = set(range(tensor.shape[i])) - set(places(full, kept, axis).tolist())
                tensor.index_fill_(i, torch.tensor(sorted(gone)), 0)
    with torch.no_grad():
        assert found == pytest.approx(full(features), abs=1e-5)


def test_models_that_cannot_be_pruned_are_refused():
    with pytest.raises(DataError, match="Only the improved ECAPA-TDNN"):
        pruning.channels_left(build_model("resnet18", 5, 20), 0.5)
    with pytest.raises(DataError, match="8 channels in steps of 8 cannot lose"):
        pruning.channels_left(build_model("improved-ecapa-tdnn", 5, 20, channels=8), 0.5)
    left = [pruning.channels_left(random_model(), ratio) for ratio in (0.25, 0.5, 0.75)]
    assert left == [24, 16, 8]


def test_channels_without_effect_are_pruned_first(clips, accelerator):
    """Rank channels by the loss on real batches, in all layers at once, equally for each head."""
    torch.manual_seed(0)
    model = build_model("improved-ecapa-tdnn", 5, BEST.front_end.num_bands, channels=32)
    useless = torch.tensor([0, 1, 2, 4, 9, 10, 12, 14, 16, 18, 20, 22, 25, 27, 29, 31])
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if re.fullmatch(r"(stem|.*merge)\.2\..*|.*attention\.out\..*", name):
                tensor[useless] = 0
    data = Prepared(Corpus("mine", LABELS, clips.items, ""), clips)
    one = Experiment("improved-ecapa-tdnn", data, "baby", BEST, 2, accelerator)
    importance = pruning.importance_of(model, FrontEnd(BEST.front_end), clips, one, seed=0)
    sizes = {group: len(score) // 2 for group, score in importance.items()}
    kept = pruning.most_important(importance, sizes, heads=4)["stream"]
    assert sorted([*kept.tolist(), *useless.tolist()]) == list(range(32))


def test_a_checkpoint_is_pruned_exported_and_ready_to_be_published(
    made_up_root, examples, tmp_path, capsys
):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    assert small_fit.fit(made_up_root, tmp_path, "--set", "channels=16") == 0
    checkpoint, to = tmp_path / CHECKPOINT, tmp_path / "small"
    how = (checkpoint, "--device", "cpu", "--prune", 0.5, "--int8")
    assert small_fit.command("export", made_up_root, to, *how) == 0
    assert "8 of 16 channels are kept" in capsys.readouterr().out
    sent = checkpoint_upload(to, "someone/small").files
    assert {"model.safetensors", "config.json", "model.onnx"} <= sent.keys()
    config, full = read_config(to), read_config(checkpoint).evaluation
    assert (config.settings["channels"], config.calibration) == (8, None)
    assert not full.better_than_chance  # after one epoch: the pruned model must not name one either
    assert config.evaluation == full
    clip = examples / "synthetic_rhythmic.wav"
    exported = CryClassifier.from_pretrained(to, backend="onnx").predict(clip)
    expected = CryClassifier.from_pretrained(to).predict(clip).probabilities
    assert exported.probabilities == pytest.approx(expected, abs=0.1)  # int8 rounds
    assert not (to / "fine-tuning").exists()
    before = contents(checkpoint)
    assert small_fit.command("export", made_up_root, checkpoint, *how) == 2  # over the full model
    assert "choose another --out" in capsys.readouterr().err
    assert contents(checkpoint) == before
