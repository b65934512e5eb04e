"""Test front ends against librosa, and that features do not reveal the recorder."""

import sys

import librosa
import numpy as np
import pytest
import scipy.fft
import torch

from cry_model import PAPER_FRONT_END, FrontEnd, FrontEndConfig, Recording
from cry_model.sound import audio, frontend
from cry_model.sound.front_end_config import cut
from cry_model.sound.frontend import resample

RATE = 8000


def tone(hz, seconds=4.0, rate=RATE):
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (0.1 * torch.sin(2 * torch.pi * hz * t)).float()


def noise(seconds, rate=RATE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(round(seconds * rate), generator=generator)


@pytest.fixture(scope="module", params=[FrontEndConfig(), PAPER_FRONT_END], ids=["mel", "mfcc"])
def front_end(request):
    return FrontEnd(request.param)


@pytest.mark.parametrize("level", ["recording", "piece"])
def test_log_mel_agrees_with_librosa(level):
    config = FrontEndConfig(level=level)
    wave = (noise(2) * torch.linspace(0.02, 1, 2 * RATE)).numpy()
    mel = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=RATE, n_fft=config.fft, win_length=config.window,
        hop_length=config.hop, n_mels=64, fmin=50, fmax=3400, htk=True, norm=None,
        pad_mode="reflect",
    )[:, :100] / (np.hanning(config.window + 1) ** 2).sum()  # fmt: skip
    if level == "piece":
        loud = mel.mean(0)
        mel /= loud[loud >= loud.max() / 100].mean()
    expected = 10 * np.log10(np.maximum(mel, 10 ** (config.floor_db / 10))) - config.floor_db
    ours = FrontEnd(config)(torch.from_numpy(wave)[None])[0]
    np.testing.assert_allclose(ours.numpy(), expected / 20, atol=2e-3)
    bands = librosa.mel_frequencies(66, fmin=50, fmax=3400, htk=True)
    np.testing.assert_allclose(config.band_hz, bands[1:-1])


def test_mfcc_is_the_dct_of_the_log_mel_bands():
    filters = PAPER_FRONT_END.num_filters
    mel = FrontEnd(FrontEndConfig(num_bands=filters, num_filters=filters))(noise(1)[None])[0]
    expected = scipy.fft.dct(mel.double().numpy(), axis=0, norm="ortho")[:13]
    ours = FrontEnd(PAPER_FRONT_END)(noise(1)[None])[0]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-4)


def test_pcen_agrees_with_librosa():
    config = FrontEndConfig(kind="pcen")
    front_end, share = FrontEnd(config), config.hop_seconds / 0.4
    power = front_end.mel_power(noise(2)[None])[0].double().numpy()
    power = np.maximum(power, 10 ** (config.floor_db / 10))
    past = (1 - share) * power[:, :1]  # the filter's state starts at the first frame
    expected = librosa.pcen(power, b=share, gain=0.98, bias=2, power=0.5, eps=1e-6, zi=past)
    np.testing.assert_allclose(front_end(noise(2)[None])[0].numpy(), expected, atol=1e-5)


def test_deltas_are_regressions_over_five_frames():
    plain = FrontEnd(FrontEndConfig())(noise(1)[None])[0].numpy()
    ours = FrontEnd(FrontEndConfig(num_bands=128, deltas=1, centre=1.5))(noise(1)[None])[0].numpy()
    np.testing.assert_allclose(ours[:64], plain - 1.5, atol=1e-6)
    slope = librosa.feature.delta(plain, width=5, mode="nearest")
    np.testing.assert_allclose(ours[64:], slope, atol=1e-5)


@pytest.mark.parametrize(
    ("rate", "target"), [(16000, 8000), (8000, 16000), (44100, 8000), (24000, 16000)]
)
def test_resampling_matches_torchaudio(rate, target):
    wave = noise(2, 16000)[:12347].view(1, -1)
    settings = {"resampling_method": "sinc_interp_kaiser", "beta": 14.769656459379492}
    for width, rolloff in ((16, 0.9475937167399596), (64, 0.9475937167399596), (256, 0.985)):
        expected = frontend.torchaudio.functional.resample(
            wave, rate, target, lowpass_filter_width=width, rolloff=rolloff, **settings
        )
        ours = resample(wave, rate, target, width, rolloff)
        assert ours.shape == expected.shape
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


def test_level_is_normalised_and_only_silent_ends_are_trimmed(front_end):
    pause = torch.zeros(RATE)
    wave = torch.cat([pause, noise(1), pause, 0.3 * noise(1), pause, pause])
    clip, quiet = (front_end.prepare(Recording(w, RATE)) for w in (wave, wave / 4))
    torch.testing.assert_close(clip.waveform, quiet.waveform, rtol=1e-3, atol=1e-4)
    assert clip.offset == pytest.approx(0.9, abs=0.05)
    assert len(clip.waveform) / RATE == pytest.approx(3.2, abs=0.1)
    frames = front_end(clip.waveform[None]).shape  # one every 20 ms
    assert frames == (1, front_end.config.num_bands, pytest.approx(160, abs=5))


def test_a_recording_without_sound_in_the_band_is_silent(front_end):
    fade = torch.hann_window(4 * 44100)  # the click of an abrupt end would lie in the band
    with pytest.raises(audio.SilentAudioError):
        front_end.prepare(Recording(fade * tone(9000, rate=44100), 44100))


@pytest.mark.parametrize(
    ("seconds", "count", "length"),
    [(0.6, 1, 3.0), (3.7, 1, 3.7), (5.1, 2, 5), (20, 7, 5)],
)
def test_pieces_cover_the_clip_and_overlap(front_end, seconds, count, length):
    clip = front_end.prepare(Recording(noise(seconds), RATE))
    pieces = cut(clip, front_end.config)
    assert pieces.waveforms.shape == (count, round(length * RATE))
    assert pieces.starts[0] == clip.offset
    assert pieces.starts[-1] + pieces.seconds == pytest.approx(seconds, abs=0.01)
    steps = np.diff(pieces.starts)
    assert (steps <= pieces.seconds / 2 + 1e-3).all()
    if seconds < length:  # the clip is repeated to fill the piece
        assert pieces.seconds == seconds
        own = round(seconds * RATE)
        assert torch.equal(pieces.waveforms[0, own : 2 * own], pieces.waveforms[0, :own])


def test_sound_outside_the_band_does_not_change_features(front_end):
    wave = noise(4, rate=48000)
    above = torch.fft.rfft(noise(4, rate=48000, seed=1))
    above[: (3700 * 4)] = 0
    below = 3 * tone(15, rate=48000)
    louder = wave + 10 * torch.fft.irfft(above, n=len(wave)) + below
    a, b = (front_end.prepare(Recording(w, 48000)).waveform for w in (wave, louder))
    inside = slice(5, -5)  # skip the clicks at the ends
    a, b = (front_end(w[None])[..., inside] for w in (a, b))
    torch.testing.assert_close(a, b, rtol=0, atol=5e-3)


@pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError])
def test_torchaudio_works_without_its_extension(monkeypatch, error):
    class Refuse:
        def find_spec(self, name, *_):
            if name == frontend.EXTENSION:
                raise error("the extension does not load here")

    config = FrontEndConfig(kind="mfcc", num_bands=26, num_filters=40, deltas=1)
    expected = FrontEnd(config)(resample(noise(1), 16_000, RATE)[None])
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Refuse(), *sys.meta_path])
    if error is ValueError:
        with pytest.raises(ValueError, match="does not load here"):
            frontend.import_torchaudio()
        return
    monkeypatch.setattr(frontend, "torchaudio", frontend.import_torchaudio())
    found = FrontEnd(config)(resample(noise(1), 16_000, RATE)[None])
    assert torch.equal(found, expected)
