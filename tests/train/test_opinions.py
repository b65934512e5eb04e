"""A student of real cries: what it hears, what it is asked, how its agreement is counted."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from scipy.stats import entropy

import cry_model
from cry_model import AcousticConfig, CheckpointConfig, FrontEnd, save_checkpoint
from cry_model.checkpoint import CheckpointError, read_agreement, read_calibration
from cry_model.classifier import CryClassifier
from train.__main__ import main
from train.data.clips import load_clips
from train.data.corpus import DataError
from train.data.datasets import DATASETS
from train.data.datasets import unlabelled as cries
from train.data.datasets.donateacry_ios import NAME as IOS
from train.data.synthesis import STYLES, synthesise
from train.fit import trainer as fitting
from train.fit.distillation import compare, load_teacher
from train.fit.presets import BEST, DISTIL
from train.fit.trainer import TrainingData, fit
from train.scoring.calibration import calibrate

LABELS = ("awake", "diaper", "hug")
BABIES, CLIPS = 4, 2


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Uploads of four babies, two each, and two cries of ESC-10 with a dog."""
    root = tmp_path_factory.mktemp("cries")
    (root / IOS).mkdir()
    for n in range(BABIES * CLIPS):
        cry = synthesise(list(STYLES)[n % 3], 3.0, 16_000, seed=n)
        baby = f"0000000{n // CLIPS}-0000-0000-0000-{'A' * 12}"
        soundfile.write(root / IOS / f"{baby}-143043{n:04d}-1.0-m-04-hu.flac", cry.waveform, 16_000)
    for folder, fold in (("001 - Dog bark", 1), ("004 - Baby cry", 2)):
        (root / "esc10" / folder).mkdir(parents=True)
        for take in range(2):
            cry = synthesise(list(STYLES)[take], 3.0, 44_100, seed=50 + take)
            name = f"{fold}-{take}-A.ogg"
            soundfile.write(root / "esc10" / folder / name, cry.waveform, 44_100)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained feature-mlp with teacher_predictions, whatever the recording."""
    torch.manual_seed(3)
    config = CheckpointConfig("feature-mlp", LABELS, AcousticConfig(), {"hidden": 16})
    folder = tmp_path_factory.mktemp("teacher") / "wise"
    model = config.build()
    model.mean[0], model.mean[5:] = 0.4, 5.0
    model.scale.fill_(30.0)
    model.limit.fill_(50.0)
    save_checkpoint(folder, model, config)
    return folder


def test_the_cries_are_nameless_and_no_other_sound_is_among_them(root):
    corpus = DATASETS["cries"].read(root)
    assert len(corpus.items) == BABIES * CLIPS + 2
    assert {item.label for item in corpus.items} == {None}
    assert len({item.group for item in corpus.items}) == BABIES + 2
    assert "ODbL" in corpus.licence
    assert "CC BY" in corpus.licence


def test_the_real_cries_are_those_of_16_khz_and_more(data_root):
    corpus = cries.read(data_root)
    assert len(corpus.items) == 416 + 40
    assert min(soundfile.info(item.path).samplerate for item in corpus.items[::20]) >= 16_000


def test_a_student_is_measured_against_its_teacher_on_babies_it_has_not_heard(
    root, checkpoint, tmp_path, monkeypatch, capsys
):
    learnt = []

    def remember(run, clips, *rest):
        learnt.append((clips.labels.tolist(), {item.group for item in clips.items}))
        return train_model(run, clips, *rest)

    train_model = fitting.train_model
    monkeypatch.setattr("train.fit.cross_validation.train_model", remember)
    words = ["fit", "--system", "improved-ecapa-tdnn-no-mca", "--dataset", "cries"]
    words += ["--data-root", str(root), "--teacher", str(checkpoint), "--preset", "distil"]
    words += ["--epochs", "1", "--folds", "2", "--set", "channels=16", "--out", str(tmp_path)]
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 0
    assert ": agreement 0." in capsys.readouterr().out
    (folder,) = (tmp_path / "results" / "cries" / "baby").iterdir()
    record = json.loads((folder / "run.json").read_text())
    table = pd.read_csv(folder / "predictions.csv")
    told = pd.read_csv(folder / "teacher.csv").set_index("recording")
    for (labels, groups), fold in zip(learnt, (0, 1), strict=True):
        assert set(labels) == {-1}  # the teacher's opinion is no label
        assert not groups & set(table[table["fold"] == fold]["group"])
    columns = [f"p_{label}" for label in LABELS]
    mean = table.groupby("recording")[columns].mean()
    asked = told.loc[mean.index].to_numpy()
    same = mean.to_numpy().argmax(1) == asked.argmax(1)
    measured = record["agreement"]
    assert measured["agreement"]["value"] == pytest.approx(same.mean())
    divergence = entropy(asked, mean.to_numpy(), axis=1).mean()
    assert measured["divergence"]["value"] == pytest.approx(divergence, abs=1e-3)
    classifier = CryClassifier.from_pretrained(checkpoint)
    for item in DATASETS["cries"].read(root).items:
        answer = classifier.predict(item.path).probabilities.values()
        assert told.loc[item.recording].tolist() == pytest.approx(list(answer), abs=2e-3)
    (student,) = (tmp_path / "checkpoints").iterdir()
    prediction = CryClassifier.from_pretrained(student).predict(item.path)
    assert prediction.evaluation is None
    assert prediction.agreement == read_agreement(measured)
    assert prediction.calibration == read_calibration(record["calibration"])
    teacher_predictions = {name: row.to_numpy() for name, row in told.iterrows()}
    facts = {"dataset": "cries", "protocol": "baby", "folds": 2}
    expected = calibrate(table, LABELS, 0.8, teacher_predictions, **facts)
    assert prediction.calibration.against == expected.against == "teacher"
    assert prediction.calibration.threshold == pytest.approx(expected.threshold, abs=1e-4)
    assert prediction.calibration.coverage.value == pytest.approx(expected.coverage.value, abs=1e-3)


def test_agreement_and_gain_are_what_numpy_counts():
    rng = np.random.default_rng(0)
    teacher, student = (rng.dirichlet([1, 0.3, 0.3], 60) for _ in range(2))
    names = [f"r{i}" for i in range(60)]
    table = pd.DataFrame({"recording": names, "group": names, "seed": 0})
    table[[f"p_{label}" for label in LABELS]] = student
    found = compare(
        table,
        dict(zip(names, teacher, strict=True)),
        LABELS,
        teacher="t",
        dataset="cries",
        folds=3,
    )
    usual = np.bincount(teacher.argmax(1)).argmax()
    same, always = student.argmax(1) == teacher.argmax(1), usual == teacher.argmax(1)
    assert found.agreement.value == pytest.approx(same.mean())
    assert found.constant.value == pytest.approx(always.mean())
    assert found.gain.value == pytest.approx(same.mean() - always.mean())
    assert found.gain.low < found.gain.value < found.gain.high
    expected = entropy(teacher, teacher.mean(0)[None], axis=1).mean()
    assert found.constant_divergence.value == pytest.approx(expected)


def test_the_teacher_hears_the_students_waves_at_any_level(checkpoint):
    teacher = load_teacher(
        checkpoint, 1.0, LABELS, "ecapa-tdnn", DISTIL.front_end, torch.device("cpu")
    )
    waves = torch.randn(2, 48_000, generator=torch.Generator().manual_seed(0))
    nameless = torch.zeros(2, 3)
    torch.testing.assert_close(
        teacher.teach(waves, nameless), teacher.teach(10 * waves, nameless), atol=1e-3, rtol=0
    )
    with pytest.raises(DataError, match="--preset distil"):
        load_teacher(checkpoint, 1.0, (), "ecapa-tdnn", BEST.front_end, torch.device("cpu"))


def test_an_improved_student_learns_the_features_and_answers_with_the_teachers_classifier(
    checkpoint, root, accelerator
):
    front_end = FrontEnd(DISTIL.front_end)
    system = "improved-ecapa-tdnn-no-mca"
    teacher = load_teacher(checkpoint, 1.0, (), system, DISTIL.front_end, accelerator.device)
    assert teacher.settings == {"reused_classifier": {"members": 8, "hidden": 16}}
    waves = torch.randn(3, 48_000, generator=torch.Generator().manual_seed(0))
    features = teacher.teach(waves, torch.zeros(3, 3))
    inputs = teacher.model.inputs(teacher.front_end(waves))
    torch.testing.assert_close(features, inputs.clamp(-5, 5))
    student = cry_model.build_model(system, 3, 64, channels=16, **teacher.settings)
    student.classifier.teacher.load_state_dict(teacher.model.state_dict())
    assert student.train()(front_end(waves)).shape == (3, 25)
    assert not student.classifier.teacher.training
    frozen = [p.clone() for p in student.classifier.teacher.parameters()]
    clips = load_clips(DATASETS["cries"].read(root), front_end)
    preset = replace(DISTIL, epochs=12, batch=8, ema_decay=0.0, augmentation=None)
    data, losses = TrainingData(clips, 3, None, teacher), []
    fit(student, front_end, data, preset, 0, accelerator, report=lambda e: losses.append(e.loss))
    assert losses[-1] < 0.7 * losses[0]
    assert all(
        torch.equal(a, b)
        for a, b in zip(frozen, student.classifier.teacher.parameters(), strict=True)
    )
    with torch.no_grad():
        answer = student(front_end(waves))
        embedding = []
        student.classifier.features.register_forward_hook(lambda _, __, out: embedding.append(out))
        assert torch.equal(student(front_end(waves)), answer)
        torch.testing.assert_close(answer, teacher.model.answer(embedding[0].clamp(-5, 5)))


@pytest.mark.parametrize(
    "damage", [lambda a: a.pop("gain"), lambda a: a["agreement"].update(low="x")]
)
def test_a_damaged_record_of_agreement_is_refused(checkpoint, damage):
    config = json.loads(cry_model.load_checkpoint(checkpoint)[1].to_json())
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    names = ("agreement", "constant", "gain", "divergence", "constant_divergence")
    config["agreement"] = {
        **{name: dict(estimate) for name in names},
        **{"teacher": "t", "dataset": "cries", "recordings": 9, "groups": 4, "folds": 2},
        **{"seeds": [0], "constant_label": "hug", "teacher_evaluation": None},
    }
    good = CheckpointConfig.from_json(json.dumps(config))
    assert good.agreement.agreement.value == 0.5
    damage(config["agreement"])
    with pytest.raises(CheckpointError):
        CheckpointConfig.from_json(json.dumps(config))


def test_what_a_teacher_cannot_do_is_one_sentence(root, checkpoint, tmp_path, capsys):
    words = ["fit", "--dataset", "cries", "--data-root", str(root), "--out", str(tmp_path)]
    words += ["--cache", str(tmp_path), "--system", "improved-ecapa-tdnn", "--preset", "distil"]
    assert main(words) == 2
    assert "No recording has a label" in capsys.readouterr().err
    assert main([*words, "--teacher", str(checkpoint), "--protocol", "clip"]) == 2
    assert "whole recordings" in capsys.readouterr().err
