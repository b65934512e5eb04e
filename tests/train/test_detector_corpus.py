"""The corpus of the detector: what is in it, in which fold, and that nothing is on two sides."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import soundfile
import torch

from train.__main__ import main
from train.data import synthetic_sounds
from train.data.corpus import DataError
from train.data.datasets import detector as detector
from train.data.datasets import other_sounds, public
from train.data.datasets.detector import (
    ANDROID,
    APP_CRY,
    CRY,
    ESC_CRY,
    FOLDS,
    LABELS,
    OTHER,
    kind_of,
)
from train.data.splits import split
from train.studies.detector import FAMILIES

PARTS = ("donateacry", "donateacry_ios", "donateacry_android", "esc10", "speech")
SOUNDS = (
    "klettres-data/da",
    "klettres-data/de",
    "supertux-data/sounds",
    "fluid-soundfont-gm/bells",
)


@pytest.fixture(scope="module")
def root(data_root, tmp_path_factory):
    """The real recordings, and a few files in the place of the packages."""
    root = tmp_path_factory.mktemp("root")
    for name in PARTS:
        (root / name).symlink_to(data_root / name)
    rng = np.random.default_rng(0)
    for name in SOUNDS:
        (root / other_sounds.NAME / name).mkdir(parents=True)
        for number in range(3):
            wave = 0.1 * rng.standard_normal(8000)
            soundfile.write(root / other_sounds.NAME / name / f"{number}-0.wav", wave, 16_000)
    return root


@pytest.fixture(scope="module")
def corpus(root):
    return detector.read(root)


def names_of(corpus, *kinds):
    found = (i.recording for i in corpus.items if kind_of(i.recording) in kinds)
    return [name.partition("/")[2].lower() for name in found]


def test_it_holds_every_upload_once(corpus, root):
    both = public.read_donateacry, public.read_ios
    named = {item.recording.lower() for read in both for item in read(root).items}
    assert sorted(names_of(corpus, APP_CRY)) == sorted(named)
    sent = {path.stem.lower() for path in (root / ANDROID).iterdir() if path.suffix == ".3gp"}
    assert sorted(names_of(corpus, ANDROID)) == sorted(sent - named)
    assert len(sent - named) > 400


def test_only_cries_are_cries_and_what_nobody_listened_to_has_no_label(corpus):
    labels = {APP_CRY: CRY, ESC_CRY: CRY, ANDROID: None}
    for item in corpus.items:
        assert item.label == labels.get(kind_of(item.recording), OTHER)
    assert corpus.labels == LABELS
    kinds = {kind_of(item.recording) for item in corpus.items}
    assert {"words", "effects", "bells", "siren", "rooster", *labels} <= kinds
    assert len({item.recording for item in corpus.items}) == len(corpus.items)


def test_folds_keep_groups_together_and_are_those_of_esc10(corpus):
    folds = defaultdict(set)
    for item in corpus.items:
        folds[item.group].add(item.fold)
    assert all(len(found) == 1 for found in folds.values())
    labelled = [item for item in corpus.items if item.label is not None]
    assert list(split(labelled, "baby", FOLDS, 0)) == [item.fold for item in labelled]
    per_fold = Counter(i.fold for i in corpus.items if kind_of(i.recording) == ESC_CRY)
    assert per_fold == dict.fromkeys(range(FOLDS), 8)
    esc = [i for i in corpus.items if "esc10" in i.path.parts]
    assert len(esc) == 400
    assert all(int(i.path.name.partition("-")[0]) - 1 == i.fold for i in esc)


def test_each_kind_that_is_no_recording_of_a_corpus_is_left_out_with_one_family(corpus):
    left_out = Counter(kind for family in FAMILIES.values() for kind in family)
    assert set(left_out.values()) == {1}
    made = {*synthetic_sounds.KINDS, *other_sounds.KINDS, detector.SPEECH, detector.RAISED_SPEECH}
    assert made <= set(left_out)
    of_esc10 = {kind_of(i.recording) for i in corpus.items if "esc10" in i.path.parts} - {ESC_CRY}
    assert set(left_out) - made <= of_esc10


def test_speech_is_of_the_speaker_that_it_names(corpus):
    items = [i for i in corpus.items if kind_of(i.recording) == detector.SPEECH]
    first, second = (detector.load(i) for i in items[:2])
    assert first.sample_rate == detector.RATE
    assert first.duration == pytest.approx(detector.SECONDS)
    assert not torch.equal(first.waveform, second.waveform)
    assert torch.equal(first.waveform, detector.load(items[0]).waveform)


@pytest.mark.parametrize("missing", [*PARTS, other_sounds.NAME])
def test_a_missing_part_is_named_in_a_sentence(root, tmp_path, missing):
    for folder in root.iterdir():
        if folder.name != missing:
            (tmp_path / folder.name).symlink_to(folder)
    with pytest.raises(DataError) as error:
        detector.read(tmp_path)
    assert str(tmp_path / missing) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nonsense=1", "has no such setting; it has"),
        ("draws=3", "it has samples_per_epoch"),
        ("samples_per_epoch=2", "holds no batch"),
    ],
)
def test_wrong_settings_are_refused_before_a_recording_is_read(tmp_path, capsys, setting, said):
    assert main(["train-detector", "--data-root", str(tmp_path), "--set", setting]) == 2
    assert said in capsys.readouterr().err
