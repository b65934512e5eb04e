"""Classify infant cries: build the systems, load a checkpoint, predict.

>>> import cry_model
>>> cry_model.build_model("resnet18", num_classes=6).fc.out_features
6
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cry_model.attention import AttentionMaps
from cry_model.audio import AudioError, Recording
from cry_model.checkpoint import CheckpointConfig, CheckpointError, load_checkpoint, save_checkpoint
from cry_model.classifier import CryClassifier
from cry_model.detection import DetectionScores, Span
from cry_model.front_end_config import PAPER_FRONT_END, AcousticConfig, FrontEndConfig
from cry_model.prediction import Answer, PieceAnswer, Prediction, Segment
from cry_model.records import Calibration, Estimate, Evaluation

if TYPE_CHECKING:
    from cry_model.acoustic_features import AcousticFrontEnd
    from cry_model.detector import CryDetector
    from cry_model.frontend import FrontEnd
    from cry_model.registry import UnknownSystemError, build_model, list_models, make_front_end

__all__ = [
    "PAPER_FRONT_END",
    "AcousticConfig",
    "AcousticFrontEnd",
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
    "build_model",
    "list_models",
    "load_checkpoint",
    "make_front_end",
    "save_checkpoint",
]

_WITH_TORCH = {
    "AcousticFrontEnd": "acoustic_features",
    "CryDetector": "detector",
    "FrontEnd": "frontend",
    "UnknownSystemError": "registry",
    "build_model": "registry",
    "list_models": "registry",
    "make_front_end": "registry",
}
"""Name -> the module that has it, imported when it is asked for: the rest needs no torch."""


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
