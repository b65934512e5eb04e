"""Test pruned models against the full model with the pruned channels set to zero."""

import re
from functools import partial

import pytest
import torch

from cry_model import CryClassifier, FrontEnd
from cry_model.checkpoint import read_config
from cry_model.networks.registry import build_model
from tests.train import small_fit
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


def silence(model, kept):
    """Zero the pruned channels in the output of every module of a full model, by hooks.

    Restates which module outputs which channels, by the module's name alone.
    """

    def mask(channels, module, _given, found):
        out, *rest = found if isinstance(found, tuple) else (found,)
        axis = -1 if isinstance(module, torch.nn.Linear) else 1
        gone = [i for i in range(out.shape[axis]) if i not in channels]
        out = out.index_fill(axis, torch.tensor(gone), 0)
        return (out, *rest) if rest else out

    def beside(groups, size=model.channels // 2):
        return torch.cat([kept[group] + i * size for i, group in enumerate(groups)])

    for name, module in model.named_modules():
        own = name.rsplit(".", 1)[-1]
        block, stage = ".".join(name.split(".")[:2]), ".".join(name.split(".")[:5])
        if own in ("stem", "attention", "merge", "v"):
            channels = kept["stream"]
        elif own in ("expand", "dilated"):
            channels = kept[f"{block}.inner"]
        elif own == "project":
            channels = kept[f"{stage}.half"]
        elif own == "reduce":
            channels = beside([f"{stage}.{g}" for g in ("in0", "in1", "in2", "pooled")])
        elif own == "norm":
            channels = beside([f"{stage}.{g}" for g in ("out0", "out1", "out2", "pooled")])
        elif name.rsplit(".", 2)[-2:-1] == ["convs"]:
            channels = kept[f"{stage}.out{own}"]
        elif own == "w1":
            channels = kept[f"{name.removesuffix('.w1')}.hidden"]
        elif own in ("q1", "k1", "q2", "k2"):
            channels = kept[f"map{own[1]}"]
        elif own == "pool_norm":
            tokens = module.num_features // model.channels
            channels = beside(["stream"] * tokens, model.channels)
        else:
            continue
        module.register_forward_hook(partial(mask, channels))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_pruned_model_matches_the_full_one_with_zeroed_channels(settings):
    full = random_model(**settings)
    narrow = build_model("improved-ecapa-tdnn", 5, 20, channels=16, **settings).eval()
    sizes = pruning.sizes_of(narrow)
    scores = {name: torch.rand(size) for name, size in pruning.sizes_of(full).items()}
    kept = pruning.most_important(scores, sizes, pruning.heads_of(full))
    narrow.load_state_dict(pruning.keep(full, kept, 16))
    features = torch.randn(3, 20, 40)
    with torch.no_grad():
        found = narrow(features)
        before = full(features)
        silence(full, kept)
        assert found == pytest.approx(full(features), abs=1e-5)
    assert found != pytest.approx(before, abs=1e-2)


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


# ``export --prune``


@pytest.fixture(scope="module")
def out(made_up_root, tmp_path_factory):
    """Fit a system of 16 channels."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("pruning")
    assert small_fit.fit(made_up_root, out, "--set", "channels=16") == 0
    return out


def export(root, out, to):
    checkpoint = next((out / "checkpoints").iterdir())
    how = (checkpoint, "--device", "cpu", "--prune", 0.5, "--int8")
    return small_fit.command("export", root, to, *how)


def test_a_checkpoint_is_pruned_exported_and_ready_to_be_published(
    out, made_up_root, examples, tmp_path, capsys
):
    assert export(made_up_root, out, tmp_path) == 0
    assert "8 of 16 channels are kept" in capsys.readouterr().out
    sent = checkpoint_upload(tmp_path, "someone/small").files
    assert {"model.safetensors", "config.json", "model.onnx"} <= sent.keys()
    config = read_config(tmp_path)
    assert (config.settings["channels"], config.calibration) == (8, None)
    full = read_config(next((out / "checkpoints").iterdir())).evaluation
    assert not full.better_than_chance  # after one epoch: the pruned model must not name one either
    assert config.evaluation == full
    clip = examples / "synthetic_rhythmic.wav"
    exported = CryClassifier.from_pretrained(tmp_path, backend="onnx").predict(clip)
    expected = CryClassifier.from_pretrained(tmp_path).predict(clip).probabilities
    assert exported.probabilities == pytest.approx(expected, abs=0.1)  # int8 rounds
    assert not (tmp_path / "fine-tuning").exists()


def test_a_pruned_export_does_not_replace_the_full_model(out, made_up_root, capsys):
    checkpoint = next((out / "checkpoints").iterdir())
    before = (checkpoint / "model.safetensors").read_bytes()
    assert export(made_up_root, out, checkpoint) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (checkpoint / "model.safetensors").read_bytes() == before
