"""Windowed networks: one run per hop, on overlapping windows."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from streamsed.bundle import Manifest
from streamsed.models.base import Floats, Network, Outputs
from streamsed.models.model_stream import ModelStream, empty_outputs, join_outputs
from streamsed.models.steps import NetworkCall, Steps

# A clip-level posterior stands for the hop in the middle of its window: half of what a window has more than
# a hop lies behind that hop.
_CLIP_OVERLAP = 0.5


def _wait_frames(manifest: Manifest, overlap: float) -> int:
    """Frames at the end of a window that wait for the next windows, a multiple of time_stride."""
    window, hop = manifest.streaming.window_frames or 0, manifest.streaming.hop_frames or 0
    return round(overlap * (window - hop) / manifest.time_stride) * manifest.time_stride


def window_latency_frames(manifest: Manifest, overlap: float) -> int:
    """Input frames after its own last one that a posterior waits for, at most.

    A clip-level network decides by itself which part of a window it speaks for, whatever ``overlap`` says.
    """
    if manifest.graph is not None and manifest.graph.is_clip_level:
        overlap = _CLIP_OVERLAP
    return _wait_frames(manifest, overlap) + (manifest.streaming.hop_frames or 0) - manifest.time_stride


class WindowedStream(ModelStream):
    """One endless signal through a network that sees ``window_frames`` frames at once.

    A window ends every ``hop_frames`` frames. Windows that begin before the signal are filled with its first
    frame, or with the mirrored signal where frames are samples; they are used only where waiting for a whole
    one would break the stated latency. At a gap and at the end, one more window ends exactly there. What does
    not fill a last posterior is dropped (see :class:`~streamsed.models.causal.CausalStream`).

    Parameters
    ----------
    network : Network
    manifest : Manifest
    overlap : float
        In [0, 1]: part of the possible wait of window_frames - hop_frames after which a posterior is final.
    """

    _parts: list[Floats]  # received and not yet needed
    _received: int
    _frames: Floats
    _first: int  # number of the frame at the head of _frames
    _next_end: int
    _ran_to: int  # where the last window ended that was run
    _final: int  # frames whose posteriors were returned

    def __init__(self, network: Network, manifest: Manifest, overlap: float) -> None:
        super().__init__(network, manifest)
        self._window = manifest.streaming.window_frames or 0
        self._hop = manifest.streaming.hop_frames or 0
        self._wait = _wait_frames(manifest, overlap)
        self._has_samples = manifest.waveform is not None
        self.latency_frames = window_latency_frames(manifest, overlap)
        self._begin()

    def _begin(self) -> None:
        self._parts = []
        self._received = 0
        self._frames = np.empty((0, self._frame_size), np.float32)
        self._first = 0
        self._next_end = self._hop
        self._ran_to = 0
        self._final = 0

    def _advance(self, frames: Floats) -> Steps[Outputs]:
        # A copy, as the caller may use the memory of his frames again; joined only when a window is due.
        self._parts.append(frames.copy())
        self._received += len(frames)
        parts = [empty_outputs(self._manifest)]
        while self._next_end <= self._received:
            if self._next_end > self._wait:
                self._add_window(self._next_end, (yield from self._run(self._next_end)))
                parts.append(self._finish(self._next_end - self._wait))
            # The last window of the signal may end before the next regular one, so this one's frames stay.
            self._forget(self._next_end - self._window)
            self._next_end += self._hop
        return join_outputs(parts)

    def _run(self, end: int) -> Steps[Outputs]:
        """Run the window that ends at frame ``end``."""
        if self._parts:
            self._frames = np.concatenate([self._frames, *self._parts])
            self._parts = []
        self._ran_to = end
        begin = end - self._window
        frames = self._frames[max(begin, 0) - self._first : end - self._first]
        if begin < 0:
            frames = self._filled(frames, -begin)
        (answer,) = yield (NetworkCall(self._network, np.ascontiguousarray(frames[np.newaxis]), ()),)
        outputs: Outputs = answer.outputs
        return outputs

    def _filled(self, frames: Floats, count: int) -> Floats:
        """Return ``frames`` with so many before them."""
        if self._has_samples:
            # A repeated frame would buzz at the rate of the frames, and zeros would begin with a step.
            samples = np.pad(frames.reshape(-1), (count * self._frame_size, 0), mode="symmetric")
            return samples.reshape(-1, self._frame_size)
        return np.concatenate([np.repeat(frames[:1], count, axis=0), frames])

    @abstractmethod
    def _add_window(self, end: int, outputs: Outputs) -> None:
        """Take up what the window that ends at frame ``end`` gave."""

    @abstractmethod
    def _finish(self, end: int) -> Outputs:
        """Return the posteriors of the frames before ``end`` that were not returned yet."""

    def _forget(self, begin: int) -> None:
        """Drop the frames before number ``begin``."""
        count = min(max(0, begin - self._first), len(self._frames))
        self._frames = self._frames[count:]
        self._first += count

    def _end(self) -> Steps[Outputs]:
        end = self._received - self._received % self._stride
        if end > self._ran_to:
            self._add_window(end, (yield from self._run(end)))
        outputs = self._finish(end)
        self._begin()
        return outputs

    def _forget_due(self) -> None:
        self._begin()


class FrameWindows(WindowedStream):
    """Windows of a frame-level network: outputs are combined in the overlap.

    The posterior of a frame is the mean over the windows that have it, weighted by a triangle, as the middle
    of a window has the most context. It becomes final when ``overlap`` of the possible wait has passed: with
    1, when no later window will have it; with 0, as soon as the first one does. A signal of exactly one
    window with ``overlap=1`` thus gives exactly what the network gives.
    """

    _sums: Floats
    _weights: Floats

    def __init__(self, network: Network, manifest: Manifest, overlap: float) -> None:
        super().__init__(network, manifest, overlap)
        rows = self._window // self._stride
        ramp = np.arange(1, rows + 1, dtype=np.float32)
        self._triangle = np.minimum(ramp, ramp[::-1])

    def _begin(self) -> None:
        super()._begin()
        columns = len(self._manifest.labels) + ("confidence" in self._manifest.outputs)
        self._sums = np.zeros((0, columns), np.float32)
        self._weights = np.zeros(0, np.float32)

    def _add_window(self, end: int, outputs: Outputs) -> None:
        columns = [outputs.posteriors[0]]
        if outputs.confidence is not None:
            columns.append(outputs.confidence[0][:, np.newaxis])
        values = np.concatenate(columns, axis=1)
        missing = (end - self._final) // self._stride - len(self._weights)
        if missing > 0:
            self._sums = np.concatenate([self._sums, np.zeros((missing, self._sums.shape[1]), np.float32)])
            self._weights = np.concatenate([self._weights, np.zeros(missing, np.float32)])
        begin = end - self._window
        skip = max(0, (self._final - begin) // self._stride)
        at = max(0, (begin - self._final) // self._stride)
        rows = len(values) - skip
        self._sums[at : at + rows] += self._triangle[skip:, np.newaxis] * values[skip:]
        self._weights[at : at + rows] += self._triangle[skip:]

    def _finish(self, end: int) -> Outputs:
        rows = max(0, (end - self._final) // self._stride)
        values = self._sums[:rows] / self._weights[:rows, np.newaxis]
        self._sums, self._weights = self._sums[rows:].copy(), self._weights[rows:].copy()
        self._final += rows * self._stride
        n_labels = len(self._manifest.labels)
        has_confidence = "confidence" in self._manifest.outputs
        return Outputs(
            np.ascontiguousarray(values[:, :n_labels]), values[:, n_labels].copy() if has_confidence else None
        )


class ClipWindows(WindowedStream):
    """Windows of a clip-level network: the posterior of a window stands for the hop in its middle.

    That hop is where what the network says about a window is true without bias: held over the newest hop
    instead, onsets and offsets would come out (window - hop) / 2 too late, at the same moment. Every
    frame thus has the posterior of the window whose middle is nearest; the first window also speaks for what
    is before its middle, and the one that ends with the signal for what is behind.

    Parameters
    ----------
    network : Network
    manifest : Manifest
    """

    _posteriors: Floats

    def __init__(self, network: Network, manifest: Manifest) -> None:
        super().__init__(network, manifest, _CLIP_OVERLAP)

    def _begin(self) -> None:
        super()._begin()
        self._posteriors = np.empty((1, len(self._manifest.labels)), np.float32)

    def _add_window(self, end: int, outputs: Outputs) -> None:
        self._posteriors = outputs.posteriors[0, -1:]

    def _finish(self, end: int) -> Outputs:
        rows = max(0, (end - self._final) // self._stride)
        self._final += rows * self._stride
        return Outputs(np.repeat(self._posteriors, rows, axis=0), None)
