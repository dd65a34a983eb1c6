"""Tiny models of respiratory cycles for tests, whose answers can be predicted.

The segmenter hears a boundary where a pause of half a second ends, no lung sound in digital silence, speech in a tone
at 1700 Hz and contact noise in one at 60 Hz. The classifier hears a wheeze in a tone at 1200 Hz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamsed.bundle import (
    CYCLE_LABELS,
    SEGMENTER_LABELS,
    Bundle,
    CycleBundle,
    Provenance,
    Streaming,
    read_any_bundle,
    write_bundle,
    write_cycle_bundle,
    write_cycle_golden,
)
from streamsed.config import (
    CycleConfig,
    CycleDecoderConfig,
    CyclePreparation,
    LogMelConfig,
    QualityGateConfig,
)
from streamsed.cycles import CycleFeatures
from streamsed.golden import golden_breathing, make_cycle_golden
from streamsed.respiration import CycleDetector

RATE = 4000
# Synthetic breaths (golden_breathing) last four seconds.
PERIOD = 4.0
STRIDE = 4
CONTEXT = 56
FRONT_END = LogMelConfig(
    sample_rate=RATE, n_fft=256, window_length=200, hop_length=40, n_mels=16, f_min=40, f_max=2000
)
CHUNK_FRONT_END = LogMelConfig(
    sample_rate=RATE, n_fft=256, window_length=256, hop_length=100, n_mels=16, f_min=40, f_max=2000
)
CYCLES = CycleConfig(
    preparation=CyclePreparation(segment_seconds=4.0, chunks=2),
    decoder=CycleDecoderConfig(
        threshold=0.5, wait_seconds=0.12, prior_weight=0.0, min_seconds=3.0, period_seconds=4.0
    ),
    gate=QualityGateConfig(seconds=0.6),
)
PROVENANCE = Provenance(
    description="synthetic breaths, for tests",
    data="none",
    licence="Apache-2.0",
    recipe="tests/tiny_cycles.py",
    commit="",
    limits="research software, not a medical device",
)
# The mean log-mel of what the tests call a pause; zeros of the state mean it.
QUIET = 13.0


def breathing(seconds: float = 20.0, rate: int = RATE, wheeze: tuple[int, ...] = ()) -> np.ndarray:
    """Breaths that begin at multiples of 4 s; those of these numbers, from 0, wheeze."""
    samples = golden_breathing(rate, seconds)
    time = np.arange(len(samples)) / rate
    tone = (0.2 * np.sin(2 * np.pi * 1200 * time)).astype(np.float32)
    sounding = np.isin(time // PERIOD, wheeze) & (time % PERIOD > 0.3) & (time % PERIOD < 2.5)
    return samples + np.where(sounding, tone, np.float32(0))


def tone(seconds: float, hz: float, rate: int = RATE, level: float = 0.5) -> np.ndarray:
    """A loud sine."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def _graph(nodes, inputs, outputs, constants) -> bytes:
    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "tiny",
        [value(*item) for item in inputs],
        [value(*item) for item in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def segmenter_model(look_ahead: int = 0) -> bytes:
    """One convolution over the last 0.6 s; with look-ahead, it speaks of what was so many frames ago."""
    n_mels, taps, context = FRONT_END.n_mels, CONTEXT + STRIDE, CONTEXT + look_ahead
    weights, bias = np.zeros((4, n_mels, taps)), np.zeros(4)
    # The mean of the last 0.1 s above that of the half second before.
    middle = slice(1, 10)
    weights[0, middle, -10:] += 2.0 / (9 * 10)
    weights[0, middle, :-10] -= 2.0 / (9 * (taps - 10))
    bias[0] = -3.5
    weights[1, :, -STRIDE:] = 2.0 / (n_mels * STRIDE)
    bias[1] = 2.0 * (21.0 - QUIET)
    for row, bands, least in ((2, slice(12, 16), 7.0), (3, slice(0, 1), 20.0)):
        others = np.ones(n_mels, bool)
        others[bands] = False
        weights[row, bands, -STRIDE:] = 1.5 / (STRIDE * (n_mels - others.sum()))
        weights[row, others, -STRIDE:] = -1.5 / (STRIDE * others.sum())
        bias[row] = -least
    node = helper.make_node
    constants = {
        "weights": np.pad(weights, ((0, 0), (0, 0), (0, look_ahead))).astype(np.float32),
        "bias": bias.astype(np.float32),
        "quiet": np.array([QUIET], np.float32),
        "axis_1": np.array([1], np.int64),
        "from_context": np.array([-context], np.int64),
        "to_end": np.array([np.iinfo(np.int64).max], np.int64),
    }
    nodes = [
        node("Add", ["log_mel", "quiet"], ["level"]),
        node("Concat", ["frames", "level"], ["padded"], axis=1),
        node("Slice", ["padded", "from_context", "to_end", "axis_1"], ["frames_out"]),
        node("Transpose", ["padded"], ["channels_first"], perm=[0, 2, 1]),
        node("Conv", ["channels_first", "weights", "bias"], ["logits"], strides=[STRIDE]),
        node("Sigmoid", ["logits"], ["columns"]),
        node("Transpose", ["columns"], ["posteriors"], perm=[0, 2, 1]),
    ]
    return _graph(
        nodes,
        [("log_mel", ["batch", "t", n_mels]), ("frames", ["batch", context, n_mels])],
        [("posteriors", ["batch", "rows", 4]), ("frames_out", ["batch", context, n_mels])],
        constants,
    )


def classifier_model(seed: int) -> bytes:
    """A linear map of the mean over time; ``seed`` moves it a little, as the members of an ensemble differ."""
    n_mels = CHUNK_FRONT_END.n_mels
    weights = np.random.default_rng(seed).normal(0, 0.005, (n_mels, 4))
    others = np.ones(n_mels, bool)
    others[10:12] = False
    weights[10:12, 2] += 0.6
    weights[others, 2] -= 1.2 / others.sum()
    node = helper.make_node
    constants = {
        "weights": weights.astype(np.float32),
        "bias": np.array([0.0, -2.0, -1.0, -3.0], np.float32),
    }
    nodes = [
        node("ReduceMean", ["log_mel"], ["mean"], axes=[1], keepdims=1),
        node("MatMul", ["mean", "weights"], ["product"]),
        node("Add", ["product", "bias"], ["logits"]),
        node("Softmax", ["logits"], ["posteriors"], axis=-1),
    ]
    return _graph(nodes, [("log_mel", ["batch", "t", n_mels])], [("posteriors", ["batch", 1, 4])], constants)


def segmenter_bundle(folder: Path, look_ahead: int = 0, **changes) -> Bundle:
    """Write the bundle of the segmenter."""
    return write_bundle(
        folder,
        **{
            "name": "segmenter",
            "labels": SEGMENTER_LABELS,
            "front_end": FRONT_END,
            "streaming": Streaming("causal"),
            "time_stride": STRIDE,
            "context_frames": CONTEXT,
            "look_ahead_frames": look_ahead,
            "state": {"frames": [1, CONTEXT + look_ahead, FRONT_END.n_mels]},
            "members": {"0": {"onnx": segmenter_model(look_ahead)}},
            "provenance": PROVENANCE,
            **changes,
        },
    )


def classifier_bundle(folder: Path, members: int = 3, **changes) -> Bundle:
    """Write the bundle of the classifier."""
    frames = CycleFeatures(CHUNK_FRONT_END, CYCLES.preparation).chunk_frames
    return write_bundle(
        folder,
        **{
            "name": "classifier",
            "labels": CYCLE_LABELS,
            "front_end": CHUNK_FRONT_END,
            "streaming": Streaming("windowed", frames, frames),
            "time_stride": frames,
            "context_frames": None,
            "look_ahead_frames": 0,
            "state": {},
            "members": {str(seed): {"onnx": classifier_model(seed)} for seed in range(members)},
            "provenance": PROVENANCE,
            **changes,
        },
    )


def tiny_cycles(folder: Path, members: int = 3, look_ahead: int = 0) -> CycleBundle:
    """Write a whole model of respiratory cycles, with its golden check, into ``folder``."""
    bundle = write_cycle_bundle(
        folder,
        name="tiny-cycles",
        segmenter=segmenter_bundle(folder.with_name(f"{folder.name}-segmenter"), look_ahead),
        classifier=classifier_bundle(folder.with_name(f"{folder.name}-classifier"), members),
        cycles=CYCLES,
        provenance=PROVENANCE,
    )
    write_cycle_golden(bundle, make_cycle_golden(CycleDetector(bundle), golden_breathing(RATE)))
    bundle = read_any_bundle(folder)
    assert isinstance(bundle, CycleBundle)
    return bundle
