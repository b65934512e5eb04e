"""``python -m train train-detector`` on a tiny corpus: what is left out is not learnt from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cry_model import CryDetector, Recording
from train.data import synthetic_sounds
from train.data.cache import Prepared
from train.data.clips import Clips
from train.data.corpus import Corpus, DataError, Item
from train.data.datasets.detector import CRY, FOLDS, LABELS, OTHER, kind_of
from train.data.synthesis import synthesise
from train.fit.experiment import Experiment
from train.fit.presets import DETECTOR
from train.fit.run import Run
from train.studies import detector as detector_check
from train.studies.detector import FAMILIES, divide, run_check, tasks

KINDS = {"donateacry": 2, "baby_cry": 1, "rooster": 1, "siren": 1, "fan": 1}  # a fold


@pytest.fixture(scope="module")
def corpus():
    items, waves = [], []
    for kind, count in KINDS.items():
        label = CRY if kind in ("donateacry", "baby_cry") else OTHER
        for number in range(count * FOLDS):
            name, fold = f"{kind}/{number}", number % FOLDS
            items.append(Item(Path(name), label, name, name, name, fold))
            if label == CRY:
                waves.append(torch.from_numpy(synthesise("rhythmic", 3.0, 8000, number).waveform))
            else:
                made = synthetic_sounds.make_sound("bird" if kind == "rooster" else kind, number)
                waves.append(torch.from_numpy(made[: 3 * 16_000 : 2].copy()))
    labels = torch.tensor([LABELS.index(item.label) for item in items])
    clips = Clips(tuple(items), labels, (3.0,) * len(items), (8000,) * len(items), tuple(waves), {})
    return Prepared(Corpus("detector", LABELS, tuple(items), "none"), clips)


@pytest.fixture(scope="module")
def run(corpus, accelerator, tmp_path_factory):
    experiment = Experiment(
        system="improved-ecapa-tdnn",
        data=corpus,
        protocol="baby",
        preset=replace(DETECTOR, epochs=1, batch=8),
        folds=FOLDS,
        accelerator=accelerator,
        settings={"channels": 8, "stages": 1},
    )
    return Run(experiment, (0,), tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def found(run):
    """What the whole check finds; it leaves its files in the run's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector_check, "MIXED", 2)
        return run_check(run)


def test_what_is_tested_is_not_learnt_from(corpus):
    for fold, without in tasks(corpus.clips, leave_out=True):
        learnt, tested = divide(corpus.clips, fold, without)
        names = [{item.recording for item in part.items} for part in (learnt, tested)]
        assert not names[0] & names[1]
        assert len(names[0] | names[1]) == len(corpus.clips.items)
        kinds = {kind_of(name) for name in names[1]}
        assert kinds <= set(FAMILIES[without]) if without else kinds == set(KINDS)
    families = [without for _, without in tasks(corpus.clips, leave_out=True) if without]
    assert families == ["rooster", "tones", "everything made", "made noise"]
    assert not any(without for _, without in tasks(corpus.clips, leave_out=False))


def test_a_detector_is_fitted_measured_and_shipped(run, found):
    table = pd.read_csv(run.results_folder / "scores.csv", keep_default_na=False)
    plain = table[(table["without"] == "") & (table["snr_db"] == "")]
    assert sorted(plain["recording"]) == sorted(i.recording for i in run.experiment.units.items)
    mixed = table[table["snr_db"] != ""]
    assert len(mixed) == 2 * FOLDS * len(detector_check.SNR_DB)
    assert set(mixed["label"]) == {CRY}
    unheard = table[table["without"] == "tones"]
    assert {kind_of(name) for name in unheard["recording"]} == {"siren"}
    detector = CryDetector.from_pretrained(run.checkpoint_folder)
    assert detector.config.detector == found.record()
    assert detector.threshold == pytest.approx(found.threshold)


def test_the_score_in_the_table_is_that_of_the_detector(run, found):
    detector = CryDetector.from_pretrained(run.checkpoint_folder)
    wave = run.experiment.data.clips.waveforms[0]
    expected = detector.scan(Recording(wave, 8000)).score
    assert detector_check.score(detector.model, detector.front_end, wave) == pytest.approx(
        expected, abs=1e-6
    )


def test_what_is_there_is_not_fitted_again(run, found, monkeypatch):
    monkeypatch.setattr(detector_check, "train_model", lambda *_: pytest.fail("fitted again"))
    assert run_check(replace(run, checkpoint=False)) == found


def test_another_configuration_is_refused(run, found):
    faster = replace(run.experiment.preset, learning_rate=1e-4)
    other = replace(run, experiment=replace(run.experiment, preset=faster), checkpoint=False)
    with pytest.raises(DataError, match="other settings"):
        run_check(other)


def test_mixtures_lie_as_far_apart_as_they_say(run, monkeypatch):
    heard = []
    monkeypatch.setattr(
        detector_check, "score", lambda model, front_end, wave: heard.append(wave) or 0
    )
    monkeypatch.setattr(detector_check, "MIXED", 1)
    from cry_model.frontend import FrontEnd

    front_end = FrontEnd(run.experiment.preset.front_end)
    _, tested = divide(run.experiment.data.clips, 0, "")
    rows = list(detector_check.score_rows(None, front_end, tested, 0, mix=True))
    mixtures = [(r, w) for r, w in zip(rows, heard, strict=True) if r["snr_db"] != ""]
    name = mixtures[0][0]["recording"].partition("@")[0]
    cry = next(
        w for i, w in zip(tested.items, tested.waveforms, strict=True) if i.recording == name
    )
    cry = front_end.to_level(cry[None])[0]
    for row, wave in mixtures:
        added = front_end.to_level((wave - cry)[None])[0]
        gain = float((wave - cry).norm() / added.norm())
        assert 20 * np.log10(1 / gain) == pytest.approx(row["snr_db"], abs=0.1)


def test_several_processes_are_refused(run):
    class Two:
        num_processes = 2

    with pytest.raises(DataError, match="one process"):
        run_check(replace(run, experiment=replace(run.experiment, accelerator=Two())))
