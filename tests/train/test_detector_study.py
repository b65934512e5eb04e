"""Test the detector's study on a tiny corpus: no fit uses the recordings that it is tested on."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cry_model import CryDetector, FrontEnd, Recording
from cry_model.results import write_predictions
from tests.conftest import ROOT
from tests.train.folders import clips_of, cry
from train.data import synthetic_sounds
from train.data.corpus import Corpus, DataError, Item, Prepared
from train.data.datasets.detector import ANDROID, CRY, FOLDS, LABELS, OTHER, kind_of
from train.data.tagger import GROUPS, RATE, STEP, WINDOW
from train.fit.detector import find_examples
from train.fit.presets import DETECTOR, DETECTOR_SETTINGS
from train.fit.run import Experiment, Run
from train.scoring.detector import ONSETS, TABLE, describe, read_scores, summarise
from train.studies import detector as study
from train.studies.detector import CHANGED, FAMILIES, conditions, run_check

HZ = 8000
KINDS = ("donateacry", "baby_cry", ANDROID, "rooster", "siren", "words")
LABEL = {"donateacry": CRY, "baby_cry": CRY, ANDROID: None}
LEFT_OUT = ("words", "sirens, beeps and birds", "rooster")


def wave_of(kind, number):
    """Return five seconds of a kind of sound at :data:`HZ`."""
    if LABEL.get(kind) == CRY:
        return torch.from_numpy(cry(number, 5.0, HZ))
    made = {"rooster": "bird", "siren": "siren"}.get(kind, "laughter")
    return torch.from_numpy(synthetic_sounds.make_sound(made, number)[: 10 * HZ : 2].copy())


@pytest.fixture(scope="module")
def corpus():
    """Build a corpus of one recording per kind and fold."""
    names = [(kind, n) for kind in KINDS for n in range(FOLDS)]
    items = [
        Item(Path(f"{k}/{n}"), LABEL.get(k, OTHER), f"{k}/{n}", f"{k}/{n}", f"{k}/{n}", n)
        for k, n in names
    ]
    clips = clips_of(items, tuple(wave_of(*name) for name in names), LABELS, HZ)
    return Prepared(Corpus("detector", LABELS, tuple(items), "none"), clips)


class Ears:
    """Stand-in for the tagger that scores each window by its RMS level."""

    step = STEP / RATE

    def cries(self, wave, rate):
        return wave.unfold(0, WINDOW, STEP).square().mean(1).sqrt()


@pytest.fixture(scope="module")
def check(corpus, tmp_path_factory):
    """Return a function that does the whole check of a run; cries get 0.9 from the teacher."""
    sounds = dict(
        zip((i.recording for i in corpus.clips.items), corpus.clips.waveforms, strict=True)
    )
    tags = torch.zeros(len(sounds), 9, len(GROUPS))
    tags[[item.label == CRY for item in corpus.clips.items], :, 0] = 0.9
    front_end, how = FrontEnd(DETECTOR.front_end).eval(), DETECTOR.augmentation
    cache = tmp_path_factory.mktemp("examples")
    examples = find_examples(corpus.clips, list(tags), front_end, how, 0, cache, 25)
    given = examples, Ears(), lambda item: Recording(sounds[item.recording], HZ)
    return lambda run: run_check(run, *given, leave_out=True)


@pytest.fixture(scope="module")
def run(corpus, accelerator, tmp_path_factory):
    preset = replace(DETECTOR, epochs=1, samples_per_epoch=24, batch=12)
    settings = {**DETECTOR_SETTINGS, "width": 4}
    how = {"folds": FOLDS, "accelerator": accelerator, "settings": settings}
    experiment = Experiment(system="resnet18", data=corpus, protocol="baby", preset=preset, **how)
    return Run(experiment, (0,), tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def found(run, check):
    """Do the check, which writes to the run's folders, and return its scores."""
    return check(run)


def read(run):
    return pd.read_csv(run.results_folder / TABLE, keep_default_na=False)


def test_recordings_are_tested_in_their_folds_and_cries_in_every_condition(run, found):
    table = read(run)
    plain = table[(table["without"] == "") & (table["condition"] == "")]
    folds = {item.recording: item.fold for item in run.experiment.data.clips.items}
    assert dict(zip(plain["recording"], plain["fold"], strict=True)) == folds
    assert len(plain) == len(folds)
    changed = table[table["condition"] != ""]
    each = changed.groupby("condition")["recording"].nunique()
    assert len(each) == 2 + 2 + 4 + 2 + 1  # pitches, codecs, mixtures, lengths, onset
    assert each.nunique() == 1
    assert 0 < each.iloc[0] <= CHANGED
    assert set(changed["label"]) == {CRY}
    assert set(table[table["kind"] == ANDROID]["label"]) == {""}
    onsets = changed[changed["condition"] == ONSETS]["stretches"]
    assert {len(cell.split()) for cell in onsets} == {6}  # every 0.5 s for 3 s
    unheard = table[table["without"] != ""]
    assert tuple(unheard["without"].unique()) == LEFT_OUT
    for name, rows in unheard.groupby("without"):
        of_family = [r for r in folds if kind_of(r) in FAMILIES[name]]
        assert sorted(rows["recording"]) == sorted(of_family)


def test_the_saved_detector_has_the_measured_scores(run, found):
    detector = CryDetector.from_pretrained(run.checkpoint_folder)
    assert detector.config.detector == found.record()
    assert (detector.threshold, detector.maybe) == (found.threshold, found.maybe)
    assert set(found.unheard) == set(LEFT_OUT)
    record = json.loads((run.results_folder / "run.json").read_text())
    assert record["detector"]["threshold"] == found.threshold
    wave = run.experiment.data.clips.waveforms[0]
    assert detector.scan(Recording(wave, HZ)).score > 0


def test_an_interrupted_check_resumes_exactly_and_fits_on_no_tested_recording(
    run, found, check, tmp_path, monkeypatch
):
    again, original, heard = replace(run, out=tmp_path), study.fit_detector, []

    def fit(model, examples, *how):
        heard.append(set(torch.cat([own.clips.flatten() for own in examples]).tolist()))
        if len(heard) == 4:
            raise KeyboardInterrupt
        return original(model, examples, *how)

    monkeypatch.setattr(study, "fit_detector", fit)
    with pytest.raises(KeyboardInterrupt):
        check(again)
    assert set(read(again)["fold"]) == {0, 1, 2}
    assert check(again) == found
    pd.testing.assert_frame_equal(read(again), read(run))
    tested = read(run).groupby(["fold", "without"], sort=False)["recording"].agg(set)
    assert len(heard) == len(tested) + 1 + 1  # the interrupted fit and the final one
    names = [item.recording for item in run.experiment.data.clips.items]
    for own, theirs in zip(heard[:3] + heard[4:], tested, strict=False):
        assert own
        assert not {names[i] for i in own} & theirs
    assert check(replace(again, checkpoint=False)) == found
    assert len(heard) == len(tested) + 2  # finished fits are not repeated


def amplitude(wave, hz):
    """Return half the peak amplitude of a tone of ``hz`` in a wave."""
    at = torch.arange(len(wave)) / RATE
    return float((wave * torch.exp(-2j * torch.pi * hz * at)).mean().abs())


def test_conditions_match_their_names():
    t = torch.arange(6 * RATE) / RATE
    cry, other = torch.sin(2 * torch.pi * 500 * t), 0.01 * torch.sin(2 * torch.pi * 1500 * t)
    front_end = FrontEnd(DETECTOR.front_end)
    found = dict(conditions(cry, 3.0, other, front_end, np.random.default_rng(0)))
    for factor in study.PITCHES:
        higher = found[f"pitch {factor:g}"]
        assert len(higher) == pytest.approx(len(cry) / factor, abs=2)
        assert amplitude(higher, 500 * factor) > 100 * amplitude(higher, 500)
    for coded in (found["opus 8 kbit/s"], found["mp3 16 kbit/s"]):
        assert len(coded) == pytest.approx(len(cry), rel=0.05)
        assert amplitude(coded[RATE : 5 * RATE], 500) == pytest.approx(0.5, abs=0.05)
        assert not torch.equal(coded[: len(cry)], cry[: len(coded)])
    for snr in study.SNR_DB:
        mixed = found[f"{snr} dB"]
        ratio = amplitude(mixed, 500) / amplitude(mixed, 1500)
        assert 20 * np.log10(ratio) == pytest.approx(snr, abs=0.2)
    for seconds in study.LENGTHS:
        wave = found[f"{seconds:g} s"]
        loud = (wave.view(-1, 80).abs().amax(1) > 0.3).nonzero().view(-1) * 80 / RATE
        ends = [study.ONSET, study.ONSET + seconds]
        assert [float(loud[0]), float(loud[-1])] == pytest.approx(ends, abs=0.02)
        assert 0 < wave[:RATE].square().mean().sqrt() < 0.02


# Scores computed from the committed table, compared with scikit-learn and pandas


@pytest.fixture(scope="module")
def table():
    return read_scores(ROOT / "assets/results/detector/baby/resnet18")


@pytest.fixture(scope="module")
def summed(table):
    return summarise(table)


def parts(table):
    """Return the unmodified recordings, and the certain cries and other sounds among them."""
    plain = table[(table["without"] == "") & (table["condition"] == "")]
    heard = (plain["kind"] == "donateacry") & (plain["tagger"] >= 0.5)
    cries = plain[heard | (plain["kind"] == "baby_cry")]
    return plain, cries, plain[plain["label"] == "other"]


def reach(level, rows, column="score"):
    return (rows[column] >= level).mean()


@pytest.mark.parametrize("factor", [1.0, 0.2])
def test_thresholds_meet_target_recalls_or_the_false_positive_limit(table, factor):
    own = np.where(table["label"] == "other", factor * table["score"], table["score"])
    table = table.assign(score=own)
    found, (_, cries, others) = summarise(table), parts(table)
    assert reach(found.threshold, cries) >= 0.97
    assert reach(np.nextafter(found.threshold, 1), cries) < 0.97
    assert found.maybe <= found.threshold
    enough = reach(found.maybe, cries) >= 0.99
    assert enough or reach(found.maybe, others) == pytest.approx(0.05, abs=0.01)


def test_auc_and_rates_of_detector_and_tagger_match_scikit_learn(summed, table):
    plain, cries, others = parts(table)
    both = pd.concat([cries, others])
    level = np.sort(cries["tagger"])[::-1][int(np.ceil(0.97 * len(cries))) - 1]
    for estimate, value in (
        (summed.area, roc_auc_score(both["label"] == "cry", both["score"])),
        (summed.tagger_area, roc_auc_score(both["label"] == "cry", both["tagger"])),
        (summed.accepted, reach(summed.threshold, cries)),
        (summed.false_accepts, reach(summed.threshold, others)),
        (summed.tagger_false_accepts, reach(level, others, "tagger")),
    ):
        assert estimate.value == pytest.approx(value)
        assert estimate.low <= estimate.value <= estimate.high
    assert {"mew (synthetic)", "rooster"} <= set(summed.kinds)
    assert len(summed.kinds) == plain["kind"].nunique()
    for name, shares in summed.kinds.items():
        rows = plain[plain["kind"] == name.removesuffix(" (synthetic)")]
        assert shares == pytest.approx(
            (reach(summed.threshold, rows), reach(level, rows, "tagger"))
        )


def test_conditions_families_alarms_and_delay_match_counts_by_hand(summed, table):
    for name, (own, _) in summed.conditions.items():
        assert own == pytest.approx(reach(summed.threshold, table[table["condition"] == name]))
    for name, share in summed.unheard.items():
        assert share == pytest.approx(reach(summed.threshold, table[table["without"] == name]))
    others = parts(table)[2]
    loud = [v for cell in others["stretches"] for v in cell.split() if float(v) >= summed.threshold]
    hours = others["seconds"].sum() / 3600
    assert summed.alarms_per_hour[0] == pytest.approx(len(loud) / hours)
    cells = table.loc[table["condition"] == ONSETS, "stretches"]
    first = [[float(v) >= summed.threshold for v in cell.split()] for cell in cells]
    delays = [0.5 * (row.index(True) + 1) if any(row) else np.inf for row in first]
    assert summed.delay == np.median(delays)
    silent = table.assign(stretches=table["stretches"].where(table["condition"] != ONSETS, "0"))
    assert summarise(silent).delay is None
    json.dumps(asdict(summarise(table[table["condition"] == ""])), allow_nan=False)
    assert all(name in describe(summed) for name in (f"{summed.threshold:.3f}", "rooster", "-5 dB"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("stretches", "strings"),
        lambda text: text + text.splitlines()[1] + "\n",
        lambda text: text.replace("0.", "x.", 1),
    ],
)
def test_a_damaged_table_is_reported_in_one_line(table, tmp_path, damage):
    write_predictions(tmp_path, table.iloc[:50], TABLE)
    path = tmp_path / TABLE
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match="damaged") as error:
        read_scores(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
