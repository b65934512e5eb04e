"""Classify infant cries: build the systems, load a checkpoint, predict.

>>> import cry_model
>>> cry_model.build_model("resnet18", num_classes=6).fc.out_features
6
"""

from cry_model.acoustic_features import AcousticConfig, AcousticFrontEnd
from cry_model.attention import AttentionMaps
from cry_model.audio import AudioError, Recording
from cry_model.calibration import Calibration
from cry_model.checkpoint import CheckpointConfig, CheckpointError, load_checkpoint, save_checkpoint
from cry_model.classifier import CryClassifier
from cry_model.detector import CryDetector, DetectionScores, Span
from cry_model.frontend import PAPER_FRONT_END, FrontEnd, FrontEndConfig
from cry_model.prediction import Answer, PieceAnswer, Prediction, Segment
from cry_model.records import Estimate, Evaluation
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
