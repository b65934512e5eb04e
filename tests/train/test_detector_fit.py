"""The detector's own training loop, on tones that are "cries" and noise that is none."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score

from cry_model import FrontEnd, build_model
from cry_model.detector import detect
from train.data.corpus import Clips, Item
from train.data.tagger import GROUPS, RATE, STEP, WINDOW
from train.fit.detector import fit_detector
from train.fit.devices import make_accelerator
from train.fit.examples import (
    MIXED,
    SECONDS,
    DetectorData,
    find_examples,
    half_batch,
    make_examples,
)
from train.fit.predict import TrainingError
from train.fit.presets import DETECTOR, DETECTOR_SETTINGS

HZ, CRY, OTHER = 8000, "cry", "other"
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
    """Of (kind, label, waveform, what the teacher hears in each window, or in all)."""
    items, waves, tags = [], [], []
    for number, (kind, label, wave, heard) in enumerate(recordings):
        name = f"{kind}/{number}"
        items.append(Item(Path(name), label, name, name, name, number % folds))
        waves.append(wave)
        windows = max(1, -(-(len(wave) * RATE // HZ - WINDOW) // STEP) + 1)
        rows = torch.zeros(windows, len(GROUPS))
        rows[:, 0] = torch.as_tensor(heard)
        tags.append(rows)
    seconds = tuple(len(wave) / HZ for wave in waves)
    labels = torch.tensor([0 if item.label == CRY else 1 for item in items])
    return Clips(tuple(items), labels, seconds, (HZ,) * len(items), tuple(waves), {}), tags


def make_data(*recordings):
    clips, tags = make_clips(*recordings)
    kinds = [item.recording.partition("/")[0] for item in clips.items]
    return DetectorData(clips, tags, CRY, kinds, "baby_cry")


def examples_of(data, front_end, count=100):
    rng = torch.Generator().manual_seed(0)
    numbers = torch.arange(len(data.lengths))
    how = PRESET.augmentation
    return [make_examples(data, numbers, front_end, how, s, count, rng) for s in SECONDS]


@pytest.fixture(scope="module")
def toy():
    return make_data(
        *(("baby_cry", CRY, tone(3, n), 0.9) for n in range(6)),
        *(("donateacry", CRY, tone(3, n), 0.9) for n in range(6, 12)),
        *(("rain", OTHER, noise(3, n), 0.0) for n in range(12)),
    )


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd(PRESET.front_end).eval()


@pytest.fixture(scope="module")
def examples(toy, front_end):
    return examples_of(toy, front_end)


def fit(examples, preset=PRESET, seed=0):
    torch.manual_seed(seed)
    model = build_model("resnet18", 2, PRESET.front_end.num_bands, **DETECTOR_SETTINGS)
    accelerator = make_accelerator("cpu", "float32")
    return fit_detector(model, examples, preset, accelerator, seed, "toy")


def test_what_it_learns_from_tones_holds_for_others(examples, front_end):
    model = fit(examples, replace(PRESET, ema_decay=0.9))
    assert not model.training
    scores = []
    with torch.inference_mode():
        for make in (noise, tone):
            waves = [make(2.5, 1000 + n) for n in range(20)]
            scores.append([float(detect(model, front_end, w, 0).max()) for w in waves])
    assert roc_auc_score([0] * 20 + [1] * 20, scores[0] + scores[1]) > 0.9


def test_the_same_seed_gives_the_same_weights_and_another_does_not(examples):
    short = replace(PRESET, samples_per_epoch=48)
    first, again, other = (fit(examples, short, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert not any(name.startswith("groups") for name in first)  # the teacher's output is dropped


def test_a_loss_that_is_no_number_ends_the_fit(front_end):
    broken = make_data(("baby_cry", CRY, tone(3, 0), 0.9), ("rain", OTHER, noise(3, 0), 0.0))
    broken.samples[::100] = torch.inf
    with pytest.raises(TrainingError, match="lower learning rate"):
        fit(examples_of(broken, front_end))


def places(windows):
    return {tuple(row) for row in windows.places.tolist()}


def test_the_teacher_says_which_windows_are_cries(front_end):
    silent = tone(4, 0)
    silent[: 2 * HZ] = 0
    data = make_data(
        ("baby_cry", CRY, tone(2, 1), [0.9, 0.15, 0.05, 0.9]),  # certain: a little is enough
        ("donateacry", CRY, tone(3, 2), [0.9, 0.2, 0.0, 0.0, 0.001, 0.0]),
        ("donateacry_android", None, tone(3, 3), [0.5, 0.2, 0.02, 0.01, 0.0, 0.02]),
        ("rain", OTHER, noise(2, 4), [0.0, 0.6, 0.1, 0.0]),  # it takes one for a cry
        ("baby_cry", CRY, silent, 0.9),
    )
    assert places(data.cries) >= {(0, 0), (0, 1), (0, 3), (1, 0), (2, 0)}
    assert not places(data.cries) & {(0, 2), (1, 1), (4, 0), (4, 1)}
    assert {clip for clip, _ in places(data.cries)} == {0, 1, 2, 4}
    assert places(data.others) == {
        (1, 3),
        (1, 4),
        (1, 5),
        (2, 3),
        (2, 4),
        (2, 5),
        (3, 0),
        (3, 2),
        (3, 3),
    }
    assert (data.cries.weights > 0).all()
    assert (data.others.weights > 0).all()


def test_a_batch_is_half_cries_and_says_where_the_teachers_groups_hold(toy, front_end):
    length, count = 2 * HZ, 400
    rows = torch.zeros(2 * count, dtype=torch.long)
    batch = half_batch(toy, front_end, rows, length, torch.Generator().manual_seed(0))
    assert batch.waves.shape == (2 * count, length)
    assert batch.cry.tolist() == [True] * count + [False] * count
    assert batch.groups[:count, 0].unique().tolist() == pytest.approx([0.9])
    assert batch.groups[count:].max() == 0
    mixed = 1 - batch.clean.float()
    assert float(mixed[:count].mean()) == pytest.approx(MIXED[0], abs=0.1)
    assert float(mixed[count:].mean()) == pytest.approx(MIXED[1], abs=0.1)
    assert torch.equal(batch.clips[batch.clean, 0], batch.clips[batch.clean, 1])
    assert set(batch.clips[:count, 0].tolist()) == set(range(12))
    assert set(batch.clips[~batch.clean, 1].tolist()) == {12}  # the clip of the first row
    silent = (batch.waves[:count].abs() < 1e-6).float().mean(1)  # cries that are cut short
    short = (silent > 0.05) & batch.clean[:count]
    assert 0.25 < float(short.sum() / batch.clean[:count].sum()) < 0.5
    assert float(silent.max()) <= 1 - 0.4 / 2


def test_examples_are_of_one_fold_each_and_know_what_is_heard_in_them(front_end, tmp_path):
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
        assert torch.equal(own.features, kept.features)  # out of the file
        assert (own.clips % 2 == own.clips[:, :1] % 2).all()  # a fold is every second clip
        assert ((own.clips[:, 0] < 4) == own.cry).all()
        assert (own.clips[~own.clean, 1] >= 4).all()
        chosen = torch.tensor([True] * 7 + [False])
        part = own.among(chosen)
        assert part.clips.max() == 6
        assert len(part.cry) == int((own.clips < 7).all(1).sum())
