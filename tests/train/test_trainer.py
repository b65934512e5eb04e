"""Test the training loop on synthetic audio: learning, sampling, early stopping, errors."""

import copy
from dataclasses import replace
from math import nan
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import cry_model
from cry_model import FrontEnd
from cry_model.checkpoint import WEIGHTS, CheckpointConfig, load_checkpoint, save_checkpoint
from cry_model.networks.registry import ON_SPECTROGRAMS
from tests.train.small_fit import SYSTEM
from train.data.corpus import Corpus, Prepared
from train.data.datasets.public import REASONS as LABELS
from train.fit import cross_validation, trainer
from train.fit.cross_validation import MAX_FP16_ERROR, fp16_error
from train.fit.predict import TrainingError, piece_probabilities
from train.fit.presets import BEST, PAPER
from train.fit.run import Experiment, Run
from train.fit.state import Ema, TrainingState, numbers
from train.fit.trainer import LOSS, RECALL, DeviceDataset, EpochRng, TrainingData, score

QUICK = replace(BEST, epochs=1, batch=8)
WATCHED = replace(BEST, epochs=4, batch=8, validation=0.34, patience=2)
CPU = torch.device("cpu")


def test_every_seed_and_epoch_has_its_own_random_numbers():
    every = [EpochRng(seed, epoch, CPU) for seed in (0, 1) for epoch in (0, 1, 1)]
    assert len({float(torch.rand(3, generator=one.tensors).sum()) for one in every}) == 4
    assert len({one.numbers.random() for one in every}) == 4


@pytest.mark.parametrize("system", ON_SPECTROGRAMS)
def test_the_loss_falls(fitted, system):
    preset = replace(PAPER, epochs=10, batch=8, learning_rate=0.01)
    small = {"ecapa-tdnn": {"channels": 16, "mfa_channels": 32}, "resnet18": {"width": 8}}
    _, epochs = fitted(preset, system, **small.get(system, {"channels": 16, "stages": 1}))
    assert epochs[-1]["loss"] < 0.9 * epochs[0]["loss"]


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_balanced_sampling_gives_every_class_its_share(clips, balance):
    uneven = clips.subset([i for i, label in enumerate(clips.labels) if label < 2 or i % 6 == 0])
    _, targets = DeviceDataset(uneven, 5, balance, CPU).draw(4000, 80, torch.manual_seed(0))
    expected = 0.2 if balance else 1 / len(uneven.items)
    assert targets.mean(0)[4] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("length", [800, 40_000])
def test_drawn_pieces_are_stretches_of_one_clip(clips, length):
    short = clips.subset([0, 7])
    pieces, targets = DeviceDataset(short, 5, 0.0, CPU).draw(6, length, torch.manual_seed(1))
    assert pieces.shape == (6, length)
    for piece, target in zip(pieces, targets, strict=True):
        clip = short.waveforms[int(target.argmax() == short.labels[1])]
        repeated = clip.repeat(length // len(clip) + 2)
        starts = (repeated[: len(clip)] == piece[0]).nonzero().flatten()
        assert any(torch.equal(repeated[s : s + length], piece) for s in starts)


@pytest.mark.parametrize("ruined", ["loss", "weights"])
def test_nan_ends_the_fit_and_keeps_the_previous_state(fitted, tmp_path, monkeypatch, ruined):
    state = TrainingState(tmp_path / "fit.pt", "this")
    fitted(QUICK, channels=16, state=state)
    before = state.path.read_bytes()
    if ruined == "loss":
        monkeypatch.setattr(trainer, "schedule", lambda *_: float("inf"))
    else:  # after the epoch's last loss is computed
        monkeypatch.setattr(Ema, "update", lambda ema: ema.source.stem[0].bias.data.fill_(nan))
    preset = replace(QUICK, epochs=2, batch=8 if ruined == "loss" else 30)
    with pytest.raises(TrainingError, match="not a number after epoch 2"):
        fitted(preset, channels=16, state=state)
    assert state.path.read_bytes() == before


def test_weight_average_matches_torch_with_a_rising_decay():
    torch.manual_seed(0)
    model = cry_model.build_model("improved-ecapa-tdnn", 5, 64, channels=16)
    theirs, ours = AveragedModel(model, use_buffers=True), Ema(model, 0.25)
    for decay in (0.0, 2 / 11, 3 / 12, 0.25, 0.25):  # the first is a copy
        theirs.multi_avg_fn = get_ema_multi_avg_fn(decay)
        with torch.no_grad():
            for tensor in numbers(model):
                tensor.add_(torch.randn_like(tensor))
        ours.update()
        theirs.update_parameters(model)
    for a, b in zip(numbers(ours.model), numbers(theirs.module), strict=True):
        torch.testing.assert_close(a, b)


def test_validation_scores_match_scikit_learn(clips, monkeypatch):
    uneven, rng = clips.subset(range(27)), np.random.default_rng(0)
    labels = uneven.labels.numpy()
    pieces = [rng.dirichlet(np.ones(5), 1 + label % 3) for label in labels]
    monkeypatch.setattr(trainer, "piece_probabilities", lambda *_: pieces)
    found, rows = score(None, None, uneven), np.stack([part.mean(0) for part in pieces])
    assert found[RECALL] == pytest.approx(balanced_accuracy_score(labels, rows.argmax(1)))
    weights = 1 / np.bincount(labels)[labels]
    assert found[LOSS] == pytest.approx(log_loss(labels, rows, sample_weight=weights))


def test_early_stopping_restores_the_best_weights(clips, fitted):
    held = clips.subset(range(0, 30, 6))
    data = TrainingData(clips.subset([i for i in range(30) if i % 6]), 5, held)
    # Steps this large only increase the loss.
    preset = replace(WATCHED, epochs=12, learning_rate=0.5, ema_decay=0.0, schedule="constant")
    model, epochs = fitted(preset, channels=16, data=data)
    losses = [epoch[LOSS] for epoch in epochs]
    assert len(epochs) == int(np.argmin(losses)) + 1 + preset.patience < 12
    found = score(model, FrontEnd(preset.front_end), held)
    assert found[LOSS] == pytest.approx(min(losses), rel=1e-4)


def test_training_and_validation_exclude_the_test_fold(clips, accelerator, tmp_path, monkeypatch):
    """Include a third without labels, which is learnt from but not used to validate or test."""
    items, labels = list(clips.items), clips.labels.clone()
    items[::3], labels[::3] = (replace(item, label=None) for item in items[::3]), -1
    clips = replace(clips, items=tuple(items), labels=labels)
    data = Prepared(Corpus("mine", LABELS, clips.items, ""), clips)
    teacher = Mock(reused=False, facts=dict, overlaps_training_data=lambda *_: False)
    experiment = Experiment(SYSTEM, data, "baby", WATCHED, 3, accelerator, teacher=teacher)
    fitted = Mock(side_effect=lambda model, *_: model.eval())
    monkeypatch.setattr(trainer, "fit", fitted)
    run = Run(experiment, (0,), tmp_path)
    cross_validation.cross_validate(run, FrontEnd(WATCHED.front_end))
    table = pd.read_csv(run.results_folder / "predictions.csv")
    assert table["recording"].nunique() == 20  # of 30
    assert fitted.call_count == 3
    for fold, call in enumerate(fitted.call_args_list):
        given, tested = call.args[2], set(table.loc[table["fold"] == fold, "group"])
        watched, learnt = ({i.group for i in c.items} for c in (given.validation, given.clips))
        assert watched
        assert not (watched & learnt) | ((watched | learnt) & tested)
        assert watched | learnt | tested == {item.group for item in items}
        assert None in {item.label for item in given.clips.items}
        assert None not in {item.label for item in given.validation.items}


def test_fp16_error_is_that_of_the_reloaded_checkpoint(clips, tmp_path):
    torch.manual_seed(0)
    config = CheckpointConfig(SYSTEM, tuple("abcde"), BEST.front_end, settings={"channels": 16})
    model, front_end, few = (
        config.build().eval(),
        FrontEnd(BEST.front_end),
        clips.subset([0, 7, 14]),
    )
    before = copy.deepcopy(model.state_dict())
    for half in (True, False):
        save_checkpoint(tmp_path / str(half), model, config, half=half)
    sizes = {half: (tmp_path / str(half) / WEIGHTS).stat().st_size for half in (True, False)}
    assert sizes[False] - sizes[True] >= 2 * sum(t.numel() for t in model.parameters())
    loaded, _ = load_checkpoint(tmp_path / "True")
    answers = (piece_probabilities(one, front_end, few) for one in (model, loaded))
    expected = max(np.abs(a - b).max() for a, b in zip(*answers, strict=True))
    assert fp16_error(model, front_end, few) == expected
    assert 0 < expected < MAX_FP16_ERROR
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
