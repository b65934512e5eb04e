"""Files of every kind, and the microphone, get into the Classify tab as they are."""

import contextlib
import hashlib
import shutil

import pytest

from cry_model.audio import SUFFIXES
from tests.browser.conftest import visit_page
from tests.cry_model.encode import encode, with_pyav
from tests.stand_ins import cry

pytestmark = pytest.mark.browser

FILMS = ("3gp", "avi", "m4v", "mkv", "mov", "mp4", "webm")
SOUNDS = ("aac", "aiff", "amr", "caf", "flac", "m4a", "mka", "mp3", "oga", "ogg", "opus", "wav")
SOUNDS += ("au", "w64", "wma", "wv")
CATCH_UPLOADS = """
window.sent = [];
const { fetch } = window;
window.fetch = (url, options) => {
  if (!String(url).includes("/gradio_api/upload?")) return fetch(url, options);
  window.sent.push(...options.body.getAll("files"));
  return Promise.reject(new Error("caught"));
};
"""
LAST_SENT = """async () => {
  const file = window.sent.pop();
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [file.name, Array.from(new Uint8Array(digest))];
}"""
WATCH_MICROPHONE = """
window.asked = [];
const { getUserMedia } = MediaDevices.prototype;
MediaDevices.prototype.getUserMedia = async function (wanted) {
  const stream = await getUserMedia.call(this, wanted);
  window.asked.push({ wanted, got: stream.getTracks().map((track) => track.getSettings()) });
  return stream;
};
"""
UNTOUCHED = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}


def recorded(folder, ending):
    """Write three seconds of crying, in a film where such files are films."""
    rate = 8_000 if ending == "amr" else 48_000  # Hz; it knows no other
    samples = cry(3, rate).astype("f4")[:, None]
    film = ending in FILMS
    data = with_pyav(samples, rate, ending, video=True) if film else encode(samples, rate, ending)
    path = folder / f"cry.{ending}"
    path.write_bytes(data)
    return path


def drop(seen, path):
    """Drop a file on the recorder as a mouse does, which no script can."""
    box = seen.page.locator("#recording").bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = seen.page.context.new_cdp_session(seen.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
    session.detach()


GIVE = {"chosen": lambda seen, path: seen.upload(path), "dropped": drop}


@pytest.fixture(scope="module")
def watched(browser, server, microphone, examples):
    """Open one page that sends no file, and tells what it asked of the microphone and got."""
    shutil.copyfile(examples / "synthetic_rhythmic.wav", microphone)
    with contextlib.closing(browser.new_context(permissions=["microphone"])) as context:
        context.add_init_script(CATCH_UPLOADS)
        context.add_init_script(WATCH_MICROPHONE)
        yield visit_page(context, server)


def again(seen):
    """Load the page anew."""
    seen.page.reload()
    seen.page.wait_for_selector("#recording input[type=file]", state="attached")
    return seen


@pytest.mark.parametrize("given", GIVE)
@pytest.mark.parametrize("ending", [*FILMS, *SOUNDS])
def test_every_kind_of_file_that_is_read_is_taken(watched, tmp_path, ending, given):
    path = recorded(tmp_path, ending)
    GIVE[given](watched, path)
    watched.page.wait_for_function("window.sent.length", timeout=20_000)
    name, digest = watched.page.evaluate(LAST_SENT)
    assert (name, bytes(digest)) == (path.name, hashlib.sha256(path.read_bytes()).digest())
    watched.page.locator("#recording .clear-status button").click()  # what caught it is an error


def test_the_dialogue_offers_every_ending_that_is_read(watched):
    with watched.page.expect_file_chooser() as chooser:
        watched.page.locator("#recording button.upload-container").click()
    accepted = chooser.value.element.get_attribute("accept").split(",")
    assert {"audio/*", "video/*", *SUFFIXES} <= set(accepted)


@pytest.mark.parametrize(("ending", "given"), [("mp4", "chosen"), ("mov", "dropped")])
def test_the_sound_of_a_film_is_answered_and_played(visit, models, tmp_path, ending, given):
    path = recorded(tmp_path, ending)
    expected = models[0].classifier.predict(path).probabilities
    seen = visit()
    GIVE[given](seen, path)
    seen.answered()
    assert sorted(seen.probabilities().values()) == sorted(
        round(100 * p) for p in expected.values()
    )
    seen.play()
    assert seen.errors == []


def test_what_is_no_sound_is_said_by_us(visit, tmp_path):
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7 no sound in here")
    seen = visit()
    drop(seen, path)
    problem = seen.page.wait_for_selector("#answer .problem", timeout=60_000)
    assert "could not be read as sound" in problem.inner_text()


def record(page):
    """Start the recorder of the Classify tab."""
    page.get_by_role("button", name="Record audio").click()
    page.locator("#recording .record-button").first.click()


def listen(page):
    """Start the Live tab."""
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start listening").click()


@pytest.mark.parametrize("start", [record, listen])
def test_the_browser_leaves_the_sound_of_a_microphone_alone(watched, start):
    start(again(watched).page)
    watched.page.wait_for_function("window.asked.length")
    (asked,) = watched.page.evaluate("window.asked")
    (track,) = asked["got"]
    assert {name: asked["wanted"]["audio"][name] for name in UNTOUCHED} == UNTOUCHED
    assert {name: track[name] for name in UNTOUCHED} == UNTOUCHED


ASK = "wanted => navigator.mediaDevices.getUserMedia(wanted).then(() => true, () => false)"


@pytest.mark.parametrize(
    ("wanted", "audio"),
    [
        ({"audio": True}, UNTOUCHED),
        ({"audio": {"noiseSuppression": True}}, UNTOUCHED),
        ({"audio": {"channelCount": 1}}, {**UNTOUCHED, "channelCount": 1}),
        ({"audio": {"deviceId": {"ideal": "x"}}}, {**UNTOUCHED, "deviceId": {"ideal": "x"}}),
        ({"audio": False, "video": True}, False),
        ({"video": True}, None),
    ],
)
def test_other_wishes_are_passed_on(watched, wanted, audio):
    assert again(watched).page.evaluate(ASK, wanted)
    for nothing in (None, {}, {"audio": False}):
        assert not watched.page.evaluate(ASK, nothing)
    (asked,) = watched.page.evaluate("window.asked")
    assert asked["wanted"].get("audio") == audio
    assert asked["wanted"].get("video") == wanted.get("video")
