"""Causal networks: explicit state from call to call."""

from __future__ import annotations

import numpy as np

from streamsed.bundle import Manifest
from streamsed.models.base import Floats, Network, Outputs, State
from streamsed.models.model_stream import ModelStream, empty_outputs, zero_state
from streamsed.models.steps import NetworkCall, Steps


class CausalStream(ModelStream):
    """One endless signal through a causal network.

    Frames wait until ``time_stride`` of them are there. What is then left at a gap or at the end is dropped:
    at most ``time_stride - 1`` frames, less than one posterior, just as a pooling layer does with a whole
    recording, so that streamed and offline posteriors have the same shape.

    A network with look-ahead L gives the posteriors of frame t when it has seen frame t + L. Its first
    L / time_stride outputs precede the signal and are discarded; at a gap or at the end the last frame is
    repeated L times to get the outputs that are due.
    """

    _state: State
    _waiting: Floats
    _last: Floats | None
    _discard: int

    def __init__(self, network: Network, manifest: Manifest) -> None:
        super().__init__(network, manifest)
        self.latency_frames = manifest.look_ahead_frames
        self._begin()

    def _begin(self) -> None:
        self._state = zero_state(self._manifest)
        self._waiting = np.empty((0, self._frame_size), np.float32)
        self._last = None
        self._discard = self.latency_frames // self._stride

    def _advance(self, frames: Floats) -> Steps[Outputs]:
        if len(self._waiting):
            frames = np.concatenate([self._waiting, frames])
        whole = len(frames) - len(frames) % self._stride
        # Copies, as the caller may use the memory of his frames again.
        if whole < len(frames) or len(self._waiting):
            self._waiting = frames[whole:].copy()
        if whole == 0:
            return empty_outputs(self._manifest)
        if self.latency_frames:
            self._last = frames[whole - 1 : whole].copy()
        return (yield from self._run(frames if whole == len(frames) else frames[:whole]))

    def _run(self, frames: Floats) -> Steps[Outputs]:
        (answer,) = yield (NetworkCall(self._network, frames[np.newaxis], self._state),)
        outputs, self._state = answer.outputs, answer.state
        posteriors = outputs.posteriors[0]
        confidence = None if outputs.confidence is None else outputs.confidence[0]
        if self._discard == 0:
            return Outputs(posteriors, confidence)
        skip = min(self._discard, len(posteriors))
        self._discard -= skip
        return Outputs(posteriors[skip:], None if confidence is None else confidence[skip:])

    def _end(self) -> Steps[Outputs]:
        self._waiting = self._waiting[:0]
        if self.latency_frames == 0 or self._last is None:
            return empty_outputs(self._manifest)
        outputs = yield from self._run(np.repeat(self._last, self.latency_frames, axis=0))
        self._forget_due()
        return outputs

    def _forget_due(self) -> None:
        self._waiting = self._waiting[:0]
        self._discard, self._last = self.latency_frames // self._stride, None
