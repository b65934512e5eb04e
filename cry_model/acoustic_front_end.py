"""The front end of systems that hear :data:`~cry_model.acoustic_features.FEATURES`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor, nn

from cry_model.acoustic_features import FEATURES, HOP, RATE, AcousticFeatures
from cry_model.audio import Recording, require_sound
from cry_model.declared import Within, require, require_declared
from cry_model.features import resample
from cry_model.pieces import Clip, Pieces, cut

DC_SHARE = 0.005  # of the standard deviation: a mean above it comes from the recorder


@dataclass(frozen=True)
class AcousticConfig:
    """What the front end declares; see :class:`~cry_model.features.FrontEndConfig`.

    Attributes:
        kind: "acoustic".
        num_bands: rows of the features, always 26.
        sample_rate: Hz, what every recording is brought to, so that the rate it came with (which
            goes with the label) is not heard. The features themselves are of 22,050 Hz.
        piece_seconds: length of a piece; a shorter recording is one piece.
        min_seconds: a shorter recording is repeated up to this length.
        overlap: least share that neighbouring pieces have in common.

    Raises:
        ValueError: if one is out of its range, or they do not fit together.
    """

    kind: Literal["acoustic"] = "acoustic"
    num_bands: Annotated[int, Within(len(FEATURES), len(FEATURES))] = len(FEATURES)
    sample_rate: Annotated[int, Within(8000, 48_000)] = 16_000
    piece_seconds: Annotated[float, Within(0.1, 60)] = 15.0
    min_seconds: Annotated[float, Within(0.1, 60)] = 0.5
    overlap: Annotated[float, Within(0, 0.95)] = 0.5

    def __post_init__(self):
        require_declared(self)
        fits = self.min_seconds <= self.piece_seconds
        require(fits, "min_seconds is at most piece_seconds")

    @property
    def low_hz(self) -> float:
        """Lower edge of the band that is heard."""
        return 0.0

    @property
    def high_hz(self) -> float:
        """Upper edge of the band that is heard."""
        return self.sample_rate / 2

    @property
    def hop_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return HOP / RATE


class AcousticFrontEnd(nn.Module):
    """Recording -> clip -> pieces -> features.

    ``forward`` takes waveforms (batch, samples) at the configuration's rate and gives features
    (batch, 26, frames) as :class:`~cry_model.acoustic_features.AcousticFeatures` does.
    """

    def __init__(self, config: AcousticConfig):
        super().__init__()
        self.config = config
        self.features = AcousticFeatures()

    def prepare(self, recording: Recording) -> Clip:
        """Resamples one recording and removes DC; its level stays, and nothing is cut off.

        Without DC the samples stay as they are, digital silence too, so the features are the
        public table's.

        Raises:
            SilentAudioError: if nothing is left in the band.
        """
        wave = recording.waveform
        if (mean := wave.mean()).abs() > DC_SHARE * wave.std():
            wave = wave - mean
        # Steep, so that a recording that was made at this rate sounds like one brought to it.
        wave = resample(wave, recording.sample_rate, self.config.sample_rate, 256, 0.985)
        require_sound(wave)
        return Clip(wave, 0.0)

    def cut(self, clip: Clip, overlap: float | None = None) -> Pieces:
        """See :func:`cry_model.pieces.cut`; None is the overlap of the configuration."""
        c, share = self.config, self.config.overlap if overlap is None else overlap
        return cut(clip, c.sample_rate, c.piece_seconds, c.min_seconds, share)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.features(resample(waveforms, self.config.sample_rate, RATE))
