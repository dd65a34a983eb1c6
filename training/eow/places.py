"""Where in a network EOW-Softmax draws its samples: what the SOD head gets, or the recurrence, or half-way to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from streamsed.config import require
from training.eow.config import Place


class Tapped(Protocol):
    """What is asked of a network: blocks that give (B, C, T, F) first, its features from any of them on, a SOD head."""

    sod_head: nn.Module

    @property
    def blocks(self) -> nn.ModuleList:
        """The convolutional ones."""

    def from_block(self, index: int, x: Tensor) -> Tensor:
        """Map what block ``index`` gets at the start of a stream to features (B, T', D)."""

    def modules(self) -> Iterator[nn.Module]:
        """As of every module."""


class Tail:
    """A network from one of its places to the logits of its SOD head.

    A sample there is a short sequence (L, D), as the recurrence needs one: D are the channels times the bands. Only the
    tail is trained by it.

    Parameters
    ----------
    net : Tapped
        Referred to, not copied.
    place : {"rnn_input", "cnn_mid"}
        What the recurrence gets, or the output of the first half of the blocks, rounded down.

    Raises
    ------
    ConfigError
        If the network has no block before that place.
    """

    def __init__(self, net: Tapped, place: Place) -> None:
        self._net = net
        count = len(net.blocks)
        self._index = count if place == "rnn_input" else count // 2
        require(self._index > 0, "place", f"with {count} blocks: head_input or rnn_input", place)
        self._bands = 0

    @contextmanager
    def listening(self) -> Iterator[list[Tensor]]:
        """Gather what passes the place meanwhile: (B, T, D) for each pass of the network."""
        heard: list[Tensor] = []

        def keep(_block: nn.Module, _inputs: object, outputs: tuple[Tensor, object]) -> None:
            x = outputs[0].detach()
            self._bands = x.shape[3]
            heard.append(x.transpose(1, 2).flatten(2))

        hook = self._net.blocks[self._index - 1].register_forward_hook(keep)
        try:
            yield heard
        finally:
            hook.remove()

    def modules(self) -> Iterator[nn.Module]:
        """Those of the network."""
        return self._net.modules()

    def __call__(self, x: Tensor) -> Tensor:
        """Map samples (n, L, D) to logits (n, L', P + 1), L' frames of the posteriors."""
        n, frames, width = x.shape
        x = x.reshape(n, frames, width // self._bands, self._bands).transpose(1, 2)
        return self._net.sod_head(self._net.from_block(self._index, x))


@contextmanager
def untouched(head: nn.Module | Tail, kinds: tuple[type[nn.Module], ...] = (nn.Module,)) -> Iterator[None]:
    """Put the modules of these kinds into eval mode meanwhile, so that samples leave no trace in them.

    Recurrences have none to leave and stay as they are: cuDNN has no gradient for them in eval mode.
    """
    modes = [(module, module.training) for module in head.modules()]
    for module, _ in modes:
        if isinstance(module, kinds) and not isinstance(module, nn.RNNBase):
            module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


NORMS = (nn.modules.batchnorm._BatchNorm,)


def width_of(net: Tapped, tail: Tail | None, features: int, n_mels: int) -> int:
    """Return D at the place: that of the features without a tail, else found by passing frames of zeros."""
    if tail is None:
        return features
    with torch.no_grad(), untouched(net), tail.listening() as heard:  # type: ignore[arg-type]
        net(torch.zeros(1, 64, n_mels), *net.initial_state(1))  # type: ignore[operator,attr-defined]
    return heard[0].shape[2]
