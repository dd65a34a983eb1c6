"""What every network offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
State: TypeAlias = tuple[Floats, ...]
Provider: TypeAlias = Literal["cpu", "cuda", "auto"]
Device: TypeAlias = Literal["cpu", "cuda"]


class Outputs(NamedTuple):
    """Posteriors in [0, 1] and, where the model has it, the confidence of each posterior frame.

    Shapes are (B, T', K) and (B, T') for a network, (T', K) and (T',) for a stream.
    """

    posteriors: Floats
    confidence: Floats | None


class TensorInfo(NamedTuple):
    """An input as the graph declares it; a size that is free is None."""

    name: str
    shape: tuple[int | None, ...]
    type: str


class Graph(Protocol):
    """The tensors of a file, whatever they mean; const, and safe to share between threads.

    Attributes
    ----------
    inputs : tuple of TensorInfo or None
        None where the format does not say.
    output_names : tuple of str or None
        None where the format does not say.
    device : {"cpu", "cuda"}
        Where it computes.
    """

    device: Device
    inputs: tuple[TensorInfo, ...] | None
    output_names: tuple[str, ...] | None

    def call(self, inputs: Sequence[Floats], outputs: Sequence[str] | None = None) -> Mapping[str, Floats]:
        """Compute the outputs of these names, all by default.

        Raises
        ------
        BundleError
            If the graph fails.
        """


class Network(Protocol):
    """A pure function (frames, state) -> (outputs, state); const, and safe to share between threads.

    Attributes
    ----------
    takes_lanes : bool
        Whether one run may have the frames of several signals, B > 1.
    device : {"cpu", "cuda"}
        Where it computes.
    """

    device: Device

    @property
    def takes_lanes(self) -> bool:
        """See the class."""

    def run(self, frames: Floats, state: State) -> tuple[Outputs, State]:
        """Map input frames, shape (B, T, bands or samples), and the states to outputs and new states."""


def has_free_batch(graph: Graph, *, default: bool) -> bool:
    """Say whether the first axis of every input is free; ``default`` where the format does not say."""
    if graph.inputs is None:
        return default
    return all(len(item.shape) > 0 and item.shape[0] is None for item in graph.inputs)
