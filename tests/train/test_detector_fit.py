"""Test the detector's training loop on tones as cries and noise as other sounds."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cry_model import CryDetector, FrontEnd, build_model
from cry_model.sound import audio
from tests.stand_ins import detector_config
from tests.train.folders import clips_of, touch
from train.data import synthetic_sounds
from train.data.corpus import Corpus, DataError, Item, load_clips, load_file
from train.data.datasets import detector, other_sounds, public
from train.data.datasets.detector import ANDROID, APP_CRY, CRY, ESC_CRY, FOLDS, OTHER, kind_of
from train.data.tagger import GROUPS, NAME, RATE, STEP, WINDOW, Tagger, tag
from train.fit.detector import SECONDS, DetectorData, find_examples, fit_detector, make_examples
from train.fit.devices import make_accelerator
from train.fit.presets import DETECTOR, DETECTOR_SETTINGS
from train.studies.detector import FAMILIES

HZ = 8000
PRESET = replace(DETECTOR, epochs=1, samples_per_epoch=480, batch=16, learning_rate=0.01)


def tone(seconds, seed):
    rng = torch.Generator().manual_seed(seed)
    t = torch.arange(round(seconds * HZ)) / HZ
    hz = 350 + 250 * float(torch.rand((), generator=rng))
    wave = sum(torch.sin(2 * torch.pi * k * hz * t) / k for k in (1, 2, 3))
    return wave + 0.01 * torch.randn(len(t), generator=rng)


def noise(seconds, seed):
    return torch.randn(round(seconds * HZ), generator=torch.Generator().manual_seed(seed))


def make_clips(*recordings, folds=1):
    """Build clips and tags from (kind, label, waveform, teacher score by window or for all)."""
    items, waves, tags = [], [], []
    for number, (kind, label, wave, heard) in enumerate(recordings):
        name = f"{kind}/{number}"
        items.append(Item(Path(name), label, name, name, name, number % folds))
        waves.append(wave)
        windows = max(1, -(-(len(wave) * RATE // HZ - WINDOW) // STEP) + 1)
        rows = torch.zeros(windows, len(GROUPS))
        rows[:, 0] = torch.as_tensor(heard)
        tags.append(rows)
    return clips_of(items, waves, (CRY, OTHER), HZ), tags


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd(PRESET.front_end).eval()


def test_a_fitted_detector_generalises_to_other_tones(front_end):
    recordings = (
        *(("baby_cry", CRY, tone(3, n), 0.9) for n in range(6)),
        *(("donateacry", CRY, tone(3, n), 0.9) for n in range(6, 12)),
        *(("rain", OTHER, noise(3, n), 0.0) for n in range(12)),
    )
    toy, rng = DetectorData(*make_clips(*recordings)), torch.Generator().manual_seed(0)
    how = toy, torch.arange(24), front_end, PRESET.augmentation
    examples = [make_examples(*how, seconds, 100, rng) for seconds in SECONDS]
    torch.manual_seed(0)
    model = build_model("resnet18", 2, PRESET.front_end.num_bands, **DETECTOR_SETTINGS)
    preset, accelerator = replace(PRESET, ema_decay=0.9), make_accelerator("cpu", "float32")
    model = fit_detector(model, examples, preset, accelerator, 0, "toy")
    assert not model.training
    fitted = CryDetector(model, replace(detector_config(), front_end=PRESET.front_end))
    scores = []
    for make in (noise, tone):
        sounds = [audio.Recording(make(2.5, 1000 + n), fitted.sample_rate) for n in range(20)]
        scores.append([fitted.scan(sound).score for sound in sounds])
    assert roc_auc_score([0] * 20 + [1] * 20, scores[0] + scores[1]) > 0.9


def places(windows):
    return {tuple(row) for row in windows.places.tolist()}


def test_teacher_scores_select_the_windows(front_end):
    silent = tone(4, 0)
    silent[: 2 * HZ] = 0
    recordings = (
        ("baby_cry", CRY, tone(2, 1), [0.9, 0.15, 0.05, 0.9]),  # known cry: low is enough
        ("donateacry", CRY, tone(3, 2), [0.9, 0.2, 0.0, 0.0, 0.001, 0.0]),
        ("donateacry_android", None, tone(3, 3), [0.5, 0.2, 0.02, 0.01, 0.0, 0.02]),
        ("rain", OTHER, noise(2, 4), [0.0, 0.6, 0.1, 0.0]),  # the teacher takes one for a cry
        ("baby_cry", CRY, silent, 0.9),
    )
    data = DetectorData(*make_clips(*recordings))
    assert places(data.cries) >= {(0, 0), (0, 1), (0, 3), (1, 0), (2, 0)}
    assert not places(data.cries) & {(0, 2), (1, 1), (4, 0), (4, 1)}
    assert {clip for clip, _ in places(data.cries)} == {0, 1, 2, 4}
    others = {1: (3, 4, 5), 2: (3, 4, 5), 3: (0, 2, 3)}
    assert places(data.others) == {(clip, at) for clip, own in others.items() for at in own}
    assert (torch.cat([data.cries.weights, data.others.weights]) > 0).all()


def test_examples_mix_clips_of_one_fold_and_record_their_sources(front_end, tmp_path):
    recordings = (
        *(("baby_cry", CRY, tone(3, n), 0.9) for n in range(4)),
        *(("rain", OTHER, noise(3, n), 0.0) for n in range(4)),
    )
    clips, tags = make_clips(*recordings, folds=2)
    how = PRESET.augmentation
    made, again = (find_examples(clips, tags, front_end, how, 0, tmp_path, 50) for _ in range(2))
    for own, kept, seconds in zip(made, again, SECONDS, strict=True):
        assert own.features.shape[:2] == (2 * 2 * 50, front_end.config.num_bands)
        assert own.features.shape[2] == int(seconds * HZ) // front_end.config.hop
        assert torch.equal(own.features, kept.features)  # read from the cache
        assert (own.clips % 2 == own.clips[:, :1] % 2).all()  # each fold is every second clip
        assert ((own.clips[:, 0] < 4) == own.cry).all()
        assert (own.clips[~own.clean, 1] >= 4).all()


PARTS = ("donateacry", "donateacry_ios", "donateacry_android", "esc10", "speech")
SOUNDS = ("klettres-data/da", "supertux-data/sounds", "fluid-soundfont-gm/bells")


@pytest.fixture(scope="module")
def root(data_root, tmp_path_factory):
    """Link the real recordings, and create a few empty files in place of the packages."""
    root = tmp_path_factory.mktemp("root")
    for name in PARTS:
        (root / name).symlink_to(data_root / name)
    touch(*(root / other_sounds.NAME / name / f"{n}-0.wav" for name in SOUNDS for n in range(3)))
    return root


@pytest.fixture(scope="module")
def corpus(root):
    return detector.read(root)


def test_corpus_has_every_upload_once_with_the_right_label(corpus, root):
    both = public.read_donateacry, public.read_ios
    named = {item.recording.lower() for read in both for item in read(root).items}
    sent = {path.stem.lower() for path in (root / ANDROID).glob("*.3gp")}
    for kind, names in ((APP_CRY, named), (ANDROID, sent - named)):
        found = [i.recording for i in corpus.items if kind_of(i.recording) == kind]
        assert sorted(name.partition("/")[2].lower() for name in found) == sorted(names)
        assert len(names) > 400
    labels = {APP_CRY: CRY, ESC_CRY: CRY, ANDROID: None}  # nobody labelled these
    assert all(i.label == labels.get(kind_of(i.recording), OTHER) for i in corpus.items)
    assert len({item.recording for item in corpus.items}) == len(corpus.items)
    speech = [i for i in corpus.items if kind_of(i.recording) == detector.SPEECH]
    first, second, again = (detector.load(speech[i]).waveform for i in (0, 1, 0))
    assert len(first) / detector.RATE == pytest.approx(detector.SECONDS)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_folds_keep_groups_together_and_follow_esc10(corpus):
    table = pd.DataFrame([vars(item) for item in corpus.items])
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    cries = table[table["recording"].map(kind_of) == ESC_CRY]
    assert Counter(cries["fold"]) == dict.fromkeys(range(FOLDS), 8)
    esc = [item for item in corpus.items if "esc10" in item.path.parts]
    assert len(esc) == 400
    assert all(int(i.path.name.partition("-")[0]) - 1 == i.fold for i in esc)


def test_each_kind_is_held_out_with_exactly_one_family(corpus):
    left_out = Counter(kind for family in FAMILIES.values() for kind in family)
    assert set(left_out.values()) == {1}
    made = {*synthetic_sounds.KINDS, *other_sounds.KINDS, detector.SPEECH, detector.RAISED_SPEECH}
    assert made <= set(left_out)
    of_esc10 = {kind_of(i.recording) for i in corpus.items if "esc10" in i.path.parts} - {ESC_CRY}
    assert set(left_out) - made <= of_esc10


@pytest.mark.parametrize("missing", [ANDROID, "speech"])  # other parts have readers that report it
def test_a_missing_part_is_named(root, tmp_path, missing):
    for folder in root.iterdir():
        if folder.name != missing:
            (tmp_path / folder.name).symlink_to(folder)
    with pytest.raises(DataError) as error:
        detector.read(tmp_path)
    assert str(tmp_path / missing) in str(error.value)
    assert "\n" not in str(error.value)


# The detector's teacher: its groups, its windows, and the cache of its scores


@pytest.fixture(scope="module")
def tagger(data_root):
    pytest.importorskip("ai_edge_litert")
    return Tagger(data_root / NAME)


def test_teacher_scores_windows_independently_at_any_level(tagger):
    wave = 0.3 * torch.randn(WINDOW + 2 * STEP, generator=torch.Generator().manual_seed(0))
    wave = wave.clamp(-1, 1)
    wave[::STEP] = 1  # equal peak in every window
    answers = tagger(wave, RATE)
    for i, row in enumerate(answers):
        alone = tagger(wave[i * STEP : i * STEP + WINDOW], RATE)[0]
        torch.testing.assert_close(row, alone)
    torch.testing.assert_close(tagger(0.01 * wave, RATE), answers, atol=1e-3, rtol=0.01)


def test_teacher_scores_are_cached_by_clips(tagger, data_root, front_end, tmp_path, monkeypatch):
    items = public.read_esc10(data_root).items
    chosen = tuple(i for i in items if i.label in ("baby_cry", "rooster"))[::10]
    clips = load_clips(Corpus("esc10", ("baby_cry", "rooster"), chosen, ""), front_end)
    how = front_end, load_file, tagger, tmp_path
    first = tag(clips, *how)
    heard = torch.stack([rows[:, list(GROUPS).index("cry")].max() for rows in first])
    assert heard[clips.labels == 0].median() > 0.4 > heard[clips.labels == 1].max()
    tag(clips.subset([0, 1]), *how)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(tagger, "grouped", lambda *_: pytest.fail("asked again"))
    for again, rows in zip(tag(clips, *how), first, strict=True):
        assert torch.equal(again, rows)


def test_a_missing_teacher_is_reported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(DataError, match=r"requirements-dev\.txt"):
        Tagger(tmp_path)
    monkeypatch.undo()
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(DataError, match=r"yamnet\.tflite") as error:
        Tagger(tmp_path)
    assert str(tmp_path) in str(error.value)
