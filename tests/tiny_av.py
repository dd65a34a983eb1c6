"""Tiny models with side inputs, whose answers can be predicted.

``bright`` is the brightness of the picture of the moment, ``loud`` how loud the sound is and ``loud_before``, where
there is an auditory side input, how loud the last 0.1 s were: a posterior of 0.5 means half of full brightness, or a
mean log-mel of -12.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_models import FRONT_END, PROVENANCE

from streamsed.bundle import AudioInput, Bundle, ImageInput, SideInputSpec, Streaming, write_bundle
from streamsed.config import ClassPost, LogMelConfig, PostConfig

SIZE = (12, 16)
AUDITORY_FRONT_END = LogMelConfig(sample_rate=8000, n_fft=256, window_length=200, hop_length=80, n_mels=8)
AUDITORY_WINDOW, AUDITORY_HOP = 10, 4
POST = PostConfig(ClassPost(threshold_on=0.5))
_END = np.iinfo(np.int64).max


def _model(nodes, inputs, outputs, constants) -> bytes:
    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "tiny_av",
        [value(*item) for item in inputs],
        [value(*item) for item in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def image_encoder() -> bytes:
    """(B, 3, h, w) -> (B, 2): brightness in [0, 1], and 1 less it."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["brightness"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["brightness", "column"], ["bright"]),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["embedding"], axis=1),
    ]
    constants = {"column": np.array([-1, 1], np.int64), "one": np.float32(1.0)}
    return _model(nodes, [("image", ["b", 3, *SIZE])], [("embedding", ["b", 2])], constants)


def audio_encoder() -> bytes:
    """(B, W, M) -> (B, 1): the mean log-mel."""
    nodes = [
        helper.make_node("ReduceMean", ["frames"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["embedding"]),
    ]
    shape = ["b", AUDITORY_WINDOW, AUDITORY_FRONT_END.n_mels]
    return _model(
        nodes, [("frames", shape)], [("embedding", ["b", 1])], {"column": np.array([-1, 1], np.int64)}
    )


def fused_model(time_stride: int, *, auditory: bool, visual: bool) -> bytes:
    """Extended frames -> posteriors of the last frame of each stride, without state."""
    bands = FRONT_END.n_mels
    width = bands + 2 * auditory + 3 * visual
    weights = np.zeros((width, 1 + auditory + visual), np.float32)
    bias = np.zeros(weights.shape[1], np.float32)
    weights[:bands, 0] = 1.0 / bands
    bias[0] = 12.0
    column, label = bands, 1
    if auditory:
        weights[column, label] = 1.0
        weights[column + 1, label] = 12.0  # times presence; absent: the bias alone
        bias[label] = -6.0
        weights[column + 1, label] += 6.0
        column, label = column + 2, label + 1
    if visual:
        # 20 (brightness - 0.5) where there is a picture, far below 0 where there is none.
        weights[column, label] = 20.0
        weights[column + 2, label] = 10.0
        bias[label] = -20.0
    nodes = [
        helper.make_node("Slice", ["log_mel", "first", "end", "axis", "stride"], ["last"]),
        helper.make_node("MatMul", ["last", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["posteriors"]),
    ]
    constants = {
        "first": np.array([time_stride - 1], np.int64),
        "end": np.array([_END], np.int64),
        "axis": np.array([1], np.int64),
        "stride": np.array([time_stride], np.int64),
        "weights": weights,
        "bias": bias,
    }
    return _model(
        nodes,
        [("log_mel", ["b", "t", width])],
        [("posteriors", ["b", "rows", weights.shape[1]])],
        constants,
    )


def visual_spec(max_age_seconds: float = 0.25, rate_hz: float | None = None) -> SideInputSpec:
    image = ImageInput(*SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return SideInputSpec("visual", "image", 2, max_age_seconds, rate_hz, image=image)


def auditory_spec(max_age_seconds: float = 0.25) -> SideInputSpec:
    audio = AudioInput(AUDITORY_FRONT_END, AUDITORY_WINDOW, AUDITORY_HOP)
    return SideInputSpec("auditory", "audio", 1, max_age_seconds, audio=audio)


def tiny_av_bundle(
    folder: Path,
    *,
    auditory: bool = False,
    visual: bool = True,
    windowed: bool = False,
    time_stride: int = 2,
    max_age_seconds: float = 0.25,
    rate_hz: float | None = None,
    post_processing: PostConfig = POST,
    name: str = "tiny_av",
) -> Bundle:
    """Write a bundle that hears, and sees unless told not to."""
    sides = []
    if auditory:
        sides.append((auditory_spec(), audio_encoder()))
    if visual:
        sides.append((visual_spec(max_age_seconds, rate_hz), image_encoder()))
    model = fused_model(time_stride, auditory=auditory, visual=visual)
    labels = ["loud", *(["loud_before"] if auditory else []), *(["bright"] if visual else [])]
    return write_bundle(
        folder,
        name=name,
        labels=labels,
        front_end=FRONT_END,
        streaming=Streaming("windowed", 40, 8) if windowed else Streaming("causal"),
        time_stride=time_stride,
        context_frames=0,
        look_ahead_frames=0,
        state={},
        members={"0": {"onnx": model}},
        provenance=PROVENANCE,
        post_processing=post_processing,
        side_inputs=sides,
    )
