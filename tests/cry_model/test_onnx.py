"""Test ONNX exports against torch on graphs and recordings, without torch, and refusals."""

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import cry_model
from cry_model import CryClassifier, CryDetector, FrontEndConfig, Recording
from cry_model.backends import onnx_backend
from cry_model.backends.onnx_backend import DETECTOR, MODEL, OnnxDetector, open_file
from cry_model.backends.onnx_export import export_checkpoint, for_graph
from cry_model.checkpoint import ASSETS, BUNDLED
from cry_model.fingerprint import Fingerprints, write_fingerprints
from cry_model.networks import registry
from cry_model.networks.registry import ON_FEATURES
from cry_model.sound import arrays, frontend
from cry_model.sound.audio import SUFFIXES
from tests.conftest import ROOT
from tests.cry_model.by_hand import shake
from tests.stand_ins import CALIBRATION, LABELS, RATE, scene, write_detector

SMALL = {
    "improved-ecapa-tdnn": {"channels": 16, "stages": 1},
    "ecapa-tdnn": {"channels": 16, "mfa_channels": 24},
    "resnet18": {"width": 4},
    "feature-mlp": {"members": 4, "hidden": 8},
}
LOG_MEL = FrontEndConfig(centre=0.5)
OTHER_FRONT_ENDS = (
    FrontEndConfig(kind="mfcc", num_bands=39, num_filters=40, deltas=2),
    FrontEndConfig(kind="pcen", sample_rate=16_000, high_hz=7000.0, hop=320, window=481),
    FrontEndConfig(level="piece", floor_db=-60.0),
)


def small(folder, system="improved-ecapa-tdnn", front_end=LOG_MEL):
    """Save a small checkpoint with non-trivial BatchNorm statistics; return model and config."""
    settings = next((SMALL[name] for name in SMALL if system.startswith(name)), {})
    config = cry_model.CheckpointConfig(
        system, LABELS, front_end, settings, calibration=CALIBRATION
    )
    torch.manual_seed(0)
    model = shake(config.build().eval())
    cry_model.save_checkpoint(folder, model, config)
    return model, config


def noise(pieces, samples):
    rng = np.random.default_rng(samples)
    loud = 1 + np.sin(np.arange(samples) / 3000)
    return (0.5 * loud * rng.normal(size=(pieces, samples))).astype(np.float32)


@pytest.mark.parametrize(
    ("system", "front_end"),
    [
        *((name, LOG_MEL) for name in registry.ON_SPECTROGRAMS),
        *(("improved-ecapa-tdnn", other) for other in OTHER_FRONT_ENDS),
        (ON_FEATURES, registry.usual_config(ON_FEATURES)),
    ],
    ids=lambda given: getattr(given, "kind", given),
)
def test_graph_outputs_match_torch(system, front_end, tmp_path):
    model, config = small(tmp_path, system, front_end)
    export_checkpoint(tmp_path, tmp_path)
    session, again, facts = open_file(tmp_path / MODEL)
    assert again == config
    assert json.loads(facts["labels"]) == list(LABELS)
    assert float(facts["temperature"]) == CALIBRATION.temperature
    assert float(facts["conformal_threshold"]) == CALIBRATION.threshold
    assert int(facts["sample_rate"]) == front_end.sample_rate
    (name,) = (entry.name for entry in session.get_inputs())
    outputs = [entry.name for entry in session.get_outputs()]
    listen, shapes = registry.make_front_end(front_end), [(1, 24_001), (3, 51_237)]
    if system == ON_FEATURES:  # the graph takes the features' means
        listen, shapes = (lambda means: means[..., None]), [(1, 26), (5, 26)]
    for given in (noise(*shape) for shape in shapes):
        found = dict(zip(outputs, session.run(None, {name: given}), strict=True))
        with torch.inference_mode():
            features = listen(torch.from_numpy(given))
            logits, maps = model(features, return_attention=True)
            torch.testing.assert_close(for_graph(model)(features), logits, rtol=0, atol=1e-5)
        scaled = (logits.double().log_softmax(-1) / CALIBRATION.temperature).softmax(-1)
        np.testing.assert_allclose(found["probabilities"], scaled, atol=1e-4)
        np.testing.assert_allclose(found["logits"], logits, atol=1e-3)
        np.testing.assert_allclose(found["embedding"], maps.embedding, rtol=1e-3, atol=2e-3)
        assert ("attention" in found) == bool(maps.temporal)
        if maps.temporal:
            np.testing.assert_allclose(found["attention"], torch.stack(maps.temporal, 1), atol=1e-3)
        if maps.ood_score is not None:
            np.testing.assert_allclose(found["ood_score"], maps.ood_score, rtol=1e-3)


@pytest.mark.parametrize("rate", [8000, 12_345, 16_000, 44_100, 48_000])
def test_numpy_front_end_matches_torch(rate):
    wave = noise(1, 3 * rate + 17)[0]
    for target in (8000, 16_000):
        exact = frontend.resample(torch.from_numpy(wave).double(), rate, target)
        np.testing.assert_allclose(arrays.resample(wave, rate, target), exact, atol=5e-6)
    config = FrontEndConfig()
    expected = frontend.FrontEnd(config).prepare(Recording(torch.from_numpy(wave), rate))
    found = arrays.ArrayFrontEnd(config).prepare(Recording(wave, rate))
    assert found.offset == expected.offset
    np.testing.assert_allclose(found.waveform, expected.waveform, atol=5e-4)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """Return the stand-in detector in torch and exported to ONNX."""
    folder = tmp_path_factory.mktemp("detector")
    stand_in = write_detector(folder)
    export_checkpoint(stand_in, folder / "out")
    return CryDetector.from_pretrained(stand_in), OnnxDetector.from_pretrained(folder / "out")


@pytest.mark.parametrize("lengths", [(0.6, 0), (0, 2.048), (3, 4, 3, 2)])
def test_an_exported_detector_finds_the_same_cries(heard, lengths, monkeypatch):
    monkeypatch.setattr(onnx_backend, "BATCH", 7)
    wave = scene(*lengths).astype(np.float32)
    wave[: len(wave) // 5] = 0  # silent windows, which have no score
    expected, found = (each.scan(Recording(w, RATE)) for each, w in
                       zip(heard, (torch.from_numpy(wave), wave), strict=True))  # fmt: skip
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
    assert (found.spans, found.state) == (expected.spans, expected.state)
    assert replace(found, probabilities=()) == replace(expected, probabilities=())


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return a bundled model in torch and as ONNX, and the folder of the export."""
    folder = tmp_path_factory.mktemp("exported")
    export_checkpoint(ASSETS / BUNDLED["six-class"], folder)
    exported = CryClassifier.from_pretrained(folder, backend="onnx")
    return CryClassifier.from_pretrained(), exported, folder


def about(told):
    """Return the same structure with every float replaced by an approximate match."""
    if isinstance(told, dict):
        return {name: about(value) for name, value in told.items()}
    if isinstance(told, list):
        return [about(value) for value in told]
    return pytest.approx(told, abs=1e-4) if isinstance(told, float) else told


def clips(data_root, count):
    """Yield real recordings, at most ``count`` of each corpus."""
    for name in ("donateacry", "donateacry_ios", "esc10", "challenge6_cuts", "challenge6"):
        known = sorted(path for path in (data_root / name).rglob("*") if path.suffix in SUFFIXES)
        yield from random.Random(0).sample(known, min(count, len(known)))


@pytest.mark.parametrize("count", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_predictions_on_recordings_match_torch(both, data_root, count):
    torch_one, onnx_one, _ = both
    long = (scene(2, 3, 2, 9, 40, 2), RATE)
    for source in [long, *((path,) for path in clips(data_root, count))]:
        found, expected = onnx_one.predict(*source), torch_one.predict(*source)
        assert found.to_dict(full=True) == about(expected.to_dict(full=True))
        assert found.track.spans == expected.track.spans
        for gate, other in zip(found.attention.temporal, expected.attention.temporal, strict=True):
            for values, others in zip(found.timeline(gate), expected.timeline(other), strict=True):
                np.testing.assert_allclose(values, others, atol=1e-3)


WITHOUT_TORCH = """
import sys
for name in ("torch", "torchaudio", "safetensors", "huggingface_hub", "scipy", "pandas"):
    sys.modules[name] = None
from cry_model.__main__ import main
sys.exit(main(["predict", "--backend", "onnx", "--json", "--model", *sys.argv[1:]]))
"""


def test_onnx_backend_needs_no_torch(both, examples):
    torch_one, _, folder = both
    clip = examples / "synthetic_rhythmic.wav"
    words = [sys.executable, "-c", WITHOUT_TORCH, str(folder), str(clip)]
    told = json.loads(subprocess.check_output(words, cwd=ROOT, text=True))
    expected = about(torch_one.predict(clip).to_dict())
    assert {name: told[name] for name in expected} == expected


def test_int8_changes_little_and_keeps_fingerprints(tmp_path):
    own, other = (Recording(noise(1, n)[0], RATE) for n in (64_000, 64_001))
    pieces = [noise(1, 40_000 + n) for n in range(4)]
    _, config = small(tmp_path)
    write_fingerprints(tmp_path, Fingerprints.of([own]))
    found = []
    for given in ((), pieces):
        export_checkpoint(tmp_path, tmp_path, given)
        session, again, _ = open_file(tmp_path / MODEL)
        found += session.run(["probabilities"], {"samples": pieces[0]})
        assert again == config
    assert 0 < abs(found[0] - found[1]).max() < 0.05
    int8 = CryClassifier.from_pretrained(tmp_path, detector=False, backend="onnx")
    assert [int8.predict(clip).remembered for clip in (own, other)] == [True, False]


def test_invalid_exports_are_refused(both, tmp_path):
    def refused(words, detector=False):
        with pytest.raises(cry_model.CheckpointError, match=words):
            CryClassifier.from_pretrained(tmp_path, detector=detector, backend="onnx")

    refused("There is no model.onnx")
    (tmp_path / MODEL).write_bytes(b"no graph")
    refused("cannot be used")
    shutil.copy(both[2] / MODEL, tmp_path)
    refused("There is no detector.onnx", detector=True)
    shutil.copy(tmp_path / MODEL, tmp_path / DETECTOR)
    refused("Not a detector", detector=True)
    shutil.copy(both[2] / DETECTOR, tmp_path / MODEL)
    refused("cannot answer|not finite|is a detector")
    small(tmp_path / "in", ON_FEATURES, registry.usual_config(ON_FEATURES))
    export_checkpoint(tmp_path / "in", tmp_path)
    refused("only the torch backend")
    with pytest.raises(ValueError, match="no backend"):
        CryClassifier.from_pretrained(tmp_path, backend="tf")
