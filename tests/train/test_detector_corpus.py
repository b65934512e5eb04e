"""The corpus of the detector: what is in it, in which fold, and that nothing stands on two
sides."""

from collections import Counter, defaultdict

import pytest
import torch

from train.data import joined_speech
from train.data import synthetic_sounds
from train.data.cache import prepare
from train.data.corpus import DataError, related
from train.data.datasets import DATASETS, donateacry, donateacry_ios
from train.data.datasets import detector as detector
from train.data.datasets.detector import APP_CRY, CRY, ESC_CRY, FOLDS, LABELS, kind_of
from train.data.splits import split
from train.fit.presets import DETECTOR
from train.studies.detector import FAMILIES


@pytest.fixture(scope="module")
def corpus(data_root):
    return detector.read(data_root)


def test_it_holds_every_upload_once(corpus, data_root):
    uploads = [i for i in corpus.items if kind_of(i.recording) == APP_CRY]
    names = {
        i.recording.lower() for d in (donateacry, donateacry_ios) for i in d.read(data_root).items
    }
    assert len(uploads) == len(names)
    assert {i.recording.partition("/")[2].lower() for i in uploads} == names


def test_only_cries_are_cries(corpus):
    for item in corpus.items:
        assert (item.label == CRY) == (kind_of(item.recording) in (APP_CRY, ESC_CRY))
    assert corpus.labels == LABELS


def test_folds_keep_groups_together_and_are_those_of_esc10(corpus):
    folds = defaultdict(set)
    for item in corpus.items:
        folds[item.group].add(item.fold)
    assert all(len(found) == 1 for found in folds.values())
    assert list(split(corpus.items, "baby", FOLDS, 0)) == [item.fold for item in corpus.items]
    per_fold = Counter(i.fold for i in corpus.items if kind_of(i.recording) == ESC_CRY)
    assert per_fold == dict.fromkeys(range(FOLDS), 8)
    esc = [i for i in corpus.items if i.path.suffix == ".ogg"]
    assert all(int(i.path.name.partition("-")[0]) - 1 == i.fold for i in esc)


def test_families_are_of_kinds_that_there_are_and_hold_no_cry(corpus):
    kinds = {kind_of(item.recording) for item in corpus.items}
    named = {kind for family in FAMILIES.values() for kind in family}
    assert named == kinds - {APP_CRY, ESC_CRY}


def test_speech_is_of_the_speaker_that_it_names(corpus):
    items = [i for i in corpus.items if kind_of(i.recording) == detector.SPEECH]
    first, second = (detector.load(i) for i in items[:2])
    assert first.sample_rate == joined_speech.RATE
    assert first.duration == pytest.approx(joined_speech.SECONDS)
    assert not torch.equal(first.waveform, second.waveform)
    assert torch.equal(first.waveform, detector.load(items[0]).waveform)


def test_raised_speech_is_higher(corpus):
    def pitch(kind):
        wave = torch.cat(
            [detector.load(i).waveform for i in corpus.items if kind_of(i.recording) == kind][:6]
        )
        power = torch.fft.rfft(wave).abs().square()
        hz = torch.linspace(0, joined_speech.RATE / 2, len(power))
        low = power[(hz > 60) & (hz < 160)].sum()
        return float(low / power[(hz > 60) & (hz < 1000)].sum())

    assert pitch(detector.RAISED_SPEECH) < 0.5 * pitch(detector.SPEECH)


def test_made_sounds_are_made(corpus):
    item = next(i for i in corpus.items if kind_of(i.recording) == "siren")
    sound = detector.load(item)
    assert sound.sample_rate == synthetic_sounds.RATE
    expected = torch.from_numpy(synthetic_sounds.make_sound("siren", 0))
    assert torch.equal(sound.waveform, expected)


def test_whoever_has_heard_it_has_heard_its_parts():
    assert related("detector", "donateacry")
    assert related("detector", "esc10")
    assert not related("detector", "challenge6")


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(DataError, match="donateacry"):
        prepare(DATASETS["detector"], tmp_path, tmp_path / "cache", DETECTOR.front_end)
    with pytest.raises(DataError, match="spoken digits"):
        joined_speech.read_speakers(tmp_path)
