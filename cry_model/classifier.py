"""Recording in, answer out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from cry_model import audio
from cry_model.acoustic_features import FEATURES, AcousticFrontEnd
from cry_model.attention import AttentionMaps, concatenate
from cry_model.checkpoint import (
    DEFAULT,
    CheckpointConfig,
    load_checkpoint,
    load_fingerprints,
    try_out,
)
from cry_model.detector import CryDetector, DetectionScores, Span
from cry_model.feature_mlp import INPUTS, FeatureMLP
from cry_model.fingerprint import Fingerprints
from cry_model.frontend import Pieces, resample
from cry_model.hub import find_checkpoint
from cry_model.prediction import FeatureAttribution, PieceAnswer, Prediction, Segment
from cry_model.registry import AnyFrontEnd, make_front_end

MARGIN = 0.5  # s, heard on either side of a cry
LONGEST = 60.0  # s, of a recording without a cry


def parts(track: DetectionScores | None, duration: float) -> tuple[Span, ...]:
    """Return the cries of a recording; all of it without a detector.

    Of no cry, the whole, or a longer one's minute that is most like a cry: an answer may be wanted
    anyway.
    """
    whole = (Span(0.0, duration),)
    if track is None:
        return whole
    if track.is_cry:
        return track.spans
    if duration <= LONGEST:
        return whole
    width = min(len(track.cells), round(LONGEST / track.step))
    first = int(track.cells.unfold(0, width, 1).mean(-1).argmax())
    start = min(first * track.step, duration - LONGEST)
    return (Span(start, start + LONGEST),)


def widened(span: Span, least: float, duration: float) -> Span:
    """Return a span with its margins, ``least`` s long or more, within the recording."""
    spare = max(MARGIN, (least - span.seconds) / 2)
    start, end = max(0.0, span.start - spare), min(duration, span.end + spare)
    if end - start < least:  # at an edge: the other side gives what is missing
        start, end = max(0.0, end - least), min(duration, start + least)
    return Span(start, end)


def pieces_of(
    front_end: AnyFrontEnd, recording: audio.Recording, spans: tuple[Span, ...]
) -> list[tuple[Span, Pieces]]:
    """Each span with its pieces, cut and levelled on its own; those that are silent are left out.

    Raises:
        SilentAudioError: if all of them are silent in the band that the front end hears.
    """
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
        overlap = None if part.seconds <= LONGEST else 0.0  # of minutes, enough is heard as it is
        pieces = front_end.cut(clip, overlap)
        starts = tuple(part.start + start for start in pieces.starts)
        found.append((span, replace(pieces, starts=starts)))
    if not found and failure is not None:
        raise failure
    return found


OUTSIDE = (
    "This recording is unlike those that the model was fitted on ({:.2f} times as far out as all "
    "but the strangest of them), so its answer means little."
)
TOO_DULL = (
    "This recording holds nothing above {:g} kHz, and the model listens up to {:g} kHz, so its "
    "answer means little; please give one made at a higher sample rate."
)

NO_ANSWER = "This model has no answer to this recording; please choose another model."

Source = str | os.PathLike | bytes | BinaryIO | np.ndarray | Tensor | audio.Recording


class NoAnswerError(audio.AudioError):
    """The model's answer to a recording is no number: its weights are damaged."""


class CryClassifier:
    """A fitted system with its front end.

    Safe to share between threads: prediction changes nothing in it.
    """

    AT_ONCE = 40.0  # s of sound; more costs memory, and time too, since no cache can hold it

    def __init__(
        self,
        model: nn.Module,
        config: CheckpointConfig,
        device: str = "cpu",
        detector: CryDetector | None = None,
        fingerprints: Fingerprints | None = None,
    ):
        self.config, self.detector, self.fingerprints = config, detector, fingerprints
        self.device = torch.device(device)
        self.model = model.eval().to(self.device)
        self.front_end = make_front_end(config.front_end).eval().to(self.device)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike = DEFAULT,
        revision: str | None = None,
        device: str = "cpu",
        detector: bool = True,
    ) -> CryClassifier:
        """Load a bundled model, a checkpoint folder or a Hub repository.

        Args:
            name: see :func:`~cry_model.hub.find_checkpoint`.
            revision: the same.
            device: where to compute.
            detector: whether the bundled detector hears everything first.

        Raises:
            CheckpointError: if it cannot be loaded, or gives no numbers.
        """
        folder = find_checkpoint(name, revision)
        classifier = cls(*load_checkpoint(folder), device=device)
        try_out(lambda sound: classifier.predict(sound).probabilities.values())
        classifier.detector = CryDetector.from_pretrained(device=device) if detector else None
        classifier.fingerprints = load_fingerprints(folder)
        return classifier

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
        """Classify the cries in one recording; of more pieces than one it gives the mean.

        With a detector, only the cries that it hears are answered for. Where it hears none,
        ``is_cry`` is False, and the probabilities mean nothing.

        Args:
            source: see :func:`cry_model.audio.load`.
            sample_rate: the same.
            track: what the detector made of it, if that is known already.
            progress: called with the share that is done, now and then.

        Raises:
            AudioError: if the recording cannot be used, or the model has no answer to it.
        """
        recording = audio.load(source, sample_rate)
        with torch.inference_mode():
            sound = replace(recording, waveform=recording.waveform.to(self.device))
            if track is None and self.detector is not None:
                sound = self._brought(sound)
                track = self.detector.scan(sound)
            spans = parts(track, sound.duration)
            heard = pieces_of(self.front_end, sound, spans)
            answers = self._answer([pieces for _, pieces in heard], progress)
        probabilities = torch.cat([p for p, _, _ in answers])
        if not probabilities.isfinite().all():
            raise NoAnswerError(NO_ANSWER)
        maps = concatenate([maps for _, maps, _ in answers])
        ood_score = None if maps.ood_score is None else float(maps.ood_score.mean())
        label, acoustic = int(probabilities.mean(0).argmax()), None
        if isinstance(self.model, FeatureMLP):
            features = torch.cat([features for _, _, features in answers])
            acoustic = _read(self.model, features, label, ood_score)
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

    def _pieces(
        self, heard: list[tuple[Span, Pieces]], probabilities: Tensor
    ) -> Iterator[PieceAnswer]:
        """Return the answer for each piece, from probabilities (pieces, classes)."""
        places = ((start, pieces.seconds) for _, pieces in heard for start in pieces.starts)
        for (start, seconds), row in zip(places, probabilities, strict=True):
            yield PieceAnswer(start, start + seconds, self._named(row))

    def _segments(
        self, track: DetectionScores | None, heard: list[tuple[Span, Pieces]], probabilities: Tensor
    ) -> Iterator[Segment]:
        """Return the answer for each cry, from probabilities (pieces, classes)."""
        if track is None or not track.is_cry:
            return
        each = probabilities.split([len(pieces.starts) for _, pieces in heard])
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

    def _brought(self, recording: audio.Recording) -> audio.Recording:
        """At the front end's rate already, so that the detector need not start from the file's.

        One on acoustic features resamples in a way of its own, and gets the file's rate.
        """
        rate = self.config.front_end.sample_rate
        if isinstance(self.front_end, AcousticFrontEnd) or recording.sample_rate <= rate:
            return recording
        return audio.Recording(resample(recording.waveform, recording.sample_rate, rate), rate)

    def _answer(
        self, heard: Sequence[Pieces], progress: Callable[[float], None]
    ) -> list[tuple[Tensor, AttentionMaps, Tensor]]:
        """Return what :meth:`_forward` makes of all pieces, in order."""
        at_once = max(1, int(self.AT_ONCE / self.config.front_end.piece_seconds))
        batches = [b for pieces in heard for b in pieces.waveforms.split(at_once)]
        answers = []
        for number, batch in enumerate(batches, start=1):
            answers.append(self._forward(batch))
            progress(number / len(batches))
        return answers

    def _forward(self, waveforms: Tensor) -> tuple[Tensor, AttentionMaps, Tensor]:
        """Probabilities, maps, and the means of the features over frames, (batch, bands, 1)."""
        features = self.front_end(waveforms)
        logits, maps = self.model(features, return_attention=True)
        return logits.float().softmax(-1).cpu(), maps, features.mean(-1, keepdim=True)

    def _named(self, probabilities: Tensor) -> dict[str, float]:
        named = dict(zip(self.labels, probabilities.tolist(), strict=True))
        calibration = self.config.calibration
        return named if calibration is None else calibration.apply_temperature(named)


def _read(model: FeatureMLP, features: Tensor, label: int, ood_score: float) -> FeatureAttribution:
    """Return what a feature model makes its answer of; pieces (pieces, 26, 1) count alike."""
    contributions = model.contributions(features, label).mean(0).tolist()
    return FeatureAttribution(
        dict(zip(FEATURES, features.mean((0, 2)).tolist(), strict=True)),
        dict(zip(INPUTS, contributions, strict=True)),
        ood_score,
    )
