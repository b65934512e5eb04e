"""Check that files and microphone recordings reach the Listen tab unchanged."""

import io

import numpy as np
import pytest
import soundfile

from tests.browser.conftest import Visit
from tests.cry_model.encode import encode, with_pyav
from tests.stand_ins import cry

pytestmark = pytest.mark.browser

CATCH_UPLOADS = """() => {
  const { fetch } = window;
  window.fetch = (url, options) => {
    if (!String(url).includes("/gradio_api/upload")) return fetch(url, options);
    window.sent = options.body.get("files");
    return Promise.reject(new Error("caught"));
  };
}"""
SENT = "async () => [window.sent.name, [...new Uint8Array(await window.sent.arrayBuffer())]]"
WATCH_MICROPHONE = """() => {
  const { getUserMedia } = MediaDevices.prototype;
  MediaDevices.prototype.getUserMedia = async function (wanted) {
    const stream = await getUserMedia.call(this, wanted);
    window.track = stream.getTracks()[0].getSettings();
    return stream;
  };
}"""
UNTOUCHED = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}


def recorded(folder, ending):
    """Write three seconds of crying as a video, or as sound for "opus"; return the path."""
    samples = cry(3, 48_000).astype("f4")[:, None]
    path = folder / f"cry.{ending}"
    if ending == "opus":
        path.write_bytes(encode(samples, 48_000, ending))
    else:
        path.write_bytes(with_pyav(samples, 48_000, ending, video=True))
    return path


def drop(seen, path):
    """Drop a file on the page by native drag events, which no page script can send."""
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = seen.page.context.new_cdp_session(seen.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    session.detach()


@pytest.fixture
def watched(visit):
    """Open a page that catches uploads and records the settings of the microphone."""
    seen = visit()
    seen.page.evaluate(CATCH_UPLOADS)
    seen.page.evaluate(WATCH_MICROPHONE)
    return seen


def sent(seen):
    """Return name and bytes of the caught upload."""
    seen.page.wait_for_function("window.sent")
    name, data = seen.page.evaluate(SENT)
    return name, bytes(data)


@pytest.mark.parametrize(("ending", "give"), [("mp4", Visit.upload), ("opus", drop)])
def test_file_is_sent_unchanged(watched, tmp_path, ending, give):
    path = recorded(tmp_path, ending)
    give(watched, path)
    assert sent(watched) == (path.name, path.read_bytes())


def test_sound_of_a_video_is_classified(visit, tmp_path):
    seen = visit()
    drop(seen, recorded(tmp_path, "mov"))
    seen.answered()
    assert "s of sound" in seen.page.locator("#answer .measured").text_content()


def test_recording_keeps_the_length_and_level_of_the_sound(watched, examples):
    """Record until it stops by itself after ten seconds, at the microphone's own level."""
    button = watched.page.locator("[data-listen=record]")
    button.click()
    watched.page.wait_for_selector("[data-state=recording]")
    box = button.bounding_box()
    assert min(box["width"], box["height"]) >= 88
    name, data = sent(watched)
    assert watched.page.evaluate("window.track").items() >= UNTOUCHED.items()
    samples, rate = soundfile.read(io.BytesIO(data))
    assert name == "recording.wav"
    assert len(samples) / rate == pytest.approx(10, abs=0.3)
    wave, _ = soundfile.read(examples / "synthetic_rhythmic.wav")
    assert np.abs(samples).max() == pytest.approx(np.abs(wave).max(), rel=0.2)
