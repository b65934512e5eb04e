"""Test other sounds: how they are listed, joined and extracted from packages."""

import numpy as np
import pytest

from cry_model.sound import audio
from tests.train.folders import contents, touch, write
from train.data.datasets import other_sounds
from train.data.datasets.other_sounds import JOINED, RATE, SECONDS, SOUNDFONT

STAMPS = "tuxpaint-stamps-default"
FILES = {  # path -> kind and source
    "asterisk-core-sounds-en-wav/share/a/hello.wav": ("words", "asterisk-core-sounds-en-wav"),
    "asterisk-core-sounds-en-wav/share/b/bye.wav": ("words", "asterisk-core-sounds-en-wav"),
    "klettres-data/da/alpha/a.ogg": ("words", "klettres-data/da"),
    "qabcs-data/abcs/de/sounds/words/horn.ogg": ("words", "qabcs-data/de"),
    "ktuberling-data/sounds/en_GB/laugh.ogg": ("laughs", "ktuberling-data/en_GB"),
    "qabcs-data/abcs/all/noises/piano.ogg": ("effects", "qabcs-data"),
    "scratch/Sounds/Human/Laugh-male1.wav": ("laughs", "scratch/Human"),
    f"{STAMPS}/animals/cat.wav": ("cats", f"{STAMPS}/animals"),
    f"{STAMPS}/animals/cattle.wav": ("effects", f"{STAMPS}/animals"),
    f"{STAMPS}/animals/cat_desc_de.wav": ("words", f"{STAMPS}/words-de"),
    f"{STAMPS}/animals/cat_desc.wav": ("words", f"{STAMPS}/words-en"),
    "hydrogen-data/kit/snare.flac": ("instruments", "hydrogen-data/kit"),
    f"{SOUNDFONT}/bells/14-0.wav": ("bells", f"{SOUNDFONT}/14"),
    f"{SOUNDFONT}/bells/14-1.wav": ("bells", f"{SOUNDFONT}/14"),
}
CRIES = ("scratch/Sounds/Human/BabyCry.wav", "xemacs21-basesupport/sounds/cry.wav")


def tone(hz, seconds=1.0, rate=RATE, peak=0.2):
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def test_files_of_one_source_share_group_and_fold(tmp_path):
    root = tmp_path / other_sounds.NAME
    touch(*(root / name for name in (*FILES, *CRIES, "klettres-data/copyright")))
    corpus = other_sounds.read(tmp_path)
    found = {(item.recording.partition("/")[0], item.group) for item in corpus.items}
    assert found == set(FILES.values())  # and no cry, which would need another label
    assert {item.label for item in corpus.items} == {"other"}
    assert all(0 <= item.fold < other_sounds.FOLDS for item in corpus.items)
    assert len({item.recording for item in corpus.items}) == len(corpus.items)
    other_sounds.sources.cache_clear()
    assert corpus == other_sounds.read(tmp_path)


def test_every_file_is_used_once_and_sources_are_capped(tmp_path, monkeypatch):
    monkeypatch.setattr(other_sounds, "join", lambda paths, number: paths)
    folder = tmp_path / other_sounds.NAME / "supertux-data" / "music"
    files = [folder / f"{n:03d}.wav" for n in range((other_sounds.MOST + 3) * JOINED)]
    few = files[: 2 * JOINED + 1]
    touch(*few)
    heard = [other_sounds.load(item) for item in other_sounds.read(tmp_path).items]
    assert [len(own) for own in heard] == [JOINED, JOINED, 1]
    assert sorted(path for own in heard for path in own) == few
    touch(*files)
    other_sounds.sources.cache_clear()
    assert len(other_sounds.read(tmp_path).items) == other_sounds.MOST


def test_damaged_or_silent_files_are_skipped_when_joining(tmp_path):
    good, damaged, silent, long = (tmp_path / f"{n}.wav" for n in "abcd")
    write(good, tone(440, 0.5, 8000, peak=0.01), 8000)
    damaged.write_bytes(b"RIFF and nothing more")
    write(silent, np.zeros(RATE))
    write(long, tone(880, SECONDS + 4, 44_100), 44_100)
    heard = other_sounds.join([good, damaged, silent, long, tmp_path / "gone.wav"], 0)
    assert heard.sample_rate == RATE
    least, most = (0.5 + SECONDS + 2 * pause for pause in other_sounds.PAUSES)
    assert least <= heard.duration <= most
    for part in (heard.waveform[: RATE // 2], heard.waveform[RATE * 2 :]):  # both at equal peak
        assert float(part.abs().max()) == pytest.approx(1, abs=0.01)
    with pytest.raises(audio.AudioError, match="None of these"):
        other_sounds.join([damaged, silent], 0)


def test_of_a_package_each_sound_is_kept_once_with_its_licence(tmp_path):
    share, folder = tmp_path / "whole" / "usr" / "share", tmp_path / "b" / "c"
    for name in ("x/a.wav", "x/copy.wav", "doc/p/copyright", "../bin/program"):
        touch(share / name)
    write(share / "x" / "b.wav", tone(440))
    (share / "x" / "link.wav").symlink_to(share / "x" / "b.wav")
    assert other_sounds.keep_sounds(tmp_path / "whole", folder) == 4
    other_sounds.drop_copies(folder)
    assert set(contents(folder)) == {"x/a.wav", "x/b.wav", "doc/p/copyright"}
