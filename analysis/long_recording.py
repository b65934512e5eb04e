"""What is done for minutes of sound that seconds of it do not need: one rate for all who listen."""

from __future__ import annotations

from cry_model.acoustic_features import AcousticConfig
from cry_model.audio import Recording
from cry_model.classifier import LONGEST
from cry_model.frontend import resample

RATE = AcousticConfig().sample_rate  # Hz: all that any model hears is below half of it


def is_long(recording: Recording) -> bool:
    """Whether it is longer than a minute."""
    return recording.duration > LONGEST


def slimmed(recording: Recording) -> Recording:
    """A long recording at 16 kHz, so that not every model brings all of it there anew.

    As steep as the front end of the acoustic features does it: what lies below 7.9 kHz stays.
    """
    if not is_long(recording) or recording.sample_rate <= RATE:
        return recording
    wave = resample(recording.waveform, recording.sample_rate, RATE, 256, 0.985)
    return Recording(wave, RATE)
