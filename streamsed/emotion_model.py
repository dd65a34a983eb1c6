"""From functionals to levels of valence, arousal and dominance: a voice activity gate and an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.bundle import EmotionBundle, FileEntry
from streamsed.config import require
from streamsed.errors import BundleError
from streamsed.functionals import LogMelFunctionals
from streamsed.models import Device, Graph, Provider, load_graph
from streamsed.types import EMOTION_DIMENSIONS

Floats = npt.NDArray[np.float32]


class Levels(NamedTuple):
    """What the ensemble says of B windows.

    Attributes
    ----------
    mean, spread : ndarray, shape (B, 3), float32
        Mean, in [0, 1], and standard deviation over the members.
    """

    mean: Floats
    spread: Floats


class EmotionModel:
    """The networks of a bundle; const, and safe to share between threads.

    Parameters
    ----------
    bundle : EmotionBundle
    provider, num_threads
        See :func:`streamsed.load`.

    Attributes
    ----------
    functionals : LogMelFunctionals
    member_count : int
    device : {"cpu", "cuda"}
        Where the networks compute.

    Raises
    ------
    BundleError
        If a graph cannot be loaded or does not do what the bundle says.
    ConfigError
        If the provider is unknown or not there.
    """

    def __init__(
        self, bundle: EmotionBundle, provider: Provider = "cpu", num_threads: int | None = None
    ) -> None:
        require(provider in ("cpu", "cuda", "auto"), "provider", "cpu, cuda or auto", provider)
        require(num_threads is None or num_threads > 0, "num_threads", "an integer > 0", num_threads)
        self.functionals = LogMelFunctionals(bundle.functionals)
        count = len(self.functionals.names)
        if bundle.feature_count != count:
            raise BundleError(
                f"bundle {bundle.path}: feature_count: expected {count}, what these functionals are, "
                f"got {bundle.feature_count}"
            )

        def load(entry: FileEntry, outputs: int) -> Graph:
            where = f"bundle {bundle.name}: {entry.file}"
            graph = load_graph(bundle.read_bytes(entry), where, "onnx", provider, num_threads)
            _try(graph, count, outputs, where)
            return graph

        self._gate = load(bundle.gate, 1)
        self._members = [load(entry, len(EMOTION_DIMENSIONS)) for entry in bundle.members]
        self.member_count = len(self._members)
        self.device: Device = self._gate.device

    def speech(self, functionals: Floats) -> Floats:
        """Return the score of the voice activity gate, in [0, 1], shape (B,), for functionals (B, D)."""
        return np.clip(_only(self._gate, functionals)[:, 0], 0.0, 1.0)

    def member_levels(self, functionals: Floats, members: int | None = None) -> Floats:
        """Return what the first ``members`` networks, all by default, say: (members, B, 3), in [0, 1]."""
        chosen = self._members[:members]
        return np.clip(np.stack([_only(graph, functionals) for graph in chosen]), 0.0, 1.0)

    def levels(self, functionals: Floats, members: int | None = None) -> Levels:
        """Return mean and spread of :meth:`member_levels`."""
        each = self.member_levels(functionals, members)
        return Levels(each.mean(axis=0), each.std(axis=0))


def _only(graph: Graph, functionals: Floats) -> Floats:
    (output,) = graph.call([functionals]).values()
    return output


def _try(graph: Graph, features: int, outputs: int, where: str) -> None:
    """Raise :class:`BundleError` unless a graph maps (B, features) to (B, outputs)."""
    for rows in (1, 2):
        found: Sequence[Floats] = list(graph.call([np.zeros((rows, features), np.float32)]).values())
        shapes = [array.shape for array in found]
        if shapes != [(rows, outputs)]:
            raise BundleError(f"{where}: expected one output of shape ({rows}, {outputs}), got {shapes}")
