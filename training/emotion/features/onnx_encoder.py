"""Any audio encoder in ONNX: samples in, one row or one row per frame out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from streamsed.config import require
from training.emotion.features.base import FeatureExtractor, FeaturesUnavailable, Floats
from training.files import file_digest


class OnnxEncoder(FeatureExtractor):
    """The first output of a graph whose only input is float32 samples (1, n); (1, T, D) is averaged over T.

    Parameters
    ----------
    name : str
    path : Path
    sample_rate : int
        In Hz, that the graph was made for.

    Raises
    ------
    FeaturesUnavailable
        If the file is not there or no ONNX graph.
    ConfigError
        If the graph has other inputs or outputs.
    """

    min_samples = 400

    def __init__(self, name: str, path: Path, sample_rate: int) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self._path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # ONNX Runtime has no common class of errors below RuntimeError and its own exceptions.
            reason = str(error).splitlines()[0]
            raise FeaturesUnavailable(f"source: expected an ONNX graph in {path}, got {reason}") from error
        inputs, output = self._session.get_inputs(), self._session.get_outputs()[0]
        fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 2
        require(fits, "source", "one input, float32 (1, n)", [(item.type, item.shape) for item in inputs])
        self._input = inputs[0].name
        known = len(output.shape) in (2, 3) and isinstance(output.shape[-1], int)
        require(known, "source", "a first output (1, D) or (1, T, D) of known D", output.shape)
        self.names = tuple(f"{name}[{index}]" for index in range(output.shape[-1]))

    def fingerprint(self) -> Mapping[str, Any]:
        return {"kind": "onnx", "sha256": file_digest(self._path), "sample_rate": self.sample_rate}

    def compute(self, batch: Sequence[Floats]) -> Floats:
        rows = []
        for samples in batch:
            found = self._session.run(None, {self._input: samples[np.newaxis]})[0]
            rows.append(found.mean(axis=1)[0] if found.ndim == 3 else found[0])
        return np.stack(rows)
