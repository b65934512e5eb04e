"""Nothing of a visitor stays: uploads go after the answer, sessions after an hour."""

import time
from datetime import datetime, timedelta

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from analysis.forgetting import forget, forget_sessions
from analysis.page import launch_options


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """A folder that Gradio takes for its own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


def test_forget_deletes_a_recording_but_not_our_examples(uploads, examples):
    private, ours = uploads / "mine.wav", uploads / "synthetic_whimper.wav"
    elsewhere = uploads.parent / "mine.wav"
    elsewhere.write_bytes(b"not an upload")
    private.write_bytes(b"private")
    ours.write_bytes((examples / ours.name).read_bytes())
    impostor = uploads / "synthetic_rhythmic.wav"
    impostor.write_bytes(b"not the example")
    for path in (private, ours, impostor, elsewhere, uploads / "gone.wav"):
        forget(str(path), after=0.05)
    forget(None)
    time.sleep(0.5)
    assert [p.name for p in uploads.iterdir()] == [ours.name]
    assert elsewhere.exists()


def test_a_recording_that_was_sent_again_waits_for_its_own_answer(uploads):
    shared = uploads / "cry.wav"
    shared.write_bytes(b"sound")
    forget(str(shared), after=0.3)
    time.sleep(0.05)
    shared.write_bytes(b"sound")  # the second visitor's upload
    time.sleep(0.6)
    assert shared.exists()


def test_sessions_that_nobody_uses_any_more_are_dropped_whole():
    sessions = StateHolder()
    for name in ("old", "new"):
        sessions.session_data[name] = object()
    now = sessions.time_last_used
    now["new"] = now["old"] = datetime.now()
    forget_sessions(sessions)
    assert set(sessions.session_data) == {"old", "new"}
    now["old"] -= timedelta(hours=1)
    forget_sessions(sessions)
    assert (set(sessions.session_data), set(now)) == ({"new"}, {"new"})


def test_the_running_server_drops_them_by_itself(monkeypatch):
    """Through Gradio's own start, so that its lifespan is what calls us."""
    monkeypatch.setattr("analysis.forgetting.SWEEP_SECONDS", 0.05)
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
