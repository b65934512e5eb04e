"""Export a checkpoint as one ONNX graph: samples in, probabilities and A_t out.

The graph contains the front end from the spectrogram on, as matrix products, which every runtime
supports; :mod:`cry_model.sound.arrays` has the steps before. The opset is 17.
"""

from __future__ import annotations

import copy
import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from cry_model.backends.onnx_backend import (
    ATTENTION,
    CONFIG,
    DETECTOR,
    EMBEDDING,
    FINGERPRINTS,
    FRAMES,
    LOG_ODDS,
    LOGITS,
    MODEL,
    OOD_SCORE,
    PROBABILITIES,
    SAMPLES,
    write_base64,
)
from cry_model.calibration import FLOOR
from cry_model.checkpoint import (
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    move_into_place,
    write_atomically,
)
from cry_model.detection import CRY, step_frames
from cry_model.detector import CryDetector, log_odds
from cry_model.fingerprint import load_fingerprints
from cry_model.networks.improved_ecapa_tdnn import MultiScaleDilatedStage
from cry_model.sound.front_end_config import FEATURES, FrontEndConfig
from cry_model.sound.frontend import FrontEnd

OPSET = 17
FEATURE_MEANS = "features"
"""Graph input of a system on acoustic features: means over frames (recordings, 26)."""


class GraphFrontEnd(FrontEnd):
    """A front end whose spectrogram is two matrix products, with windowed cosines and sines.

    Phases are relative to the centre of a frame, about which its window is even. So cosines
    multiply sums of mirrored samples, and sines their differences: half the work.
    """

    def __init__(self, config: FrontEndConfig):
        super().__init__(config)
        spectrogram, mel = self.spectrogram.spectrogram, self.spectrogram.mel_scale.fb.double()
        heard = mel.sum(1).nonzero().squeeze(1)  # bins that lie in some band
        window = spectrogram.window.double()
        self.half = (config.window + 1) // 2
        place = torch.arange(1, config.window // 2 + 1, dtype=torch.double)  # the centre is last
        angle = 2 * math.pi / config.fft * (config.window / 2 - place)[:, None] * heard
        weight = (window / window.square().sum().sqrt())[1 : config.window // 2 + 1, None]
        self.register_buffer("cosines", (weight * angle.cos()).float(), persistent=False)
        sines = (weight * angle.sin())[: self.half - 1]
        self.register_buffer("sines", sines.float(), persistent=False)
        self.register_buffer("bands", mel[heard].float(), persistent=False)
        self.before = config.fft // 2 - (config.fft - config.window) // 2
        self.spectrogram = nn.Identity()

    def mel_power(self, waveforms: Tensor) -> Tensor:
        c = self.config
        frames, blocks = waveforms.shape[-1] // c.hop, math.ceil(c.window / c.hop)
        padded = pad(waveforms, (self.before, c.window - self.before), mode="reflect")
        padded = pad(padded, (0, blocks * c.hop))[:, : (frames + blocks - 1) * c.hop]
        hops = padded.reshape(waveforms.shape[0], -1, c.hop)
        cut = torch.cat([hops[:, i : i + frames] for i in range(blocks)], -1)  # (b, frames, n)
        left = cut[..., 1 : self.half]
        right = cut[..., c.window - self.half + 1 : c.window].flip(-1)
        middle = cut[..., self.half : c.window // 2 + 1]  # empty for an odd window
        even = torch.cat([left + right, middle], -1) @ self.cosines
        odd = (left - right) @ self.sines
        return ((even.square() + odd.square()) @ self.bands).transpose(1, 2)

    def slope(self, features: Tensor) -> Tensor:
        padded = pad(features, (2, 2), mode="replicate")
        one = padded[..., 3:-1] - padded[..., 1:-3]
        return (one + 2 * (padded[..., 4:] - padded[..., :-4])) / 10


class Classifying(nn.Module):
    """Classifier graph: pieces (pieces, samples), or feature means (pieces, 26) -> its outputs."""

    def __init__(self, model: nn.Module, config: CheckpointConfig):
        super().__init__()
        on_samples = isinstance(config.front_end, FrontEndConfig)
        self.front_end = GraphFrontEnd(config.front_end) if on_samples else None
        self.model = model
        self.temperature = 1.0 if config.calibration is None else config.calibration.temperature

    def outputs(self, given: Tensor) -> dict[str, Tensor]:
        """Return name -> tensor, in the order of the graph's outputs."""
        features = given.unsqueeze(-1) if self.front_end is None else self.front_end(given)
        logits, maps = self.model(features, return_attention=True)
        scaled = logits.softmax(-1).clamp_min(FLOOR).log() / self.temperature
        found = {PROBABILITIES: scaled.softmax(-1), LOGITS: logits}
        if maps.temporal:
            found[ATTENTION] = torch.stack(maps.temporal, 1)
        if maps.ood_score is not None:
            found[OOD_SCORE] = maps.ood_score
        found[EMBEDDING] = maps.embedding
        return found

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.outputs(given).values())


class Scanning(nn.Module):
    """Detector graph: samples (1, samples) and a window's frames -> log odds, one per window."""

    def __init__(self, model: nn.Module, config: CheckpointConfig):
        super().__init__()
        self.front_end, self.model = GraphFrontEnd(config.front_end), model
        self.step, self.cry = step_frames(config.front_end), config.labels.index(CRY)

    def forward(self, samples: Tensor, frames: Tensor) -> Tensor:
        power = self.front_end.mel_power(samples)[0]
        first = torch.arange(0, power.shape[-1] - frames + 1, self.step)
        places = first.unsqueeze(1) + torch.arange(frames)
        cut = power[:, places].transpose(0, 1)  # (windows, bands, frames)
        return log_odds(self.model(self.front_end.look(cut)), self.cry)


class PlainConv(nn.Module):
    """A convolution over time as one over images of height 1, with explicit padding.

    onnxruntime has faster kernels for images, in float32 and int8, and cannot dilate with "same".
    """

    def __init__(self, conv: nn.Conv1d):
        super().__init__()
        ((size,), (dilation,)) = conv.kernel_size, conv.dilation
        self.weight, self.bias = nn.Parameter(conv.weight.unsqueeze(2)), conv.bias
        self.padding, self.dilation = (0, dilation * (size - 1) // 2), (1, dilation)

    def forward(self, x: Tensor) -> Tensor:
        images = (x.unsqueeze(2), self.weight, self.bias)
        return conv2d(*images, padding=self.padding, dilation=self.dilation).squeeze(2)


class PlainMax(nn.Module):
    """The maximum of a frame and its neighbours: onnxruntime's pooling is slow in int8."""

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, (1, 1), mode="replicate")
        return torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])


def fold_norm(stage: MultiScaleDilatedStage) -> None:
    """Fold a stage's BatchNorm into the 1 x 1 convolution that follows it."""
    norm, conv = stage.norm, stage.project[0]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    conv.bias += conv.weight.squeeze(2) @ (norm.bias - norm.running_mean * scale)
    conv.weight *= scale[:, None]
    stage.norm = nn.Identity()


def for_graph(model: nn.Module) -> nn.Module:
    """Return a copy that computes the same with operations that are fast in onnxruntime."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in [*model.modules()]:
        if isinstance(module, MultiScaleDilatedStage) and module.mca is not None:
            fold_norm(module)
            module.mca.pool = PlainMax()
        for name, child in module.named_children():
            if isinstance(child, nn.Conv1d):
                setattr(module, name, PlainConv(child))
    return model


def export_checkpoint(
    checkpoint: Path, folder: Path, pieces: Sequence[NDArray[np.float32]] = ()
) -> list[Path]:
    """Export a checkpoint's graph and, for a classifier, that of the bundled detector beside it.

    Raise CheckpointError if the checkpoint cannot be loaded; OSError if the folder cannot be
    written.

    Args:
        checkpoint: its folder.
        folder: output folder, for ``model.onnx`` and ``detector.onnx``.
        pieces: (1, samples) each, of the training data: the classifier is quantised to int8, with
            ranges from these; none for float32.
    """
    model, config = load_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    if config.detector is not None:
        return [write_graph(folder / DETECTOR, model, config)]
    kept = load_fingerprints(checkpoint)
    more = {} if kept is None else {FINGERPRINTS: write_base64(kept)}
    written = [write_graph(folder / MODEL, model, config, more)]
    if pieces:
        quantise(folder / MODEL, pieces)
    if isinstance(config.front_end, FrontEndConfig):
        detector = CryDetector.from_pretrained()
        written.append(write_graph(folder / DETECTOR, detector.model, detector.config))
    return written


def write_graph(
    path: Path, model: nn.Module, config: CheckpointConfig, more: Mapping[str, str] | None = None
) -> Path:
    """Write one system as ONNX, with everything that an answer needs in the file's metadata; raise
    CheckpointError if onnx, or onnxruntime to quantise and measure the file, is missing."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        reason = f"Export needs {error.name}; install it with `pip install {error.name}`."
        raise CheckpointError(reason) from error

    model, c = for_graph(model), config.front_end
    if config.detector is not None:
        graph: nn.Module = Scanning(model, config)
        given = (torch.randn(1, round(3 * c.sample_rate)), torch.tensor(32))
        inputs, outputs, changing = [SAMPLES, FRAMES], [LOG_ODDS], {SAMPLES: {1: "n"}}
    elif isinstance(c, FrontEndConfig):
        graph = Classifying(model, config)
        given = (torch.randn(2, round(c.min_seconds * c.sample_rate)),)
        inputs, changing = [SAMPLES], {SAMPLES: {0: "pieces", 1: "n"}}
    else:
        graph, given = Classifying(model, config), (torch.randn(2, len(FEATURES)),)
        inputs, changing = [FEATURE_MEANS], {FEATURE_MEANS: {0: "pieces"}}
    graph.eval()
    if isinstance(graph, Classifying):
        outputs = [*graph.outputs(*given)]
    changing |= {name: {0: "pieces"} for name in outputs}
    if ATTENTION in outputs:
        changing[ATTENTION][2] = "frames"
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer; tests compare graph and model
        torch.onnx.export(
            graph,
            given,
            file,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=changing,
            opset_version=OPSET,
            dynamo=False,  # the dynamo exporter needs onnxscript
        )
    proto = onnx.load_from_string(file.getvalue())
    onnx.helper.set_model_props(proto, {**facts(config), **(more or {})})
    write_atomically(path, proto.SerializeToString())
    return path


def facts(config: CheckpointConfig) -> dict[str, str]:
    """Return the metadata of a file: fields for people and programs, and the full config for us."""
    calibration, detector = config.calibration, config.detector
    found = {
        "system": config.system,
        "labels": json.dumps(config.labels),
        "sample_rate": str(config.front_end.sample_rate),
        CONFIG: config.to_json(),
    }
    if calibration is not None:
        found["temperature"] = str(calibration.temperature)
        found["conformal_threshold"] = str(calibration.threshold)
    if detector is not None:
        found["threshold"], found["maybe"] = str(detector.threshold), str(detector.maybe)
    return found


def quantise(path: Path, pieces: Sequence[NDArray[np.float32]]) -> None:
    """Quantise the convolutions of a classifier's graph to int8.

    Static: activation ranges are those that ``pieces`` (1, samples) give. The front end and all
    layers after the time averages stay in float32; they cost little.
    """
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.given = iter(pieces)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            piece = next(self.given, None)
            return None if piece is None else {SAMPLES: piece}

    whole = path.with_name(path.name + ".int8")
    try:
        quantize_static(path, whole, Reader(), per_channel=True, op_types_to_quantize=["Conv"])
        move_into_place(whole, path)
    finally:
        whole.unlink(missing_ok=True)
