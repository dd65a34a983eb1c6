"""Encoders of a recipe's side inputs as they go into its bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from streamsed.bundle import SideInputSpec
from streamsed.errors import BundleError
from training.encoders.base import Encoder, item_shape, side_input_spec
from training.fusion.readers import encoder_of
from training.fusion.settings import FusionSettings

# Relative to the largest value of an embedding.
TOLERANCE = 1e-4


def side_inputs_of(settings: FusionSettings) -> list[tuple[SideInputSpec, bytes]]:
    """Return what a bundle says of each side input, and its encoder as ONNX.

    Raises
    ------
    ConfigError
        If an encoder does not fit, or cannot be in a bundle.
    FormatError
        If a file that it needs is missing or not what it should be.
    BundleError
        If the ONNX graph says something else than the encoder.
    """
    found = []
    for name, side in settings.sides.items():
        encoder = encoder_of(settings, name)
        spec = side_input_spec(encoder, name, side.max_age_seconds)
        with tempfile.TemporaryDirectory() as folder:
            graph = encoder.to_onnx(Path(folder) / "encoder.onnx").read_bytes()
        _check_parity(name, encoder, graph)
        found.append((spec, graph))
    return found


def _check_parity(name: str, encoder: Encoder, graph: bytes) -> None:
    batch = np.random.default_rng(0).random((2, *item_shape(encoder.input)), np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    expected = encoder.encode(batch)
    (got,) = session.run(None, {session.get_inputs()[0].name: batch})
    difference = float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-6))
    if not difference <= TOLERANCE:
        raise BundleError(
            f"{name}: expected an ONNX graph within {TOLERANCE} of its encoder, got {difference:g}"
        )
