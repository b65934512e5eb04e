"""A teacher's probabilities as targets, on labelled and unlabelled recordings."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import cry_model
from cry_model import PAPER_FRONT_END, CheckpointConfig, FrontEnd, save_checkpoint
from tests.train.small_fit import CHECKPOINT, RESULTS, SYSTEM, fit
from train.data.cache import Prepared, with_unlabelled
from train.data.corpus import Corpus, DataError
from train.data.datasets import donateacry
from train.data.datasets.donateacry import LABELS
from train.fit import cross_validation as fitting_all
from train.fit import trainer as fitting
from train.fit.distillation import load_teacher
from train.fit.predict import piece_probabilities
from train.fit.presets import BEST
from train.fit.run import Experiment, Run
from train.fit.trainer import TrainingData

QUICK = replace(BEST, epochs=2, batch=8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained system that has teacher_predictions all the same."""
    folder = tmp_path_factory.mktemp("teacher") / "wise"
    torch.manual_seed(5)
    config = CheckpointConfig(SYSTEM, LABELS, BEST.front_end, settings={"channels": 16})
    model = config.build()
    torch.nn.init.normal_(model.classifier.bias, std=2.0)
    save_checkpoint(folder, model, config)
    return folder


@pytest.fixture
def teacher(checkpoint):
    def load(weight=0.5, labels=LABELS, student=BEST.front_end):
        return load_teacher(checkpoint, weight, labels, SYSTEM, student, torch.device("cpu"))

    return load


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_targets_mix_labels_and_opinion(teacher, checkpoint, weight):
    waves = torch.randn(3, 24_000, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0.0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    found = teacher(weight).teach(waves, targets)
    model, config = cry_model.load_checkpoint(checkpoint)
    with torch.no_grad():
        soft = model(FrontEnd(config.front_end)(waves)).softmax(-1).numpy()
    expected = (1 - weight) * targets.numpy() + weight * soft
    expected[1] = soft[1]  # nobody else labels it
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_a_teacher_of_other_classes_or_ears_is_refused(teacher):
    with pytest.raises(DataError, match="tells apart belly_pain"):
        teacher(labels=("hungry", "tired"))
    with pytest.raises(DataError, match="prepared in another way"):
        teacher(student=replace(BEST.front_end, sample_rate=16_000))
    assert teacher(student=PAPER_FRONT_END)  # hears other features of the same sound


def test_a_student_of_unlabelled_recordings_comes_to_agree_with_its_teacher(teacher, clips, fitted):
    clips = clips.subset(range(0, 30, 2))
    nameless = tuple(replace(item, label=None) for item in clips.items)
    unlabelled = replace(clips, items=nameless, labels=clips.labels * 0 - 1)
    preset = replace(
        QUICK, epochs=20, learning_rate=5e-3, augmentation=None, label_smoothing=0.0, ema_decay=0.0
    )
    front_end, wise = FrontEnd(preset.front_end), teacher(1.0)

    def gap(model):
        ours, theirs = (
            np.concatenate(piece_probabilities(m, front_end, clips)) for m in (model, wise.model)
        )
        return np.abs(ours - theirs).mean()

    data = TrainingData(unlabelled, 5, teacher=wise)
    idle = replace(preset, epochs=1, learning_rate=0.0)
    untaught, _ = fitted(idle, channels=16, data=data)
    taught, _ = fitted(preset, channels=16, data=data)
    assert gap(taught) < 0.5 * gap(untaught)


def test_unlabelled_recordings_join_without_those_that_are_there_already(clips):
    corpus = Corpus("donateacry", LABELS, clips.items, "one licence")
    more = replace(clips.items[0], recording="NEW", label="hungry")
    same = replace(clips.items[1], recording=clips.items[1].recording.upper())
    extra_clips = replace(clips.subset([0, 1]), items=(more, same))
    extra = Prepared(Corpus("donateacry_ios", LABELS, (more, same), "another"), extra_clips)
    data = with_unlabelled(Prepared(corpus, clips), extra)
    assert len(data.clips.items) == 31
    assert data.clips.items[-1].label is None
    assert data.clips.labels[-1] == -1
    assert data.corpus.licence == "one licence; another"


def test_unlabelled_recordings_are_told_by_their_sound_where_names_say_nothing(clips):
    corpus = Corpus("mine", LABELS, clips.items[:6], "")
    own = clips.subset(range(6))
    renamed = replace(clips.items[0], recording="other name")
    namesake = replace(clips.items[20], recording=clips.items[1].recording)
    extra = replace(clips.subset([0, 20]), items=(renamed, namesake))
    data = with_unlabelled(Prepared(corpus, own), Prepared(replace(corpus, name="theirs"), extra))
    assert [item.group for item in data.clips.items[6:]] == [namesake.group]


def test_a_teacher_that_has_heard_the_corpus_is_not_measured(
    checkpoint, made_up_root, tmp_path, capsys
):
    model, config = cry_model.load_checkpoint(checkpoint)
    heard = replace(config, training={"dataset": "donateacry_ios"})  # the same babies
    save_checkpoint(tmp_path / "heard", model, heard)
    assert fit(made_up_root, tmp_path / "out", "--teacher", tmp_path / "heard") == 0
    assert "Not measured: the teacher was fitted on donateacry_ios" in capsys.readouterr().out
    assert not (tmp_path / "out" / "results").exists()
    assert cry_model.load_checkpoint(tmp_path / "out" / CHECKPOINT)[1].evaluation is None


def test_the_command_distils_and_keeps_the_babies_of_a_fold_apart(
    checkpoint, finished_fit, made_up_root, tmp_path, capsys
):
    taught = ("--teacher", checkpoint, "--teacher-weight", "0.9", "--no-checkpoint")
    assert fit(made_up_root, tmp_path, *taught) == 0
    record = json.loads((tmp_path / RESULTS / "run.json").read_text())
    named = record["configuration"]["teacher"]
    assert (named["name"], named["weight"]) == ("wise", 0.9)
    assert str(tmp_path) not in json.dumps(record)
    tables = [pd.read_csv(out / RESULTS / "predictions.csv") for out in (tmp_path, finished_fit)]
    assert (tables[0]["recording"] == tables[1]["recording"]).all()
    assert not np.allclose(tables[0]["p_hungry"], tables[1]["p_hungry"], atol=1e-3)
    capsys.readouterr()
    assert fit(made_up_root, tmp_path / "x", "--unlabelled", "donateacry") == 2
    assert "need a --teacher" in capsys.readouterr().err


def test_an_unlabelled_recording_of_a_tested_baby_is_not_learnt_from(
    clips, accelerator, tmp_path, teacher, monkeypatch
):

    first_of_each = [i for i, item in enumerate(clips.items) if i % 2 == 0]
    items = tuple(
        item if i in first_of_each else replace(item, label=None)
        for i, item in enumerate(clips.items)
    )
    labels = torch.where(torch.arange(30) % 2 == 0, clips.labels, -1)
    data = Prepared(
        Corpus(donateacry.NAME, LABELS, items, ""), replace(clips, items=items, labels=labels)
    )
    experiment = Experiment(SYSTEM, data, "baby", QUICK, 3, accelerator, teacher=teacher())
    run = Run(experiment, (0,), tmp_path)
    lessons = []
    monkeypatch.setattr(
        fitting, "fit", lambda model, _front, data, *_: lessons.append(data) or model.eval()
    )
    fitting_all.cross_validate(run, FrontEnd(QUICK.front_end))
    table = pd.read_csv(run.results_folder / "predictions.csv")
    assert table["recording"].nunique() == 15  # only what has a label is tested
    for fold, data in enumerate(lessons):
        tested = set(table.loc[table["fold"] == fold, "group"])
        learnt = [item.group for item in data.clips.items]
        assert not tested & set(learnt)
        assert len(learnt) == 30 - 2 * len(tested)  # labelled and unlabelled of all others
