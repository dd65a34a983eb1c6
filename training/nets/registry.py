"""The networks that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from streamsed.config import from_mapping, require
from training.eow.confidence import ConfidenceConfig
from training.nets.baseline_crnn import BaselineCrnn, BaselineCrnnConfig
from training.nets.duration_crnn import DurationCrnn, DurationCrnnConfig
from training.nets.frame_net import ExportedFrameNet, FrameNet
from training.nets.streaming_crnn import TIME_STRIDE, ExportedCrnn, StreamingCrnn, StreamingCrnnConfig

Net = StreamingCrnn | FrameNet
NetConfig = StreamingCrnnConfig | BaselineCrnnConfig | DurationCrnnConfig

_KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "streaming_crnn": (StreamingCrnnConfig, StreamingCrnn),
    "baseline_crnn": (BaselineCrnnConfig, BaselineCrnn),
    "duration_crnn": (DurationCrnnConfig, DurationCrnn),
}
# What follows from front-end and labels.
_DERIVED = ("n_mels", "n_classes")


def net_config(kind: str, shape: Mapping[str, Any], n_mels: int, n_classes: int) -> NetConfig:
    """Return the configuration of a network.

    Parameters
    ----------
    kind : {"streaming_crnn", "baseline_crnn", "duration_crnn"}
    shape : mapping
        Fields of its configuration other than ``n_mels`` and ``n_classes``.
    n_mels, n_classes : int

    Raises
    ------
    ConfigError
        If the kind or a field is unknown, or the network cannot have that shape.
    """
    require(kind in _KINDS, "net.kind", f"one of {sorted(_KINDS)}", kind)
    given = sorted(set(shape) & set(_DERIVED))
    require(not given, "net.shape", f"without {list(_DERIVED)}, which follow from the recipe", given)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in shape.items()}
    config: NetConfig = from_mapping(
        _KINDS[kind][0], {**values, "n_mels": n_mels, "n_classes": n_classes}, "net.shape"
    )
    return config


def build(config: NetConfig) -> Net:
    """Return the network of a configuration, with random weights."""
    for config_type, net_type in _KINDS.values():
        if isinstance(config, config_type):
            net: Net = net_type(config)
            return net
    raise TypeError(f"config: expected one of a network, got {type(config).__name__}")


def set_statistics(net: Net, mean: Tensor, std: Tensor) -> None:
    """Fix the normalisation of the input: mean and standard deviation of every band, shapes (n_mels,)."""
    for buffer, value in zip(statistics_of(net), (mean, std), strict=True):
        buffer.copy_(value)


def statistics_of(net: Net) -> tuple[Tensor, Tensor]:
    """Return the buffers that :func:`set_statistics` fills."""
    holder = net.encoder if isinstance(net, FrameNet) else net
    return holder.mean, holder.std


def exported(net: Net, weighting: ConfidenceConfig, temperature: float = 1.0) -> nn.Module:
    """Return the graph that ships: (log_mel, *state) -> (posteriors, confidence if there is a SOD head, *state)."""
    graph = ExportedFrameNet if isinstance(net, FrameNet) else ExportedCrnn
    return graph(net, weighting if has_confidence(net) else None, temperature)


def has_confidence(net: Net) -> bool:
    """Return whether the network has a SOD head, from which the confidence of an ensemble member follows."""
    return getattr(net, "sod_head", None) is not None


def time_stride(config: NetConfig) -> int:
    """Return the log-mel frames per posterior."""
    return TIME_STRIDE if isinstance(config, StreamingCrnnConfig) else config.encoder.time_stride


def is_causal(config: NetConfig) -> bool:
    """Return whether the network streams with explicit state; else it takes whole windows."""
    return config.causal
