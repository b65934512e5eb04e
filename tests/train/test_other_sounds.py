"""Other sounds: what is listed, joined, fetched out of packages and written for FluidSynth."""

import io
import tarfile
from collections import Counter

import numpy as np
import pytest

from cry_model.sound import audio
from tests.train.folders import write
from train.data.datasets import other_sounds
from train.data.datasets.other_sounds import JOINED, RATE, SECONDS, SOUNDFONT

FILES = {  # path -> kind and source
    "asterisk-core-sounds-en-wav/share/a/hello.wav": ("words", "asterisk-core-sounds-en-wav"),
    "asterisk-core-sounds-en-wav/share/b/bye.wav": ("words", "asterisk-core-sounds-en-wav"),
    "klettres-data/da/alpha/a.ogg": ("words", "klettres-data/da"),
    "qabcs-data/abcs/de/sounds/words/horn.ogg": ("words", "qabcs-data/de"),
    "ktuberling-data/sounds/en_GB/laugh.ogg": ("laughs", "ktuberling-data/en_GB"),
    "qabcs-data/abcs/all/noises/piano.ogg": ("effects", "qabcs-data"),
    "scratch/Sounds/Human/Laugh-male1.wav": ("laughs", "scratch/Human"),
    "tuxpaint-stamps-default/animals/cat.wav": ("cats", "tuxpaint-stamps-default/animals"),
    "tuxpaint-stamps-default/animals/cattle.wav": ("effects", "tuxpaint-stamps-default/animals"),
    "tuxpaint-stamps-default/animals/cat_desc_de.wav": (
        "words",
        "tuxpaint-stamps-default/words-de",
    ),
    "tuxpaint-stamps-default/animals/cat_desc.wav": ("words", "tuxpaint-stamps-default/words-en"),
    "hydrogen-data/kit/snare.flac": ("instruments", "hydrogen-data/kit"),
    f"{SOUNDFONT}/bells/14-0.wav": ("bells", f"{SOUNDFONT}/14"),
    f"{SOUNDFONT}/bells/14-1.wav": ("bells", f"{SOUNDFONT}/14"),
}


def tone(hz, seconds=1.0, rate=RATE, peak=0.2):
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds")
    for number, name in enumerate(FILES):
        write(root / other_sounds.NAME / name, tone(300 + 50 * number))
    for name in ("scratch/Sounds/Human/BabyCry.wav", "xemacs21-basesupport/sounds/cry.wav"):
        write(root / other_sounds.NAME / name, tone(400))  # of another label
    (root / other_sounds.NAME / "klettres-data" / "copyright").write_text("GPL-2+")
    return root


def test_files_of_one_voice_or_folder_are_items_of_one_group_and_fold(root):
    corpus = other_sounds.read(root)
    found = {(item.recording.partition("/")[0], item.group) for item in corpus.items}
    assert found == set(FILES.values())
    assert {item.label for item in corpus.items} == {"other"}
    assert all(0 <= item.fold < other_sounds.FOLDS for item in corpus.items)
    assert len({item.recording for item in corpus.items}) == len(corpus.items)
    assert corpus == other_sounds.read(root)


def test_every_file_of_a_source_is_heard_once_and_no_source_crowds_out_the_others(tmp_path):
    folder = tmp_path / other_sounds.NAME / "supertux-data" / "music"
    count = 2 * JOINED + 1
    for number in range(count):
        write(folder / f"{number:03d}.wav", tone(200 + 100 * number, 0.2))
    items = other_sounds.read(tmp_path).items
    assert len(items) == 3
    heard = [other_sounds.load(item) for item in items]
    peaks, hz = [], [200 + 100 * n for n in range(count)]
    for recording in heard:
        spectrum = np.abs(np.fft.rfft(recording.waveform.numpy(), n=RATE * 4))
        peaks.append([h for h in hz if spectrum[4 * h] > 0.3 * spectrum.max()])
    assert sorted(h for own in peaks for h in own) == hz
    assert [len(own) for own in peaks] == [JOINED, JOINED, 1]
    for number in range(count, (other_sounds.MOST + 3) * JOINED):
        (folder / f"{number:03d}.wav").touch()
    other_sounds.sources.cache_clear()
    assert len(other_sounds.read(tmp_path).items) == other_sounds.MOST


def test_one_damaged_or_silent_file_takes_no_other_with_it(tmp_path):
    files = [tmp_path / f"{name}.wav" for name in ("good", "damaged", "silent", "long")]
    write(files[0], tone(440, 0.5, 8000, peak=0.01), 8000)
    files[1].write_bytes(b"RIFF and nothing more")
    write(files[2], np.zeros(RATE))
    write(files[3], tone(880, SECONDS + 4, 44_100), 44_100)
    files.append(tmp_path / "gone.wav")
    heard = other_sounds.join(files, 0)
    assert heard.sample_rate == RATE
    least, most = (0.5 + SECONDS + 2 * pause for pause in other_sounds.PAUSES)
    assert least <= heard.duration <= most
    for part in (heard.waveform[: RATE // 2], heard.waveform[RATE * 2 :]):  # both at one peak
        assert float(part.abs().max()) == pytest.approx(1, abs=0.01)
    with pytest.raises(audio.AudioError, match="None of these"):
        other_sounds.join(files[1:3], 0)


def test_a_score_can_be_read_back_and_plays_what_was_asked_for(tmp_path):
    mido = pytest.importorskip("mido")
    for program, phrases in ((14, 3), (52, 1)):
        path = tmp_path / f"{program}.mid"
        other_sounds.compose(program, phrases, np.random.default_rng(0)).save(path)
        score = mido.MidiFile(path)
        played = [m for m in score if not m.is_meta]  # with seconds between them
        assert (played[0].type, played[0].program) == ("program_change", program)
        assert (phrases - 1) * SECONDS < score.length <= phrases * SECONDS + 1
        sounding, at = Counter(), 0.0
        for message in played:
            at += message.time
            if message.type in ("note_on", "note_off"):
                sounding[message.note] += 1 if message.type == "note_on" else -1
            if message.type == "note_on":
                assert round(at, 6) % SECONDS < SECONDS - 1.4  # what follows has time to fade
        assert set(sounding.values()) == {0}


def test_of_a_package_sounds_and_their_terms_are_taken_and_nothing_outside(tmp_path):
    wanted = {"./usr/share/x/a.wav": "x/a.wav", "./usr/share/doc/p/copyright": "doc/p/copyright"}
    refused = ("./usr/share/x/../../../../out.wav", "./usr/bin/program", "./usr/share/x/link.wav")
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        for path in (*wanted, *refused):
            member = tarfile.TarInfo(path)
            member.type = tarfile.SYMTYPE if "link" in path else tarfile.REGTYPE
            archive.addfile(member, io.BytesIO())
    with tarfile.open(tmp_path / "p.tar") as archive:
        taken = [m.name for m in archive if other_sounds._extract(archive, m, tmp_path / "to")]
    assert taken == list(wanted)
    found = {p.relative_to(tmp_path / "to").as_posix() for p in (tmp_path / "to").rglob("*.*")}
    assert found == {"x/a.wav"}
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"p.tar", "a.wav", "copyright"}


def test_of_sounds_that_are_the_same_one_is_kept_and_so_are_their_terms(tmp_path):
    for name, hz in (("a/x.wav", 300), ("b/y.wav", 300), ("b/z.wav", 400)):
        write(tmp_path / name, tone(hz))
    for package in ("a", "b"):
        (tmp_path / package / "copyright").write_text("GPL-2+")
    other_sounds.drop_copies(tmp_path)
    kept = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert kept == {"a/x.wav", "b/z.wav", "a/copyright", "b/copyright"}
