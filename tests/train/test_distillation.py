"""Test distillation: soft targets of a teacher, and a student's agreement with it."""

import json
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy

import cry_model
from cry_model import AcousticConfig, CheckpointConfig, FrontEnd, FrontEndConfig, save_checkpoint
from cry_model.classifier import CryClassifier
from cry_model.declared import read
from cry_model.records import Agreement, Calibration
from tests.train.folders import RATE, write
from tests.train.small_fit import CHECKPOINT, RESULTS, SYSTEM, fit
from train.data.cache import DATASETS, with_unlabelled
from train.data.corpus import Corpus, DataError, Prepared, load_clips
from train.data.datasets.public import IOS
from train.data.datasets.public import REASONS as LABELS
from train.data.synthesis import STYLES, synthesise
from train.fit import cross_validation, trainer
from train.fit.distillation import compare, load_start, load_teacher
from train.fit.presets import BEST, BEST_SETTINGS, DISTIL
from train.fit.trainer import TrainingData
from train.scoring.calibration import calibrate

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Save an untrained system with a random bias, so that its probabilities are not uniform."""
    folder = tmp_path_factory.mktemp("teacher") / "wise"
    torch.manual_seed(5)
    config = CheckpointConfig(SYSTEM, LABELS, BEST.front_end, settings={"channels": 16})
    model = config.build()
    torch.nn.init.normal_(model.classifier.bias, std=2.0)
    save_checkpoint(folder, model, config)
    return folder


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_targets_mix_labels_and_teacher_probabilities(checkpoint, weight):
    waves = torch.randn(3, 24_000, generator=torch.manual_seed(0))
    targets = torch.tensor([[0.0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    teacher = load_teacher(checkpoint, weight, LABELS, SYSTEM, BEST.front_end, CPU)
    found = teacher.teach(waves, targets)
    model, config = cry_model.load_checkpoint(checkpoint)
    with torch.no_grad():
        soft = model(FrontEnd(config.front_end)(waves)).softmax(-1).numpy()
    expected = (1 - weight) * targets.numpy() + weight * soft
    expected[1] = soft[1]  # unlabelled: the teacher's probabilities alone
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "known"), [("donateacry_ios", 21), ("theirs", 0)])
def test_unlabelled_recordings_join_without_duplicates(clips, name, known):
    """Recognise known recordings by name among uploads, and by sound in other corpora."""
    few, extra = clips.subset(range(6)), clips.subset([known, 20])
    namesake = few.items[1].recording
    names = (namesake.upper(), "new") if known else ("new", namesake)
    items = tuple(replace(i, recording=n) for i, n in zip(extra.items, names, strict=True))
    own = Prepared(Corpus("donateacry", LABELS, few.items, "one licence"), few)
    theirs = Prepared(Corpus(name, LABELS, items, "another"), replace(extra, items=items))
    data = with_unlabelled(own, theirs)
    assert [item.group for item in data.clips.items[6:]] == [clips.items[20].group]
    assert (data.clips.items[6].label, data.clips.labels[6]) == (None, -1)
    assert data.corpus.licence == "one licence; another"


def test_a_teacher_fitted_on_the_corpus_prevents_measurement(
    checkpoint, made_up_root, tmp_path, capsys
):
    model, config = cry_model.load_checkpoint(checkpoint)
    heard = replace(config, training={"dataset": "donateacry_ios"})  # it has the same babies
    save_checkpoint(tmp_path / "heard", model, heard)
    assert fit(made_up_root, tmp_path / "out", "--teacher", tmp_path / "heard") == 0
    assert "Not measured: the teacher was fitted on donateacry_ios" in capsys.readouterr().out
    assert not (tmp_path / "out" / "results").exists()
    assert cry_model.load_checkpoint(tmp_path / "out" / CHECKPOINT)[1].evaluation is None


SIX = ("awake", "diaper", "hug")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write two uploads of each of four babies, and of ESC-10 two baby cries and two dog barks, in
    styles that a teacher tells apart."""
    root, styles = tmp_path_factory.mktemp("cries"), list(STYLES)
    for n in range(8):
        baby = f"0000000{n // 2}-0000-0000-0000-{'A' * 12}"
        wave = synthesise(styles[n % 3], 3.0, RATE, seed=n).waveform
        write(root / IOS / f"{baby}-143043{n:04d}-1.0-m-04-hu.flac", wave)
    for place in ("001 - Dog bark/1", "004 - Baby cry/2"):
        for take in range(2):
            wave = synthesise(styles[take], 3.0, 44_100, seed=50 + take).waveform
            write(root / "esc10" / f"{place}-{take}-A.ogg", wave, 44_100)
    return root


@pytest.fixture(scope="module")
def mlp(tmp_path_factory):
    """Save an untrained feature-mlp that regards no recording as out of distribution."""
    torch.manual_seed(3)
    config = CheckpointConfig("feature-mlp", SIX, AcousticConfig(), {"hidden": 16})
    folder, model = tmp_path_factory.mktemp("teacher") / "wise", config.build()
    model.mean[0], model.mean[5:] = 0.4, 5.0
    model.scale.fill_(30.0)
    model.limit.fill_(50.0)
    save_checkpoint(folder, model, config)
    return folder


def of_cries(root, out, *more):
    size = ("--set", "channels=16", "stages=3")
    return fit(root, out, "--dataset", "cries", "--preset", "distil", *more, *size)


def test_agreement_is_measured_on_held_out_babies(root, mlp, tmp_path, monkeypatch, capsys):
    learnt, train_model = [], cross_validation.train_model

    def remember(run, clips, *rest):
        learnt.append((clips.labels.tolist(), {item.group for item in clips.items}))
        return train_model(run, clips, *rest)

    monkeypatch.setattr(cross_validation, "train_model", remember)
    assert of_cries(root, tmp_path, "--teacher", mlp) == 0
    assert ": agreement 0." in capsys.readouterr().out
    (folder,) = (tmp_path / "results" / "cries" / "baby").iterdir()
    record = json.loads((folder / "run.json").read_text())
    table = pd.read_csv(folder / "predictions.csv")
    for (labels, groups), fold in zip(learnt[:2], (0, 1), strict=True):  # the last fit uses all
        assert set(labels) == {-1}  # the teacher's answer is not used as a label
        assert not groups & set(table[table["fold"] == fold]["group"])
    told, classifier = pd.read_csv(folder / "teacher.csv"), CryClassifier.from_pretrained(mlp)
    told = {name: np.array(row) for name, *row in told.itertuples(index=False)}
    for item in DATASETS["cries"].read(root).items:
        answer = classifier.predict(item.path).probabilities.values()
        assert told[item.recording] == pytest.approx(list(answer), abs=2e-3)
    facts = {"dataset": "cries", "folds": 2}
    agreement = compare(table, told, SIX, teacher="wise", **facts)
    calibration = calibrate(table, SIX, 0.8, told, protocol="baby", **facts)
    (student,) = (tmp_path / "checkpoints").iterdir()
    prediction = CryClassifier.from_pretrained(student).predict(item.path)
    assert prediction.evaluation is None
    assert prediction.agreement == read(Agreement, record["agreement"])
    assert prediction.agreement.agreement.value == pytest.approx(agreement.agreement.value)
    found = prediction.agreement.divergence.value
    assert found == pytest.approx(agreement.divergence.value, abs=1e-3)
    assert prediction.calibration == read(Calibration, record["calibration"])
    assert prediction.calibration.against == "teacher"
    assert prediction.calibration.threshold == pytest.approx(calibration.threshold, abs=1e-4)


def test_invalid_distillation_is_refused(root, mlp, tmp_path, capsys):
    assert of_cries(root, tmp_path) == 2
    assert "No recording has a label" in capsys.readouterr().err
    assert of_cries(root, tmp_path, "--teacher", mlp, "--protocol", "clip") == 2
    assert "whole recordings" in capsys.readouterr().err


def test_agreement_and_divergence_match_numpy_and_scipy():
    rng = np.random.default_rng(0)
    teacher, student = (rng.dirichlet([1, x, x], 60) for x in (0.3, 1))
    names = [f"r{i}" for i in range(60)]
    table = pd.DataFrame({"recording": names, "group": names, "seed": 0})
    table[[f"p_{label}" for label in SIX]] = student
    predicted = dict(zip(names, teacher, strict=True))
    found = compare(table, predicted, SIX, teacher="t", dataset="cries", folds=3)
    usual = np.bincount(teacher.argmax(1)).argmax()
    same, always = student.argmax(1) == teacher.argmax(1), usual == teacher.argmax(1)
    assert found.agreement.value == pytest.approx(same.mean())
    assert found.constant.value == pytest.approx(always.mean())
    assert found.gain.value == pytest.approx(same.mean() - always.mean())
    assert found.gain.low < found.gain.value < found.gain.high
    assert found.divergence.value == pytest.approx(entropy(teacher, student, axis=1).mean())
    expected = entropy(teacher, teacher.mean(0)[None], axis=1).mean()
    assert found.constant_divergence.value == pytest.approx(expected)


def test_a_student_regresses_features_and_reuses_the_classifier(mlp, root, accelerator):
    front_end = FrontEnd(DISTIL.front_end)
    teacher = load_teacher(mlp, 1.0, (), SYSTEM, DISTIL.front_end, CPU)
    waves = torch.randn(3, 48_000, generator=torch.manual_seed(0))
    inputs = teacher.model.inputs(teacher.front_end(waves))
    torch.testing.assert_close(teacher.teach(waves, torch.zeros(3, 3)), inputs.clamp(-5, 5))
    clips = load_clips(DATASETS["cries"].read(root), front_end)
    preset = replace(DISTIL, epochs=12, batch=8, ema_decay=0.0, augmentation=None)
    student = cry_model.build_model(SYSTEM, 3, 64, channels=16, **teacher.settings)
    student.classifier.teacher.load_state_dict(teacher.model.state_dict())
    data, report = TrainingData(clips, 3, None, teacher), Mock()
    trainer.fit(student, front_end, data, preset, 0, accelerator, report=report)
    losses = [call.args[1]["loss"] for call in report.call_args_list]
    assert losses[-1] < 0.7 * losses[0]
    frozen = student.classifier.teacher.state_dict()
    assert all(torch.equal(a, frozen[name]) for name, a in teacher.model.state_dict().items())
    embedding = []
    student.classifier.features.register_forward_hook(lambda *a: embedding.append(a[2]))
    with torch.no_grad():
        answer = student(front_end(waves))
        torch.testing.assert_close(answer, teacher.model.answer(embedding[0].clamp(-5, 5)))


def begun(folder, dataset="esc10", front_end=BEST.front_end, **settings):
    """Save a checkpoint with random weights."""
    settings, labels = {**BEST_SETTINGS, "channels": 8, "stages": 1, **settings}, tuple("abcdefg")
    config = CheckpointConfig(SYSTEM, labels, front_end, settings, {"dataset": dataset})
    save_checkpoint(folder, config.build(), config)


@pytest.mark.parametrize(
    ("given", "system", "said"),
    [
        ({"dataset": "cries"}, SYSTEM, "held-out folds"),
        ({"front_end": FrontEndConfig(floor_db=-60.0)}, SYSTEM, "another front end"),
        ({}, "resnet18", "another front end"),
        ({"channels": 32}, SYSTEM, "do not fit"),
    ],
)
def test_incompatible_start_weights_are_refused(tmp_path, given, system, said):
    begun(tmp_path, **given)
    with pytest.raises(DataError, match=said):  # at once, or when they are loaded into the system
        load_start(tmp_path, "donateacry", system, BEST.front_end).begin(
            cry_model.build_model(SYSTEM, 5, 64, channels=8, stages=1)
        )


def test_a_fit_records_its_teacher_and_start(checkpoint, finished_fit, made_up_root, tmp_path):
    begun(tmp_path / "start")
    more = ("--teacher", checkpoint, "--teacher-weight", "0.9", "--start-from", tmp_path / "start")
    assert fit(made_up_root, tmp_path, *more, "--no-checkpoint") == 0
    record = json.loads((tmp_path / RESULTS / "run.json").read_text())
    teacher, start = (record["configuration"][name] for name in ("teacher", "start"))
    assert (teacher["name"], teacher["weight"], start["name"]) == ("wise", 0.9, "start")
    assert str(tmp_path) not in json.dumps(record)
    tables = [pd.read_csv(out / RESULTS / "predictions.csv") for out in (tmp_path, finished_fit)]
    assert (tables[0]["recording"] == tables[1]["recording"]).all()
    assert (tables[0]["p_hungry"] - tables[1]["p_hungry"]).abs().max() > 1e-4
