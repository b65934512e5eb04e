"""Early stopping looks at held-back recordings of the training part, and never at a test fold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch import nn

from cry_model import FrontEnd
from train.data.cache import Prepared
from train.data.datasets import donateacry
from train.data.splits import split
from train.fit import cross_validation as fitting_all
from train.fit import trainer as fitting
from train.fit.presets import BEST
from train.fit.run import Experiment, Run
from train.fit.trainer import EarlyStopping, Score, TrainingData, score

WATCHED = replace(BEST, epochs=4, batch=8, validation=0.34, patience=2)


class Fixed(nn.Module):
    """Answers with the same logits whatever it hears; learns nothing."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, features):
        return self.logits + 0 * features.mean((1, 2)).unsqueeze(1) + features[:, 0, :5]


def test_the_score_is_that_of_scikit_learn(clips):
    front_end, model = FrontEnd(BEST.front_end), Fixed([0.3, -0.2, 0.1, 0.0, 0.2])
    found = score(model, front_end, clips)
    with torch.inference_mode():
        rows = [
            model(front_end(clips.pieces(front_end, i).waveforms)).softmax(-1).mean(0)
            for i in range(len(clips.items))
        ]
    expected = torch.stack(rows).double().numpy()
    labels = clips.labels.numpy()
    weights = 1 / np.bincount(labels)[labels]
    guess = expected.argmax(1)
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, guess))
    normal = expected / expected.sum(1, keepdims=True)
    assert found.loss == pytest.approx(log_loss(labels, normal, sample_weight=weights), rel=1e-6)


def test_the_watch_keeps_the_best_and_says_when_it_is_enough():
    watch, model = EarlyStopping(None, patience=2), Fixed([0.0] * 5)
    for loss, enough in ((1.0, False), (0.8, False), (0.9, False), (0.8, True)):
        with torch.no_grad():
            model.logits.fill_(loss)
        watch.update(Score(0.5, loss), model)
        assert watch.stop == enough
    assert watch.best["logits"].tolist() == pytest.approx([0.8] * 5)
    copy = EarlyStopping(None, patience=2)
    copy.restore(watch.state())
    assert copy.stop
    assert copy.best_loss == 0.8


def test_a_fit_that_gets_no_better_ends_early_with_its_best_weights(clips, fitted):
    held = clips.subset(range(0, 30, 6))
    data = TrainingData(clips.subset([i for i in range(30) if i % 6]), 5, held)
    # Such steps do nothing but harm.
    preset = replace(WATCHED, epochs=12, learning_rate=0.5, ema_decay=0.0, schedule="constant")
    model, epochs = fitted(preset, channels=16, data=data)
    losses = [epoch.score.loss for epoch in epochs]
    best = int(np.argmin(losses))
    assert len(epochs) == best + 1 + preset.patience < 12
    found = score(model, FrontEnd(preset.front_end), held)
    assert found.loss == pytest.approx(losses[best], rel=1e-4)


def test_what_is_watched_is_of_the_training_part_alone(
    made_up_root, clips, accelerator, tmp_path, monkeypatch
):
    corpus = donateacry.read(made_up_root)
    experiment = Experiment("ecapa-tdnn", Prepared(corpus, clips), "baby", WATCHED, 3, accelerator)
    run = Run(experiment, (0,), tmp_path)
    lessons = []
    monkeypatch.setattr(
        fitting, "fit", lambda model, _front, data, *_: lessons.append(data) or model.eval()
    )
    fitting_all.cross_validate(run, FrontEnd(WATCHED.front_end))
    fold_of = split(clips.items, "baby", 3, 0)
    assert len(lessons) == 3
    for fold, data in enumerate(lessons):
        tested = {i.group for i, f in zip(clips.items, fold_of, strict=True) if f == fold}
        watched = {item.group for item in data.validation.items}
        learnt = {item.group for item in data.clips.items}
        assert watched
        assert learnt
        assert not watched & learnt
        assert not (watched | learnt) & tested
        assert watched | learnt | tested == {item.group for item in clips.items}
