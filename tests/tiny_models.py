"""Tiny bundles for tests, made in milliseconds, whose answers can be predicted.

The network has two labels: ``low`` is active when the lower half of the mel bands is loud, ``high`` when the
upper half is. A causal convolution over the last frames and a GRU both carry state, so that forgetting either
shows.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamsed.bundle import Bundle, Golden, Provenance, Streaming, write_bundle
from streamsed.config import ClassPost, LogMelConfig, PostConfig, TaggingConfig

LABELS = ("low", "high")
HIDDEN = 3
CONTEXT = 4
SILENCE = 18.0
FRONT_END = LogMelConfig(sample_rate=16000, n_fft=512, window_length=512, hop_length=160, n_mels=16)
POST = PostConfig(
    ClassPost(threshold_on=0.5, threshold_off=0.4, median_seconds=0.06, min_duration=0.05, min_gap=0.1)
)
PROVENANCE = Provenance(
    description="two bands of noise, for tests",
    data="none",
    licence="Apache-2.0",
    recipe="tests/tiny_models.py",
    commit="",
)


def tone(seconds: float, hz: float, sample_rate: int = 16000, level: float = 0.3) -> np.ndarray:
    """A sine, float32, faded in and out over 20 ms, so that it does not click in other bands."""
    count = round(seconds * sample_rate)
    fade = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.02 * sample_rate))
    time = np.arange(count) / sample_rate
    return (level * np.sin(np.pi / 2 * fade) ** 2 * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def scene(sample_rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Six seconds of faint noise with ``low`` in [1, 2] and [4.5, 5] and ``high`` in [2.5, 3.5]."""
    samples = np.random.default_rng(seed).normal(0, 1e-4, 6 * sample_rate).astype(np.float32)
    for start, seconds, hz in ((1.0, 1.0, 300.0), (2.5, 1.0, 5000.0), (4.5, 0.5, 400.0)):
        begin = round(start * sample_rate)
        part = tone(seconds, hz, sample_rate)
        samples[begin : begin + len(part)] += part
    return samples


def weights(n_mels: int, taps: int, seed: int, confidence: bool) -> dict[str, np.ndarray]:
    """Weights of one member; ``seed`` moves them a little, as the members of an ensemble differ."""
    rng = np.random.default_rng(seed)
    half = n_mels // 2
    band = np.zeros((2, n_mels, taps))
    band[0, :half] = band[1, half:] = 1 / (half * taps)
    # The mean log-mel of a half is about -18 in the faint noise, above -12 under a tone: -15 is in between.
    # The network adds SILENCE first, so that its zero state and zero padding mean silence.
    values = {
        "conv_w": 2.0 * band + rng.normal(0, 1e-4, band.shape),
        "conv_b": np.full(2, 2.0 * (15.0 - SILENCE)),
        "gru_w": rng.normal(0, 0.3, (1, 3 * HIDDEN, 2)),
        "gru_r": rng.normal(0, 0.3, (1, 3 * HIDDEN, HIDDEN)),
        "gru_b": rng.normal(0, 0.1, (1, 6 * HIDDEN)),
        "out_w": rng.normal(0, 0.2, (HIDDEN, 2)),
    }
    if confidence:
        values["confidence_w"] = rng.normal(0, 0.5, (HIDDEN, 1))
    return {name: value.astype(np.float32) for name, value in values.items()}


def onnx_model(
    *,
    n_mels: int = FRONT_END.n_mels,
    time_stride: int = 2,
    seed: int = 0,
    confidence: bool = False,
    causal: bool = True,
    delay_frames: int = 0,
) -> bytes:
    """The network as ONNX; ``delay_frames`` holds the posteriors back, as a model with look-ahead does."""
    taps = CONTEXT + time_stride
    values = weights(n_mels, taps, seed, confidence)
    constants = {
        **values,
        "axis_1": np.array([1], np.int64),
        "silence": np.array([SILENCE], np.float32),
    }
    if confidence:
        constants["last_axis"] = np.array([2], np.int64)
    if delay_frames:
        constants["zero"] = np.array([0], np.int64)
        constants["delay"] = np.array([-(delay_frames // time_stride)], np.int64)
    node = helper.make_node
    nodes = [node("Add", ["log_mel", "silence"], ["level"])]
    if causal:
        constants["from_context"] = np.array([-CONTEXT], np.int64)
        constants["to_end"] = np.array([np.iinfo(np.int64).max], np.int64)
        nodes.append(node("Concat", ["frames", "level"], ["padded"], axis=1))
        nodes.append(node("Slice", ["padded", "from_context", "to_end", "axis_1"], ["frames_out"]))
        pads = [0, 0]
    else:
        nodes.append(node("Identity", ["level"], ["padded"]))
        pads = [CONTEXT // 2, CONTEXT // 2]
    nodes += [
        node("Transpose", ["padded"], ["channels_first"], perm=[0, 2, 1]),
        node("Conv", ["channels_first", "conv_w", "conv_b"], ["bands"], strides=[time_stride], pads=pads),
        node("Tanh", ["bands"], ["squashed"]),
        node("Transpose", ["squashed"], ["sequence"], perm=[2, 0, 1]),
    ]
    gru_inputs = ["sequence", "gru_w", "gru_r", "gru_b"]
    if causal:
        nodes.append(node("Transpose", ["hidden"], ["hidden_first"], perm=[1, 0, 2]))
        gru_inputs += ["", "hidden_first"]
    nodes += [
        node("GRU", gru_inputs, ["gru_all", "gru_last"], hidden_size=HIDDEN, linear_before_reset=1),
        node("Squeeze", ["gru_all", "axis_1"], ["gru_squeezed"]),
        node("Transpose", ["gru_squeezed"], ["gru_out"], perm=[1, 0, 2]),
        node("MatMul", ["gru_out", "out_w"], ["recurrent"]),
        node("Transpose", ["bands"], ["band_logits"], perm=[0, 2, 1]),
        node("Add", ["band_logits", "recurrent"], ["logits"]),
        node("Sigmoid", ["logits"], ["undelayed"]),
    ]
    if causal:
        nodes.append(node("Transpose", ["gru_last"], ["hidden_out"], perm=[1, 0, 2]))
    if delay_frames:
        nodes += [
            node("Concat", ["held", "undelayed"], ["with_held"], axis=1),
            node("Slice", ["with_held", "zero", "delay", "axis_1"], ["posteriors"]),
            node("Slice", ["with_held", "delay", "to_end", "axis_1"], ["held_out"]),
        ]
    else:
        nodes.append(node("Identity", ["undelayed"], ["posteriors"]))
    if confidence:
        nodes += [
            node("MatMul", ["gru_out", "confidence_w"], ["confidence_logit"]),
            node("Sigmoid", ["confidence_logit"], ["confidence_column"]),
            node("Squeeze", ["confidence_column", "last_axis"], ["confidence"]),
        ]

    def value(name: str, shape: list[object]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state = state_shapes(n_mels, causal=causal, delay_frames=delay_frames, time_stride=time_stride)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            value("log_mel", ["batch", "frames_in", n_mels]),
            *(value(name, ["batch", *shape[1:]]) for name, shape in state.items()),
        ],
        [
            value("posteriors", ["batch", "frames_posterior", 2]),
            *([value("confidence", ["batch", "frames_posterior"])] if confidence else []),
            *(value(f"{name}_out", ["batch", *shape[1:]]) for name, shape in state.items()),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def torchscript_model(*, n_mels: int = FRONT_END.n_mels, time_stride: int = 2, seed: int = 0) -> bytes:
    """The causal network, with the same weights, as TorchScript; needs torch."""
    import torch

    values = {
        name: torch.from_numpy(array)
        for name, array in weights(n_mels, CONTEXT + time_stride, seed, False).items()
    }

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv1d(n_mels, 2, CONTEXT + time_stride, stride=time_stride)
            self.gru = torch.nn.GRU(2, HIDDEN, batch_first=True)
            self.out = torch.nn.Linear(HIDDEN, 2, bias=False)
            # ONNX stacks the gates as z, r, h, torch as r, z, n.
            gates = torch.arange(3 * HIDDEN).reshape(3, HIDDEN)[[1, 0, 2]].reshape(-1)
            with torch.no_grad():
                self.conv.weight.copy_(values["conv_w"])
                self.conv.bias.copy_(values["conv_b"])
                self.gru.weight_ih_l0.copy_(values["gru_w"][0][gates])
                self.gru.weight_hh_l0.copy_(values["gru_r"][0][gates])
                self.gru.bias_ih_l0.copy_(values["gru_b"][0][: 3 * HIDDEN][gates])
                self.gru.bias_hh_l0.copy_(values["gru_b"][0][3 * HIDDEN :][gates])
                self.out.weight.copy_(values["out_w"].T)

        def forward(self, log_mel: torch.Tensor, frames: torch.Tensor, hidden: torch.Tensor):
            padded = torch.cat([frames, log_mel + SILENCE], dim=1)
            bands = self.conv(padded.transpose(1, 2))
            sequence, last = self.gru(torch.tanh(bands).transpose(1, 2), hidden.transpose(0, 1).contiguous())
            posteriors = torch.sigmoid(bands.transpose(1, 2) + self.out(sequence))
            return posteriors, padded[:, padded.shape[1] - frames.shape[1] :], last.transpose(0, 1)

    state = [torch.zeros(shape) for shape in state_shapes(n_mels).values()]
    with warnings.catch_warnings(), io.BytesIO() as buffer:
        # The checks of shapes inside nn.GRU are of no interest to the trace.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(Tiny().eval(), (torch.zeros(1, 4 * time_stride, n_mels), *state))
        torch.jit.save(traced, buffer)
        return buffer.getvalue()


def state_shapes(
    n_mels: int = FRONT_END.n_mels, *, causal: bool = True, delay_frames: int = 0, time_stride: int = 2
) -> dict[str, list[int]]:
    """Names and shapes of the state tensors."""
    if not causal:
        return {}
    shapes = {"frames": [1, CONTEXT, n_mels], "hidden": [1, 1, HIDDEN]}
    return {**shapes, "held": [1, delay_frames // time_stride, 2]} if delay_frames else shapes


def tiny_bundle(
    folder: Path,
    *,
    members: int = 1,
    confidence: bool = False,
    windowed: bool = False,
    delay_frames: int = 0,
    time_stride: int = 2,
    torchscript: bool = False,
    front_end: LogMelConfig = FRONT_END,
    post_processing: PostConfig = POST,
    name: str = "tiny",
    golden: Golden | None = None,
    window_frames: int = 40,
    hop_frames: int = 8,
    tagging: TaggingConfig | None = None,
) -> Bundle:
    """Write a bundle of ``members`` tiny networks into ``folder``."""
    models: dict[str, dict[str, bytes]] = {}
    for seed in range(members):
        models[str(seed)] = {
            "onnx": onnx_model(
                n_mels=front_end.n_mels,
                time_stride=time_stride,
                seed=seed,
                confidence=confidence,
                causal=not windowed,
                delay_frames=delay_frames,
            )
        }
        if torchscript:
            models[str(seed)]["torchscript"] = torchscript_model(
                n_mels=front_end.n_mels, time_stride=time_stride, seed=seed
            )
    return write_bundle(
        folder,
        name=name,
        labels=LABELS,
        front_end=front_end,
        streaming=Streaming("windowed", window_frames, hop_frames) if windowed else Streaming("causal"),
        time_stride=time_stride,
        context_frames=None,
        look_ahead_frames=delay_frames,
        state=state_shapes(
            front_end.n_mels, causal=not windowed, delay_frames=delay_frames, time_stride=time_stride
        ),
        members=models,
        provenance=PROVENANCE,
        outputs=("posteriors", "confidence") if confidence else ("posteriors",),
        post_processing=post_processing,
        golden=golden,
        tagging=tagging,
    )
