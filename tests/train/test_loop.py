"""The loop on synthetic audio: it learns, repeats itself, and says when it cannot go on."""

from dataclasses import replace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import cry_model
from cry_model import FrontEnd, audio
from cry_model.registry import ON_SPECTROGRAMS
from train.data.clips import load_clips
from train.data.corpus import Corpus, DataError, Item
from train.data.datasets import donateacry
from train.fit.predict import TrainingError, piece_probabilities
from train.fit.presets import BEST, PAPER
from train.fit.state import Ema, TrainingState, numbers
from train.fit.trainer import DeviceDataset, schedule

QUICK = replace(BEST, epochs=1, batch=8)
NARROW = {
    "ecapa-tdnn": {"channels": 16, "mfa_channels": 16, "bottleneck": 8, "embedding": 8},
    "resnet18": {},
}


@pytest.mark.parametrize("system", ON_SPECTROGRAMS)
def test_every_system_trains_an_epoch(fitted, system):
    _, epochs = fitted(QUICK, system, **NARROW.get(system, {"channels": 8, "stages": 1}))
    assert len(epochs) == 1
    assert epochs[0].loss == pytest.approx(1.61, abs=0.7)  # ln 5, before it has learnt


def test_the_paper_preset_trains_on_13_mfcc(fitted):
    _, epochs = fitted(replace(PAPER, epochs=1, batch=8), channels=8, stages=1)
    assert len(epochs) == 1


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(fitted):
    a, b, c = (fitted(QUICK, channels=8, stages=1, seed=s)[0].state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_the_loss_falls(fitted):
    preset = replace(QUICK, epochs=10, augmentation=None, label_smoothing=0.0, ema_decay=0.0)
    _, epochs = fitted(replace(preset, learning_rate=0.01), channels=16, stages=1)
    assert epochs[-1].loss < 0.75 * epochs[0].loss


def test_balanced_drawing_gives_every_class_its_share(clips):
    uneven = clips.subset([i for i, label in enumerate(clips.labels) if label < 2 or i % 6 == 0])
    rng = torch.Generator().manual_seed(0)
    for balance, share in ((1.0, 0.2), (0.0, 1 / len(uneven.items))):
        dataset = DeviceDataset(uneven, 5, balance, torch.device("cpu"))
        _, targets = dataset.draw(4000, 80, rng)
        assert targets.mean(0)[4] == pytest.approx(share, abs=0.03)


def test_drawn_pieces_are_stretches_of_one_clip(clips):
    short = clips.subset([0, 7])
    dataset = DeviceDataset(short, 5, 0.0, torch.device("cpu"))
    for length in (800, 40_000):
        pieces, targets = dataset.draw(6, length, torch.Generator().manual_seed(1))
        for piece, target in zip(pieces, targets, strict=True):
            clip = short.waveforms[int(target.argmax() == short.labels[1])]
            repeated = clip.repeat(length // len(clip) + 2)
            starts = (repeated[: len(clip)] == piece[0]).nonzero().flatten()
            assert any(torch.equal(repeated[s : s + length], piece) for s in starts)


def test_schedule_rises_then_falls_and_a_constant_one_does_not():
    values = [schedule(BEST, step, 100) for step in range(100)]
    assert max(values) == values[24] == 1
    assert values[0] < 0.1
    assert values[-1] < 0.01
    assert {schedule(PAPER, step, 100) for step in range(100)} == {1.0}


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(fitted, monkeypatch):
    monkeypatch.setattr("train.fit.trainer.schedule", lambda *_: float("inf"))
    broken = replace(QUICK, epochs=2)
    with pytest.raises(TrainingError, match="not a number after epoch"):
        fitted(broken, channels=8, stages=1)


def test_the_state_before_the_trouble_is_kept(fitted, tmp_path, monkeypatch):
    state = TrainingState(tmp_path / "fit.pt", "this")
    fitted(replace(QUICK, epochs=1), channels=16, state=state)
    before = state.path.read_bytes()

    def ruin(ema):  # after the last loss of the epoch was measured
        with torch.no_grad():
            ema.source.classifier.weight[0, 0] = float("nan")

    monkeypatch.setattr(Ema, "update", ruin)
    with pytest.raises(TrainingError, match="after epoch 2"):
        fitted(replace(QUICK, epochs=2, batch=30), channels=16, state=state)
    assert state.path.read_bytes() == before


def test_a_fit_that_hears_no_numbers_is_refused(clips):
    model = cry_model.build_model("improved-ecapa-tdnn", 5, 64, channels=16).eval()
    with torch.no_grad():
        model.classifier.weight.fill_(float("inf"))
    with pytest.raises(TrainingError, match="lower learning rate"):
        piece_probabilities(model, FrontEnd(BEST.front_end), clips.subset([0]))


def test_the_average_is_that_of_torch_whose_decay_rises(clips):
    torch.manual_seed(0)
    model = cry_model.build_model("improved-ecapa-tdnn", 5, 64, channels=16)
    theirs = AveragedModel(model, use_buffers=True)
    ours = Ema(model, 0.25)
    for decay in (0.0, 2 / 11, 3 / 12, 0.25, 0.25):  # the first is a copy
        theirs.multi_avg_fn = get_ema_multi_avg_fn(decay)
        with torch.no_grad():
            for tensor in numbers(model):
                tensor.add_(torch.randn_like(tensor))
        ours.update()
        theirs.update_parameters(model)
    for a, b in zip(numbers(ours.model), numbers(theirs.module), strict=True):
        torch.testing.assert_close(a, b)


def test_an_epoch_draws_as_many_pieces_as_the_preset_says(fitted, monkeypatch):
    drawn = []
    draw = DeviceDataset.draw

    def count(self, count, *rest):
        drawn.append(count)
        return draw(self, count, *rest)

    monkeypatch.setattr(DeviceDataset, "draw", count)
    fitted(replace(QUICK, epochs=2, samples_per_epoch=24), channels=8, stages=1)
    assert drawn == [8] * 6


def test_an_unreadable_recording_is_left_out_and_named(made_up_root, tmp_path):
    good = donateacry.read(made_up_root).items[0]
    bad = Item(tmp_path / "bad.wav", good.label, "bad", "bad", "g")
    bad.path.write_text("nothing to hear")
    corpus = Corpus("mixed", (good.label,), (good, bad), "none")
    clips = load_clips(corpus, FrontEnd(QUICK.front_end))
    assert clips.items == (good,)
    assert list(clips.left_out) == ["bad"]
    with pytest.raises(DataError, match="No recording"):
        load_clips(replace(corpus, items=(bad,)), FrontEnd(QUICK.front_end))


def test_training_hears_what_the_classifier_hears(clips):
    front_end = FrontEnd(QUICK.front_end)
    clip = front_end.prepare(audio.load(clips.items[0].path))
    assert torch.equal(clip.waveform, clips.waveforms[0])
    assert torch.equal(clips.pieces(front_end, 0).waveforms, front_end.cut(clip).waveforms)
