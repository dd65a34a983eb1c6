"""What every model stream offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from streamsed.bundle import Manifest
from streamsed.errors import ConfigError, StateError
from streamsed.models.base import Floats, Network, Outputs, State
from streamsed.models.steps import Steps, run_alone
from streamsed.ownership import OneThread


class ModelStream(ABC):
    """The stage contract for one network on one endless signal; one owner.

    Parameters
    ----------
    network : Network
    manifest : Manifest
        Of the bundle that has the network.

    Attributes
    ----------
    latency_frames : int
        Input frames after its own last one that a posterior waits for, at most.
    """

    latency_frames: int

    def __init__(self, network: Network, manifest: Manifest) -> None:
        self._network = network
        self._manifest = manifest
        self._stride = manifest.time_stride
        _, self._frame_size = manifest.frame_shape
        self._one_thread = OneThread(type(self).__name__)
        self._finished = False

    def process(self, frames: Floats) -> Outputs:
        """Take input frames, shape (T, bands or samples), any T; return what became final.

        Raises
        ------
        ConfigError
            If ``frames`` has another type or shape.
        StateError
            After ``flush``, and from a second thread inside a running call.
        """
        return run_alone(self.process_steps(frames))

    def process_steps(self, frames: Floats) -> Steps[Outputs]:
        """As :meth:`process`, for :func:`~streamsed.models.steps.run_together`."""
        with self._one_thread:
            self._check_open("process")
            sane = frames.ndim == 2 and frames.shape[1] == self._frame_size and frames.dtype == np.float32
            if not sane:
                raise ConfigError(
                    f"frames: expected float32 with shape (T, {self._frame_size}), "
                    f"got {frames.dtype} {frames.shape}"
                )
            return (yield from self._advance(frames))

    def gap(self) -> Outputs:
        """Return what is due before a hole in the signal, and be ready for what comes after it.

        Raises
        ------
        StateError
            As :meth:`process`.
        """
        return run_alone(self.gap_steps())

    def gap_steps(self) -> Steps[Outputs]:
        """As :meth:`gap`, for :func:`~streamsed.models.steps.run_together`."""
        with self._one_thread:
            self._check_open("gap")
            return (yield from self._end())

    def rejoin(self) -> None:
        """Go on after frames that were not given; what was due before them is not given any more.

        The state of a causal network is kept, as at a gap; a windowed one starts anew.

        Raises
        ------
        StateError
            As :meth:`process`.
        """
        with self._one_thread:
            self._check_open("rejoin")
            self._forget_due()

    def flush(self) -> Outputs:
        """Return what is due at the end; afterwards only :meth:`reset` is legal.

        Raises
        ------
        StateError
            As :meth:`process`.
        """
        return run_alone(self.flush_steps())

    def flush_steps(self) -> Steps[Outputs]:
        """As :meth:`flush`, for :func:`~streamsed.models.steps.run_together`."""
        with self._one_thread:
            self._check_open("flush")
            self._finished = True
            return (yield from self._end())

    def reset(self) -> None:
        """Become equal to a new stream."""
        with self._one_thread:
            self._finished = False
            self._begin()

    def _check_open(self, verb: str) -> None:
        if self._finished:
            raise StateError(f"{verb}: expected a stream that was not flushed; call reset() first")

    @abstractmethod
    def _begin(self) -> None:
        """Set the state of a new stream."""

    @abstractmethod
    def _advance(self, frames: Floats) -> Steps[Outputs]:
        """Return what these frames make final."""

    @abstractmethod
    def _end(self) -> Steps[Outputs]:
        """Return what is due at the end of a piece of signal without holes, and be ready for the next one."""

    @abstractmethod
    def _forget_due(self) -> None:
        """Be ready for the next piece of signal as after :meth:`_end`, without computing what is due."""


def zero_state(manifest: Manifest) -> State:
    """Return the state at the beginning of a stream."""
    return tuple(np.zeros(entry.shape, np.float32) for entry in manifest.state)


def empty_outputs(manifest: Manifest) -> Outputs:
    """Return outputs of no frames."""
    confidence = np.empty(0, np.float32) if "confidence" in manifest.outputs else None
    return Outputs(np.empty((0, len(manifest.labels)), np.float32), confidence)


def join_outputs(parts: list[Outputs]) -> Outputs:
    """Concatenate outputs of a stream in time; at least one part."""
    if len(parts) == 1:
        return parts[0]
    confidences = [part.confidence for part in parts if part.confidence is not None]
    return Outputs(
        np.concatenate([part.posteriors for part in parts]),
        np.concatenate(confidences) if confidences else None,
    )
