"""The networks that a recipe of lung sounds can name, and the graph that ships of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from streamsed.config import from_mapping, require
from training.lung.contrast import ContrastConfig, ContrastNet
from training.lung.net import LungCnn, LungCnnConfig

LungNet = LungCnn | ContrastNet
LungNetConfig = LungCnnConfig | ContrastConfig

_CONFIGS: dict[str, type[LungCnnConfig] | type[ContrastConfig]] = {
    "lung_cnn": LungCnnConfig,
    "lung_contrast": ContrastConfig,
}
KINDS = tuple(_CONFIGS)


def lung_net_config(kind: str, shape: Mapping[str, Any], n_mels: int, n_classes: int) -> LungNetConfig:
    """Return the configuration of a network.

    Parameters
    ----------
    kind : {"lung_cnn", "lung_contrast"}
    shape : mapping
        Fields of its configuration other than ``n_mels`` and ``n_classes``.
    n_mels, n_classes : int

    Raises
    ------
    ConfigError
        If the kind or a field is unknown, or the network cannot have that shape.
    """
    require(kind in _CONFIGS, "net.kind", f"one of {list(KINDS)}", kind)
    derived = {"n_mels": n_mels, "n_classes": n_classes}
    given = sorted(set(shape) & set(derived))
    require(not given, "net.shape", f"without {sorted(derived)}, which follow from the recipe", given)
    config: LungNetConfig = from_mapping(_CONFIGS[kind], {**shape, **derived}, "net.shape")
    return config


def build(config: LungNetConfig) -> LungNet:
    """Return the network of a configuration, with random weights."""
    return ContrastNet(config) if isinstance(config, ContrastConfig) else LungCnn(config)


class ExportedLungNet(nn.Module):
    """The graph that ships: chunks (B, T, n_mels) of z-scores to posteriors (B, 1, n_classes).

    Parameters
    ----------
    net : module
        Chunks to logits (B, n_classes), in a tuple of one.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, log_mel: Tensor) -> tuple[Tensor]:
        """Return the softmax as the one posterior frame of a window."""
        return (torch.softmax(self.net(log_mel)[0], dim=1)[:, None],)
