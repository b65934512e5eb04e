"""The detector's teacher: its groups, its windows, and the file that keeps its answers."""

import sys

import pytest
import torch

from cry_model import FrontEnd, audio
from train.data.corpus import Corpus, DataError, load_clips, load_file
from train.data.datasets import public
from train.data.tagger import GROUPS, NAME, RATE, STEP, WINDOW, Tagger, tag
from train.fit.presets import DETECTOR


@pytest.fixture(scope="module")
def tagger(data_root):
    pytest.importorskip("ai_edge_litert")
    return Tagger(data_root / NAME)


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd(DETECTOR.front_end).eval()


@pytest.fixture(scope="module")
def clips(data_root, front_end):
    items = public.read_esc10(data_root).items
    chosen = [i for i in items if i.label in ("baby_cry", "rooster")][::10]
    return load_clips(Corpus("esc10", ("baby_cry", "rooster"), tuple(chosen), ""), front_end)


def test_a_window_is_what_it_is_alone_at_any_level(tagger):
    wave = 0.3 * torch.randn(WINDOW + 2 * STEP, generator=torch.Generator().manual_seed(0))
    wave = wave.clamp(-1, 1)
    wave[::STEP] = 1  # each window has the same peak
    answers = tagger(wave, RATE)
    for i, row in enumerate(answers):
        alone = tagger(wave[i * STEP : i * STEP + WINDOW], RATE)[0]
        torch.testing.assert_close(row, alone)
    torch.testing.assert_close(tagger(0.01 * wave, RATE), answers, atol=1e-3, rtol=0.01)


def test_it_tells_cries_from_roosters(tagger, clips):
    heard = {"baby_cry": [], "rooster": []}
    for item in clips.items:
        sound = audio.load(item.path)
        cry = tagger.cries(sound.waveform, sound.sample_rate)
        told = tagger.grouped(sound.waveform, sound.sample_rate)
        heard[item.label].append(told.amax(0))
        assert torch.all(told[:, 0] >= cry)
    groups, (cries, roosters) = list(GROUPS), (torch.stack(rows) for rows in heard.values())
    assert (cries[:, groups.index("cry")] > 0.4).float().mean() >= 0.7
    assert roosters[:, groups.index("cry")].max() < 0.4
    assert (roosters[:, groups.index("fowl")] > 0.4).float().mean() >= 0.7


def test_answers_are_kept_for_these_clips_alone(tagger, clips, front_end, tmp_path, monkeypatch):
    first = tag(clips, front_end, load_file, tagger, tmp_path)
    (kept,) = tmp_path.iterdir()
    for rows, wave in zip(first, clips.waveforms, strict=True):
        samples = len(wave) * RATE // DETECTOR.front_end.sample_rate
        assert rows.shape == (max(1, -(-(samples - WINDOW) // STEP) + 1), len(GROUPS))
    fewer = clips.subset([0, 1])
    tag(fewer, front_end, load_file, tagger, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(tagger, "grouped", lambda *_: pytest.fail("asked again"))
    before = kept.read_bytes()
    for again, rows in zip(tag(clips, front_end, load_file, tagger, tmp_path), first, strict=True):
        assert torch.equal(again, rows)
    assert kept.read_bytes() == before


def test_what_is_missing_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(DataError, match=r"requirements-dev\.txt"):
        Tagger(tmp_path)
    monkeypatch.undo()
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(DataError, match=r"yamnet\.tflite") as error:
        Tagger(tmp_path)
    assert str(tmp_path) in str(error.value)
