"""Compute predictions with onnxruntime, from the files of ``python -m train export``; no torch."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cry_model.checkpoint import (
    LARGEST,
    CheckpointConfig,
    CheckpointError,
    local_folder,
    one_line,
    try_out,
    unusable,
)
from cry_model.detection import (
    BATCH,
    WIDTH,
    DetectionScores,
    detection_scores,
    lay_out,
    step_frames,
)
from cry_model.fingerprint import Fingerprints
from cry_model.networks.attention import AttentionMaps
from cry_model.sound import audio
from cry_model.sound.arrays import Array, ArrayFrontEnd, resample, without_hum
from cry_model.sound.front_end_config import FrontEndConfig

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODEL, DETECTOR = "model.onnx", "detector.onnx"
"""Files of an exported folder: the classifier, and the detector that runs first."""
SAMPLES, FRAMES = "samples", "frames"
"""Graph inputs: pieces (pieces, samples) at its rate; for a detector also the window length."""
LOGITS, PROBABILITIES, ATTENTION, OOD_SCORE = "logits", "probabilities", "attention", "ood_score"
EMBEDDING = "embedding"
LOG_ODDS = "log_odds"
CONFIG, FINGERPRINTS = "config", "fingerprints"
"""Metadata keys of a file: a checkpoint's config.json, and salt and hashes in base 64."""


def find_file(name: str | os.PathLike, revision: str | None, file: str) -> Path:
    """Find an exported file in a folder or a Hub repository; raise CheckpointError if missing."""
    folder = local_folder(name, revision)
    if folder is None:
        from cry_model.hub import find_checkpoint

        folder = find_checkpoint(name, revision, (MODEL, DETECTOR))
    if not (folder / file).is_file():
        raise CheckpointError(
            f"There is no {file} in the folder '{folder}'; write one with `python -m train export`."
        )
    return folder / file


def open_file(path: Path) -> tuple[InferenceSession, CheckpointConfig, Mapping[str, str]]:
    """Return session, config and metadata of a file; OMP_NUM_THREADS sets the number of threads.
    Raise CheckpointError if onnxruntime is missing, or the file is unusable or not ours."""
    try:
        import onnxruntime
    except ImportError as error:
        reason = "The onnx backend needs onnxruntime; install it with `pip install onnxruntime`."
        raise CheckpointError(reason) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads := os.environ.get("OMP_NUM_THREADS", "").strip():  # as torch does
        options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is larger than any of our systems")
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no other common base
        raise unusable(f"'{path}' cannot be used: {one_line(error)}") from error
    facts = session.get_modelmeta().custom_metadata_map
    if CONFIG not in facts:
        raise unusable(f"'{path}' was not written by `python -m train export`")
    return session, CheckpointConfig.from_json(facts[CONFIG]), facts


def write_base64(fingerprints: Fingerprints) -> str:
    """Encode fingerprints as text for a file's metadata."""
    raw = (
        np.array([fingerprints.salt], "<u8").tobytes() + fingerprints.hashes.astype("<u4").tobytes()
    )
    return base64.b64encode(raw).decode()


def read_base64(text: str | None) -> Fingerprints | None:
    """Decode the output of :func:`write_base64`, or None; raise CheckpointError if damaged."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
        (salt,), hashes = np.frombuffer(raw[:8], "<u8"), np.frombuffer(raw[8:], "<u4")
    except (binascii.Error, ValueError) as error:
        raise unusable(f"The fingerprints in {MODEL} are damaged") from error
    return Fingerprints(int(salt), np.unique(hashes.astype(np.uint32)))


class OnnxBackend:
    """Compute as :class:`~cry_model.backends.torch_backend.TorchBackend`, on the CPU, with arrays.

    Of the attention weights it returns only A_t, and it attributes nothing to features.
    """

    resample = staticmethod(resample)

    def __init__(
        self,
        session: InferenceSession,
        config: CheckpointConfig,
        fingerprints: Fingerprints | None = None,
    ):
        if not isinstance(config.front_end, FrontEndConfig):
            raise CheckpointError(
                f"{config.system} takes acoustic features, which only the torch backend computes."
            )
        self.model, self.config, self.fingerprints = session, config, fingerprints
        self.front_end = ArrayFrontEnd(config.front_end)
        self.outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, revision: str | None = None) -> OnnxBackend:
        """Open the model of a folder or a Hub repository; raise CheckpointError if unusable."""
        session, config, facts = open_file(find_file(name, revision, MODEL))
        return cls(session, config, read_base64(facts.get(FINGERPRINTS)))

    def load(self, source: Any, sample_rate: int | None) -> audio.Recording:
        return audio.load_array(source, sample_rate)

    def forward(self, waveforms: Array) -> tuple[Array, AttentionMaps, None]:
        found = dict(zip(self.outputs, self.model.run(None, {SAMPLES: waveforms}), strict=True))
        powers = np.exp(found[LOGITS] - found[LOGITS].max(-1, keepdims=True))
        gates = found.get(ATTENTION)
        maps = AttentionMaps(
            temporal=() if gates is None else tuple(gates.transpose(1, 0, 2)),
            ood_score=found.get(OOD_SCORE),
            embedding=found.get(EMBEDDING),
        )
        return powers / powers.sum(-1, keepdims=True), maps, None

    def attribute(self, features: Sequence[Any], label: int, ood_score: float | None) -> None:
        return None


class OnnxDetector:
    """An exported detector that scores as :class:`~cry_model.detector.CryDetector`, in NumPy."""

    def __init__(self, session: InferenceSession, config: CheckpointConfig):
        if config.detector is None or not isinstance(config.front_end, FrontEndConfig):
            raise CheckpointError("Not a detector: this file has no threshold.")
        self.model, self.config, self.front_end = session, config, config.front_end

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, revision: str | None = None) -> OnnxDetector:
        """Open the detector of an exported folder or a Hub repository; raise CheckpointError if it
        cannot be used, or its output is not finite."""
        detector = cls(*open_file(find_file(name, revision, DETECTOR))[:2])
        try_out(lambda sound: detector.scan(sound).probabilities)
        return detector

    def scan(self, recording: audio.Recording) -> DetectionScores:
        """Score a whole recording, as :meth:`cry_model.detector.CryDetector.scan` does."""
        rate = self.front_end.sample_rate
        wave = resample(recording.waveform, recording.sample_rate, rate, WIDTH)
        wave = without_hum(wave, rate)
        score = partial(self.score_windows, wave)
        return detection_scores(self.config, score, len(wave), recording.duration)

    def score_windows(self, wave: Array, frames: int) -> Array:
        """Score as :meth:`cry_model.CryDetector.score_windows` does, (windows,)."""
        c, step = self.front_end, step_frames(self.front_end)
        samples, hop = frames * c.hop, step * c.hop
        wave, silent = lay_out(wave, frames, c)
        answers = []
        for begin in range(0, len(silent), BATCH):
            end = min(len(silent), begin + BATCH)
            # One extra window on either side, so that the scored ones do not touch the edges.
            before, after = min(begin, 1), min(len(silent) - end, 1)
            part = wave[(begin - before) * hop : (end - 1 + after) * hop + samples]
            given = {SAMPLES: part[None], FRAMES: np.array(frames, np.int64)}
            (odds,) = self.model.run([LOG_ODDS], given)
            answers.append(odds[before : len(odds) - after])
        return np.where(silent, np.float32(np.nan), np.concatenate(answers))
