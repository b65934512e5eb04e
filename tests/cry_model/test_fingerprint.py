"""Test that fingerprints identify training recordings, also as copies, and nothing else."""

import contextlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.signal import chirp

import cry_model
from cry_model import CheckpointConfig, CheckpointError, CryClassifier, Recording
from cry_model import fingerprint as module
from cry_model.__main__ import REMEMBERED, as_text
from cry_model.checkpoint import ASSETS, BUNDLED, HASHES, SALT, WEIGHTS
from cry_model.fingerprint import Fingerprints, hashed, load_fingerprints, write_fingerprints
from cry_model.networks.registry import usual_config
from cry_model.sound import audio
from tests.cry_model.encode import encode

RATE = 16_000


def babble(seed, seconds=6.0):
    """Return a Recording of sweeps of random pitch and loudness over noise."""
    rng, parts = np.random.default_rng(seed), []
    while sum(map(len, parts)) < seconds * RATE:
        t = np.arange(round(RATE * rng.uniform(0.1, 0.4))) / RATE
        low, high = rng.uniform(300, 2500, 2)
        voices = sum(chirp(t, low * k, t[-1], high * k) / k for k in (1, 2, 3))
        parts.append(rng.uniform(0.05, 0.3) * voices * np.hanning(len(t)))
    wave = np.concatenate(parts)[: round(seconds * RATE)]
    return Recording(torch.tensor(wave + 0.002 * rng.normal(size=len(wave))).float(), RATE)


@pytest.fixture(scope="module")
def known():
    return Fingerprints.of(babble(seed) for seed in range(6))


def test_training_recordings_are_known_at_any_level_or_position(known):
    for own in map(babble, range(3)):
        before, after = (babble(seed, 20).waveform for seed in (100, 200))
        for wave in (0.02 * own.waveform, own.waveform[777:], own.waveform[: 3 * RATE],
                     torch.cat([before, own.waveform, after])):  # fmt: skip
            assert known.know(Recording(wave, RATE))


@pytest.mark.parametrize("ending", ["mp3", "m4a", "opus"])
def test_encoded_and_shifted_copies_are_known(known, ending):
    for seed in range(3):
        wave = babble(seed).waveform[round(0.037 * RATE) :].numpy()
        assert known.know(audio.load(encode(wave[:, None], RATE, ending)))


def test_other_sounds_are_not_known(known):
    assert not any(known.know(babble(seed)) for seed in range(50, 70))
    tone = torch.sin(torch.arange(10 * RATE) * 0.2)
    for wave in (tone, torch.randn(10 * RATE), 0 * tone + 1e-4, tone[: RATE // 2]):
        assert not known.know(Recording(wave, RATE))
        assert not Fingerprints.of([]).know(Recording(wave, RATE))


def test_long_recordings_are_processed_in_blocks(known, monkeypatch):
    whole = module.differences(babble(1, 30))[0]
    monkeypatch.setattr(module, "BLOCK", 100)
    torch.testing.assert_close(module.differences(babble(1, 30))[0], whole)


def test_only_a_few_salted_and_sorted_hashes_are_kept(known):
    assert 4 * len(known.hashes) < 6 * 6 * 63
    assert (np.diff(known.hashes.astype(np.int64)) > 0).all()
    again = Fingerprints.of(babble(seed) for seed in reversed(range(6)))
    assert (again.salt, again.hashes.tolist()) == (known.salt, known.hashes.tolist())
    other = Fingerprints.of(babble(seed) for seed in range(5))
    assert np.isin(other.hashes, known.hashes).mean() < 0.01
    one_bit = hashed(np.arange(64) ^ (1 << np.arange(64) % 48), 5) ^ hashed(np.arange(64), 5)
    assert 12 < np.mean([bin(x).count("1") for x in one_bit.tolist()]) < 20


@pytest.fixture
def folder(tmp_path, known):
    config = CheckpointConfig("ecapa-tdnn", ("a", "b"), usual_config("ecapa-tdnn"))
    cry_model.save_checkpoint(tmp_path, config.build(), config)
    return tmp_path


def test_fingerprints_are_stored_without_changing_the_weights(folder, known):
    before = load_file(folder / WEIGHTS)
    assert load_fingerprints(folder) is None
    for _ in range(2):
        write_fingerprints(folder, known)
        after = load_file(folder / WEIGHTS)
        assert set(after) - set(before) == {SALT, HASHES}
        assert all(torch.equal(after[name], before[name]) for name in before)
    found = load_fingerprints(folder)
    assert (found.salt, found.hashes.tolist()) == (known.salt, known.hashes.tolist())
    model, _ = cry_model.load_checkpoint(folder)
    assert set(model.state_dict()) == set(before)


@pytest.mark.parametrize(
    "damage",
    [
        {SALT: None}, {SALT: torch.tensor([-1])}, {SALT: torch.zeros(0, dtype=torch.int64)},
        {HASHES: None}, {HASHES: torch.zeros(3)}, {HASHES: torch.zeros(3, 3, dtype=torch.int32)},
    ],
)  # fmt: skip
def test_damaged_fingerprints_are_refused(folder, known, damage):
    write_fingerprints(folder, known)
    found = {**load_file(folder / WEIGHTS), **damage}
    save_file({n: t for n, t in found.items() if t is not None}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"^The fingerprints in .* are damaged; .*\.$"):
        load_fingerprints(folder)


def test_the_answer_says_if_the_recording_was_trained_on(folder, known):
    write_fingerprints(folder, known)
    classifier = CryClassifier.from_pretrained(folder, detector=False)
    for seed, remembered in ((3, True), (60, False)):
        prediction = classifier.predict(babble(seed))
        assert prediction.remembered == remembered == prediction.to_dict()["remembered"]
        assert (REMEMBERED in as_text(prediction)) == remembered


@pytest.mark.parametrize(
    ("name", "fitted", "others"),
    [
        ("donate-a-cry", "donateacry/*/*.wav", "challenge6_cuts/*/*.flac"),
        ("six-class", "challenge6_cuts/*/*.flac", "speech/*.wav"),
    ],
)
def test_the_bundled_models_know_their_training_recordings(data_root, name, fitted, others):
    known = load_fingerprints(ASSETS / BUNDLED[name])
    own, unlike = (sorted(data_root.glob(pattern)) for pattern in (fitted, others))
    own, unlike = own[:: len(own) // 20], unlike[:: len(unlike) // 40]
    assert np.mean([known.know(audio.load(path)) for path in own]) > 0.9
    for path in unlike:
        with contextlib.suppress(audio.TooShortError):  # a spoken word of less than half a second
            assert not known.know(audio.load(path)), path
