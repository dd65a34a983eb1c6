"""The networks that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from streamsed.config import from_mapping, require
from training.eow.confidence import ConfidenceConfig
from training.nets.baseline_crnn import BaselineCrnn, BaselineCrnnConfig
from training.nets.duration_crnn import DurationCrnn, DurationCrnnConfig
from training.nets.frame_net import ExportedFrameNet, FrameNet
from training.nets.fusion_crnn import FusionCrnn, FusionCrnnConfig, SideInput
from training.nets.streaming_crnn import TIME_STRIDE, ExportedCrnn, StreamingCrnn, StreamingCrnnConfig

Net = StreamingCrnn | FrameNet
NetConfig = StreamingCrnnConfig | BaselineCrnnConfig | DurationCrnnConfig | FusionCrnnConfig

_KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "streaming_crnn": (StreamingCrnnConfig, StreamingCrnn),
    "baseline_crnn": (BaselineCrnnConfig, BaselineCrnn),
    "duration_crnn": (DurationCrnnConfig, DurationCrnn),
    "fusion_crnn": (FusionCrnnConfig, FusionCrnn),
}
# What follows from front-end, labels and fused inputs.
_DERIVED = ("n_mels", "n_classes", "spectral", "sides")


def net_config(
    kind: str,
    shape: Mapping[str, Any],
    n_mels: int,
    n_classes: int,
    *,
    spectral: bool = True,
    sides: Sequence[SideInput] = (),
) -> NetConfig:
    """Return the configuration of a network.

    Parameters
    ----------
    kind : {"streaming_crnn", "baseline_crnn", "duration_crnn", "fusion_crnn"}
    shape : mapping
        Fields of its configuration other than those that follow.
    n_mels, n_classes : int
    spectral : bool
    sides : sequence of SideInput
        What "fusion_crnn" hears and sees; the others hear log-mels alone.

    Raises
    ------
    ConfigError
        If the kind or a field is unknown, or the network cannot have that shape.
    """
    require(kind in _KINDS, "net.kind", f"one of {sorted(_KINDS)}", kind)
    given = sorted(set(shape) & set(_DERIVED))
    require(not given, "net.shape", f"without {list(_DERIVED)}, which follow from the recipe", given)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in shape.items()}
    values |= {"n_mels": n_mels, "n_classes": n_classes}
    if kind == "fusion_crnn":
        values |= {"spectral": spectral, "sides": tuple(sides)}
    else:
        alone = spectral and not sides
        require(alone, "net.kind", "fusion_crnn for other inputs than log-mels", kind)
    config: NetConfig = from_mapping(_KINDS[kind][0], values, "net.shape")
    return config


def build(config: NetConfig) -> Net:
    """Return the network of a configuration, with random weights."""
    for config_type, net_type in _KINDS.values():
        if type(config) is config_type:
            net: Net = net_type(config)
            return net
    raise TypeError(f"config: expected one of a network, got {type(config).__name__}")


def encode(net: Net, log_mel: Tensor, sides: Sequence[tuple[Tensor, Tensor]] = ()) -> Tensor:
    """Map whole scenes to what the heads get.

    Parameters
    ----------
    net : Net
    log_mel : Tensor, shape (B, T, n_mels)
    sides : sequence of (features, present)
        Embeddings (B, T', D) and whether there are any (B, T'), for each side input of a ``FusionCrnn``.

    Returns
    -------
    Tensor, shape (B, T', C)
    """
    fused = isinstance(net, FusionCrnn)
    expected = [side.features for side in net.config.sides] if fused else []
    given = [features.shape[2] for features, _ in sides]
    require(given == expected, "sides", f"embeddings of {expected} values", given)
    state = net.initial_state(len(log_mel))
    return net.fuse(log_mel, sides, *state)[0] if fused else net.encode(log_mel, *state)[0]


def frame_size(config: NetConfig) -> int:
    """Return the values of each frame that the exported graph takes: log-mels, and what lies beside them."""
    return config.frame_size if isinstance(config, FusionCrnnConfig) else config.n_mels


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
