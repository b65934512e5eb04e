"""What plays a recording: HTML that holds the sound itself, so that the server keeps no file of it.

A ``gr.Audio`` would write a copy into Gradio's cache for every row that is chosen, and none of
these would pass the Classify tab, whose copies are forgotten after the answer.
"""

from __future__ import annotations

import base64
import io
import wave
from html import escape

import numpy as np
from numpy.typing import NDArray

from cry_model.audio import Recording

SECONDS = 60  # at most, for the sound travels inside of the page


def player_html(name: str, sound: Recording) -> str:
    """A player that starts at once, under the recording's name."""
    cut = f" (the first {SECONDS} s)" if sound.duration > SECONDS else ""
    data = base64.b64encode(wav_bytes(sound)).decode()
    return (
        f'<p class="name" role="status">{escape(name)}{cut}</p>'
        f'<audio controls autoplay aria-label="{escape(name)}" src="data:audio/wav;base64,{data}">'
        "</audio>"
    )


def sentence_html(name: str, sentence: str) -> str:
    """Why a recording is not played."""
    return f'<p class="name">{escape(name)}</p><p role="status">{escape(sentence)}</p>'


def sixteen_bits(sound: Recording) -> NDArray[np.int16]:
    """The samples at their own level; floating-point ones Gradio would bring to full scale."""
    return np.clip(np.round(32768 * sound.waveform.numpy()), -32768, 32767).astype(np.int16)


def wav_bytes(sound: Recording) -> bytes:
    """The first :data:`SECONDS` as a mono file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.sample_rate)
        file.writeframes(sixteen_bits(sound)[: SECONDS * sound.sample_rate].tobytes())
    return buffer.getvalue()
