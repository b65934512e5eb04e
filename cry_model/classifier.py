"""Classify recordings, with torch or onnxruntime as the backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cry_model.checkpoint import DEFAULT, CheckpointConfig, load_checkpoint, try_out
from cry_model.detection import DetectionScores, Span
from cry_model.fingerprint import Fingerprints, load_fingerprints
from cry_model.networks.attention import AttentionMaps, concatenate
from cry_model.prediction import PieceAnswer, Prediction, Segment
from cry_model.sound import audio
from cry_model.sound.front_end_config import AcousticConfig, Pieces, cut

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cry_model.backends.onnx_backend import OnnxBackend, OnnxDetector
    from cry_model.backends.torch_backend import TorchBackend
    from cry_model.detector import CryDetector
    from cry_model.networks.registry import AnyFrontEnd
    from cry_model.sound.arrays import ArrayFrontEnd

BACKENDS = ("torch", "onnx")
"""Names of the backends."""
MARGIN = 0.5  # s of context on either side of a cry
LONGEST = 60.0  # s, maximum classified without a cry


def parts(track: DetectionScores | None, duration: float) -> tuple[Span, ...]:
    """Return the cries of a recording; all of it without a detector.

    If there is no cry, return everything, or of a longer recording the minute most like a cry: an
    answer may be wanted anyway.
    """
    whole = (Span(0.0, duration),)
    if track is None:
        return whole
    if track.is_cry:
        return track.spans
    if duration <= LONGEST:
        return whole
    width = min(len(track.cells), round(LONGEST / track.step))
    first = int(sliding_window_view(track.cells, width).mean(-1).argmax())
    start = min(first * track.step, duration - LONGEST)
    return (Span(start, start + LONGEST),)


def widened(span: Span, least: float, duration: float) -> Span:
    """Return a span with its margins, at least ``least`` s long, within the recording."""
    spare = max(MARGIN, (least - span.seconds) / 2)
    start, end = max(0.0, span.start - spare), min(duration, span.end + spare)
    if end - start < least:  # at an edge: extend the other side
        start, end = max(0.0, end - least), min(duration, start + least)
    return Span(start, end)


def pieces_of(
    front_end: AnyFrontEnd | ArrayFrontEnd, recording: audio.Recording, spans: tuple[Span, ...]
) -> list[tuple[Span, Pieces]]:
    """Return each span with its pieces, cut and levelled separately, leaving out silent spans.
    Raise SilentAudioError if all are silent in the front end's band."""
    found, failure = [], None
    for span in spans:
        part = widened(span, front_end.config.min_seconds, recording.duration)
        rate = recording.sample_rate
        wave = recording.waveform[round(part.start * rate) : round(part.end * rate)]
        try:
            clip = front_end.prepare(audio.Recording(wave, rate))
        except audio.SilentAudioError as error:
            failure = error
            continue
        overlap = None if part.seconds <= LONGEST else 0.0  # long spans need no overlap
        pieces = cut(clip, front_end.config, overlap)
        starts = tuple(part.start + start for start in pieces.starts)
        found.append((span, replace(pieces, starts=starts)))
    if not found and failure is not None:
        raise failure
    return found


OUTSIDE = (
    "This recording is unlike those that the model was fitted on ({:.1f} times as far from their "
    "mean as 97.5% of them are), so its answer means little."
)
TOO_DULL = (
    "This recording has no sound above {:g} kHz, but the model listens up to {:g} kHz, so its "
    "answer means little; please give one with a higher sample rate."
)

Source: TypeAlias = "str | os.PathLike | bytes | BinaryIO | np.ndarray | Tensor | audio.Recording"


class NoAnswerError(audio.AudioError):  # the page has its translations by this name
    """The model's probabilities for a recording are not finite: its weights are damaged."""


class CryClassifier:
    """A fitted system with its front end.

    Thread-safe: prediction does not change it.
    """

    AT_ONCE = 40.0  # s of sound per batch; more takes memory, and time, as it exceeds the cache

    def __init__(
        self,
        model: nn.Module | OnnxBackend,
        config: CheckpointConfig,
        device: str = "cpu",
        detector: CryDetector | OnnxDetector | None = None,
        fingerprints: Fingerprints | None = None,
    ):
        self.config, self.detector, self.fingerprints = config, detector, fingerprints
        from cry_model.backends.onnx_backend import OnnxBackend

        self.backend: TorchBackend | OnnxBackend
        if isinstance(model, OnnxBackend):
            self.backend = model
        else:
            from cry_model.backends.torch_backend import TorchBackend

            self.backend = TorchBackend(model, config, device)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike = DEFAULT,
        revision: str | None = None,
        device: str = "cpu",
        detector: bool = True,
        backend: str = "torch",
    ) -> CryClassifier:
        """Load a bundled model, a checkpoint folder or a Hub repository.

        Raise CheckpointError if it cannot be loaded, or its output is not finite; ValueError if
        there is no such backend.

        ``name``, ``revision``: see :func:`~cry_model.hub.find_checkpoint`; ``device``: of torch;
        ``detector``: whether to run the cry detector first; ``backend``: one of :data:`BACKENDS`;
        ``onnx`` reads the files that ``python -m train export`` wrote, and needs no torch.
        """
        if backend not in BACKENDS:
            raise ValueError(f"There is no backend '{backend}'; use torch or onnx.")
        if backend == "onnx":
            from cry_model.backends.onnx_backend import OnnxBackend, OnnxDetector

            loaded = OnnxBackend.from_pretrained(name, revision)
            classifier, fingerprints = cls(loaded, loaded.config), loaded.fingerprints
            scanning = OnnxDetector.from_pretrained(name, revision) if detector else None
        else:
            from cry_model.detector import CryDetector
            from cry_model.hub import find_checkpoint

            folder = find_checkpoint(name, revision)
            classifier = cls(*load_checkpoint(folder), device=device)
            scanning = CryDetector.from_pretrained(device=device) if detector else None
            fingerprints = load_fingerprints(folder)
        try_out(lambda sound: classifier.predict(sound).probabilities.values())
        classifier.detector, classifier.fingerprints = scanning, fingerprints
        return classifier

    @property
    def model(self) -> Any:
        """The fitted system: a torch module, or an onnxruntime session."""
        return self.backend.model

    @property
    def front_end(self) -> Any:
        """The front end, which prepares recordings and, with torch, computes the features."""
        return self.backend.front_end

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.config.labels

    def predict(
        self,
        source: Source,
        sample_rate: int | None = None,
        track: DetectionScores | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Prediction:
        """Classify the cries in one recording, by the mean over its pieces.

        With a detector, only the cries that it finds are classified. If it finds none, ``is_cry``
        is False, and the probabilities mean nothing. Raise AudioError if the recording cannot be
        used, or the model's output is not finite.

        ``source``, ``sample_rate``: see :func:`cry_model.sound.audio.load`; ``track``: the
        detector's output for it, if already known; ``progress``: called with the share done.
        """
        recording = self.backend.load(source, sample_rate)
        sound = recording
        if track is None and self.detector is not None:
            sound = self._lowered(recording)
            track = self.detector.scan(sound)
        heard = pieces_of(self.front_end, sound, parts(track, sound.duration))
        answers = self._answer([pieces for _, pieces in heard], progress)
        probabilities = np.concatenate([p for p, _, _ in answers])
        if not np.isfinite(probabilities).all():
            raise NoAnswerError(
                "This model has no answer for this recording; please choose another."
            )
        maps = concatenate([maps for _, maps, _ in answers])
        ood_score = None if maps.ood_score is None else float(maps.ood_score.mean())
        label = int(probabilities.mean(0).argmax())
        acoustic = self.backend.attribute([f for _, _, f in answers], label, ood_score)
        named = self._named(probabilities.mean(0))
        cautions = tuple(self._cautions(recording, ood_score))
        return Prediction(
            probabilities=named,
            pieces=tuple(self._pieces(heard, probabilities)),
            system=self.config.system,
            duration=recording.duration,
            hop_seconds=self.config.front_end.hop_seconds,
            attention=maps,
            evaluation=self.config.evaluation,
            agreement=self.config.agreement,
            cautions=cautions,
            outside=bool(cautions),
            remembered=self.fingerprints is not None and self.fingerprints.know(recording),
            acoustic=acoustic,
            track=track,
            segments=tuple(self._segments(track, heard, probabilities)),
            prediction_set=self._set(named),
            calibration=self.config.calibration,
        )

    def probabilities(self, recording: audio.Recording, span: Span) -> dict[str, float]:
        """Classify one stretch, with the margins of a cry, without running the detector.

        Return label -> probability, the mean over its pieces. Raise AudioError if it is silent in
        the front end's band. ``recording``: at any rate, with the backend's type of array.
        """
        ((_, pieces),) = pieces_of(self.front_end, recording, (span,))
        answers = self._answer([pieces], lambda share: None)
        return self._named(np.concatenate([found for found, _, _ in answers]).mean(0))

    def _lowered(self, recording: audio.Recording) -> audio.Recording:
        """Resample a recording down to the front end's rate, to save the detector work. Recordings
        for acoustic features, which are resampled in another way, stay unchanged."""
        config, rate = self.config.front_end, recording.sample_rate
        if isinstance(config, AcousticConfig) or rate <= config.sample_rate:
            return recording
        wave = self.backend.resample(recording.waveform, rate, config.sample_rate)
        return audio.Recording(wave, config.sample_rate)

    def _pieces(
        self, heard: list[tuple[Span, Pieces]], probabilities: NDArray[np.float32]
    ) -> Iterator[PieceAnswer]:
        places = ((start, pieces.seconds) for _, pieces in heard for start in pieces.starts)
        for (start, seconds), row in zip(places, probabilities, strict=True):
            yield PieceAnswer(start, start + seconds, self._named(row))

    def _segments(
        self,
        track: DetectionScores | None,
        heard: list[tuple[Span, Pieces]],
        probabilities: NDArray[np.float32],
    ) -> Iterator[Segment]:
        if track is None or not track.is_cry:
            return
        counts = np.cumsum([len(pieces.starts) for _, pieces in heard])
        each = np.split(probabilities, counts[:-1])
        for (span, _), rows in zip(heard, each, strict=True):
            named = self._named(rows.mean(0))
            yield Segment(span.start, span.end, track.peak(span), named, self._set(named))

    def _set(self, probabilities: Mapping[str, float]) -> tuple[str, ...] | None:
        calibration = self.config.calibration
        return None if calibration is None else calibration.prediction_set(probabilities)

    def _cautions(self, recording: audio.Recording, ood_score: float | None) -> Iterator[str]:
        top = recording.sample_rate / 2
        if top < 0.95 * self.config.front_end.high_hz:
            yield TOO_DULL.format(top / 1000, self.config.front_end.high_hz / 1000)
        if ood_score is not None and ood_score > 1:
            yield OUTSIDE.format(ood_score)

    def _answer(
        self, heard: Sequence[Pieces], progress: Callable[[float], None]
    ) -> list[tuple[NDArray[np.float32], AttentionMaps, Any]]:
        """Return the backend's ``forward`` output for all pieces, in order."""
        at_once = max(1, int(self.AT_ONCE / self.config.front_end.piece_seconds))
        batches = [
            pieces.waveforms[begin : begin + at_once]
            for pieces in heard
            for begin in range(0, len(pieces.waveforms), at_once)
        ]
        answers = []
        for number, batch in enumerate(batches, start=1):
            answers.append(self.backend.forward(batch))
            progress(number / len(batches))
        return answers

    def _named(self, probabilities: NDArray[np.float32]) -> dict[str, float]:
        named = dict(zip(self.labels, probabilities.tolist(), strict=True))
        calibration = self.config.calibration
        return named if calibration is None else calibration.apply_temperature(named)
