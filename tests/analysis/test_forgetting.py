"""Nothing of a visitor stays: uploads go after the answer, sessions after an hour."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import gradio as gr
import pytest
from gradio.processing_utils import save_file_to_cache
from gradio.state_holder import StateHolder

from analysis.page import launch_options
from analysis.uploads import delete_due, delete_sessions, delete_upload


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """A folder that Gradio takes for its own."""
    folder = tmp_path.resolve() / "uploads"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    folder.mkdir()
    return folder


def test_forget_deletes_a_recording_but_not_our_examples(uploads, examples):
    ours = Path(save_file_to_cache(examples / "synthetic_whimper.wav", str(uploads)))
    copy = uploads / "sent" / ours.name  # by a visitor, of our own example
    private, elsewhere = uploads / "mine.wav", uploads.parent / "mine.wav"
    copy.parent.mkdir()
    for path in (private, elsewhere, copy):
        path.write_bytes(ours.read_bytes())
    (uploads / "link.wav").symlink_to(elsewhere)
    outward = uploads / ".." / elsewhere.name
    for path in (private, ours, copy, elsewhere, outward, uploads / "link.wav", uploads / "gone"):
        delete_upload(str(path), after=0)
    for path in (None, "", "a\0b", "x" * 5000):
        delete_upload(path, after=0)
    delete_due(set())
    assert {path for path in uploads.rglob("*.wav") if not path.is_symlink()} == {ours}
    assert elsewhere.exists()


def test_a_recording_goes_when_its_time_has_come_and_nobody_needs_it(uploads):
    soon, later = uploads / "soon.wav", uploads / "later.wav"
    for path, after in ((soon, 0), (later, 3600)):
        path.write_bytes(b"sound")
        delete_upload(str(path), after)
    delete_due({soon})
    assert soon.exists()
    delete_due(set())
    assert not soon.exists()
    assert later.exists()


def test_sessions_that_nobody_uses_any_more_are_dropped_whole():
    sessions = StateHolder()
    for name in ("old", "new"):
        sessions.session_data[name] = object()
    now = sessions.time_last_used
    now["new"] = now["old"] = datetime.now()
    delete_sessions(sessions)
    assert set(sessions.session_data) == {"old", "new"}
    now["old"] -= timedelta(hours=1)
    delete_sessions(sessions)
    assert (set(sessions.session_data), set(now)) == ({"new"}, {"new"})


def test_the_running_server_drops_them_by_itself(monkeypatch):
    """Through Gradio's own start, so that its lifespan is what calls us."""
    monkeypatch.setattr("analysis.uploads.SWEEP_SECONDS", 0.05)
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Textbox()
    options = {"app_kwargs": launch_options()["app_kwargs"], "quiet": True}
    app, _, _ = page.launch(prevent_thread_lock=True, inbrowser=False, **options)
    try:
        app.state_holder.session_data["old"] = object()
        app.state_holder.time_last_used["old"] = datetime.now() - timedelta(hours=1)
        end = time.monotonic() + 10
        while app.state_holder.time_last_used and time.monotonic() < end:
            time.sleep(0.02)
        assert "old" not in app.state_holder.session_data
    finally:
        page.close()
