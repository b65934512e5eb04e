"""Files of every kind, and the microphone, get into the Listen tab as they are."""

import contextlib
import io
import shutil

import numpy as np
import pytest
import soundfile

from tests.browser.conftest import visit_page
from tests.cry_model.encode import encode, with_pyav
from tests.stand_ins import cry

pytestmark = pytest.mark.browser

CATCH_UPLOADS = """
window.sent = [];
const { fetch } = window;
window.fetch = (url, options) => {
  if (!String(url).includes("/gradio_api/upload")) return fetch(url, options);
  window.sent.push(...options.body.getAll("files"));
  return Promise.reject(new Error("caught"));
};
"""
LAST_SENT = """async () => {
  const file = window.sent.pop();
  return [file.name, Array.from(new Uint8Array(await file.arrayBuffer()))];
}"""
WATCH_MICROPHONE = """
window.asked = [];
const { getUserMedia } = MediaDevices.prototype;
MediaDevices.prototype.getUserMedia = async function (wanted) {
  const stream = await getUserMedia.call(this, wanted);
  window.asked.push(stream.getTracks().map((track) => track.getSettings()));
  return stream;
};
"""
UNTOUCHED = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}


def recorded(folder, ending):
    """Write three seconds of crying, in a film unless it is a sound's file."""
    samples = cry(3, 48_000).astype("f4")[:, None]
    film = ending != "opus"
    data = (
        with_pyav(samples, 48_000, ending, video=True) if film else encode(samples, 48_000, ending)
    )
    path = folder / f"cry.{ending}"
    path.write_bytes(data)
    return path


def drop(seen, path):
    """Drop a file on the page as a mouse does, which no script can."""
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = seen.page.context.new_cdp_session(seen.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    session.detach()


GIVE = {"chosen": lambda seen, path: seen.upload(path), "dropped": drop}


@pytest.fixture(scope="module")
def watched(browser, server, microphone, examples):
    """Open one page that sends no file, and tells what it got of the microphone."""
    shutil.copyfile(examples / "synthetic_rhythmic.wav", microphone)
    with contextlib.closing(browser.new_context(permissions=["microphone"])) as context:
        context.add_init_script(CATCH_UPLOADS)
        context.add_init_script(WATCH_MICROPHONE)
        yield visit_page(context, server)


def sent(seen):
    """Name and bytes of the file that would have been sent."""
    seen.page.wait_for_function("window.sent.length", timeout=20_000)
    name, data = seen.page.evaluate(LAST_SENT)
    return name, bytes(data)


@pytest.mark.parametrize(("ending", "given"), [("mp4", "chosen"), ("opus", "dropped")])
def test_a_file_is_sent_as_it_is(watched, tmp_path, ending, given):
    path = recorded(tmp_path, ending)
    GIVE[given](watched, path)
    assert sent(watched) == (path.name, path.read_bytes())


def test_the_sound_of_a_film_is_answered(visit, tmp_path):
    seen = visit()
    drop(seen, recorded(tmp_path, "mov"))
    seen.answered()
    assert "s of sound" in seen.page.locator("#answer .measured").text_content()
    assert seen.errors == []


def test_a_recording_is_as_long_and_loud_as_what_was_heard(watched, examples):
    """Ten seconds without a second tap, at the microphone's own level."""
    watched.page.reload()
    watched.page.wait_for_selector("#listen[data-ready]", state="attached")
    watched.page.locator("[data-listen=record]").click()
    watched.page.wait_for_selector("[data-state=recording]")
    box = watched.page.locator("[data-listen=record]").bounding_box()
    assert min(box["width"], box["height"]) >= 88
    ((track,),) = watched.page.evaluate("window.asked")
    assert {name: track[name] for name in UNTOUCHED} == UNTOUCHED
    name, data = sent(watched)
    samples, rate = soundfile.read(io.BytesIO(data))
    assert name == "recording.wav"
    assert len(samples) / rate == pytest.approx(10, abs=0.3)
    wave, _ = soundfile.read(examples / "synthetic_rhythmic.wav")
    assert np.abs(samples).max() == pytest.approx(np.abs(wave).max(), rel=0.2)
