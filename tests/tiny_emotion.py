"""Tiny models of dimensional emotion for tests, whose answers can be predicted.

The gate hears a voice where at least a tenth of the sound is voiced. Valence follows the share of voiced frames,
arousal the pitch (0.5 at 110 Hz, an octave more is 0.12 more), dominance is 0.25; members differ by a constant.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamsed.bundle import EmotionBundle, Provenance, write_emotion_bundle, write_emotion_golden
from streamsed.config import EmotionConfig, FunctionalsConfig
from streamsed.emotion import EmotionDetector
from streamsed.functionals import LogMelFunctionals
from streamsed.golden import golden_voice, make_emotion_golden

RATE = 16000
FUNCTIONALS = FunctionalsConfig()
NAMES = LogMelFunctionals(FUNCTIONALS).names
# What members add to every level.
OFFSETS = (-0.02, 0.0, 0.02)
PROVENANCE = Provenance(
    description="a synthetic voice, for tests",
    data="none",
    licence="Apache-2.0",
    recipe="tests/tiny_emotion.py",
    commit="0000000",
    metrics={"ccc": 1.0},
    limits="For tests; not for judging people.",
)


def tiny_emotion(folder: Path, **changes) -> EmotionBundle:
    """Write the bundle with a golden check into ``folder``; ``changes`` are arguments of write_emotion_bundle."""
    values = {
        "name": "tiny-emotion",
        "functionals": FUNCTIONALS,
        "feature_count": len(NAMES),
        "gate": gate(),
        "members": [member(offset) for offset in OFFSETS],
        "emotion": EmotionConfig(window_seconds=2.0, hop_seconds=0.5, smoothing_seconds=0.0),
        "provenance": PROVENANCE,
        **changes,
    }
    bundle = write_emotion_bundle(folder, **values)
    golden = make_emotion_golden(EmotionDetector(bundle), golden_voice(RATE))
    return write_emotion_golden(bundle, golden)


def gate() -> bytes:
    """A tenth of voiced frames scores 0.5."""
    return linear({("time.voiced_share", 0): 5.0}, [0.0])


def member(offset: float) -> bytes:
    """One regressor; see above."""
    weights = {("time.voiced_share", 0): 1.0, ("pitch.p50", 1): 0.01}
    return linear(weights, [offset, 0.38 + offset, 0.25 + offset])


def linear(weights: dict[tuple[str, int], float], bias: list[float], features: int = len(NAMES)) -> bytes:
    """The ONNX graph x @ W + b; ``weights`` are by name of the functional and column."""
    matrix = np.zeros((features, len(bias)), np.float32)
    for (name, column), value in weights.items():
        matrix[NAMES.index(name), column] = value
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, len(bias)])],
        [numpy_helper.from_array(matrix, "w"), numpy_helper.from_array(np.array(bias, np.float32), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def voice(seconds: float = 6.0, rate: int = RATE) -> np.ndarray:
    """A synthetic voice, shape (n,), float32."""
    return golden_voice(rate, seconds)


def noise(seconds: float, rate: int = RATE) -> np.ndarray:
    """White noise, shape (n,), float32."""
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))).astype(np.float32)
