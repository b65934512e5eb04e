"""Classify infant cries: build models, load checkpoints, predict.

>>> import cry_model
>>> cry_model.build_model("resnet18", num_classes=6).fc.out_features
6
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cry_model.checkpoint import CheckpointConfig, CheckpointError, load_checkpoint, save_checkpoint
from cry_model.classifier import CryClassifier
from cry_model.detection import DetectionScores, Span
from cry_model.networks.attention import AttentionMaps
from cry_model.prediction import Answer, PieceAnswer, Prediction, Segment
from cry_model.records import Calibration, Estimate, Evaluation
from cry_model.sound import audio
from cry_model.sound.audio import AudioError, Recording
from cry_model.sound.front_end_config import PAPER_FRONT_END, AcousticConfig, FrontEndConfig

if TYPE_CHECKING:
    from cry_model.detector import CryDetector
    from cry_model.networks.registry import UnknownSystemError, build_model, list_models
    from cry_model.sound.frontend import FrontEnd

__all__ = [
    "PAPER_FRONT_END",
    "AcousticConfig",
    "Answer",
    "AttentionMaps",
    "AudioError",
    "Calibration",
    "CheckpointConfig",
    "CheckpointError",
    "CryClassifier",
    "CryDetector",
    "DetectionScores",
    "Estimate",
    "Evaluation",
    "FrontEnd",
    "FrontEndConfig",
    "PieceAnswer",
    "Prediction",
    "Recording",
    "Segment",
    "Span",
    "UnknownSystemError",
    "audio",
    "build_model",
    "list_models",
    "load_checkpoint",
    "save_checkpoint",
]

_LATE = {
    "CryDetector": "detector",
    "FrontEnd": "sound.frontend",
    "UnknownSystemError": "networks.registry",
    "build_model": "networks.registry",
    "list_models": "networks.registry",
}
"""Name -> the module that defines it, imported on first access: the rest needs no torch."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
