"""Networks that were made elsewhere: their tensors become those of the exported graph."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from streamsed.bundle import Activation, InputLayout, Manifest, OutputLayout
from streamsed.errors import BundleError
from streamsed.models.base import Floats, Graph, Outputs, State, has_free_batch

# Rounding may leave [0, 1] by so much; what leaves it further is no posterior.
TOLERANCE = 1e-4
# By how much a window's posteriors may depend on its company in a run, which rounding explains.
_LANE_TOLERANCE = 1e-5


class ForeignNetwork:
    """Windows of samples or log-mel frames in, posteriors of the labels that are kept out.

    Rows of a frame-level output are brought to the posterior frames of the bundle: each frame takes the row
    that its middle falls into. The one row of a clip-level output stands for all frames of the window.

    Parameters
    ----------
    graph : Graph
    manifest : Manifest
        With ``graph``.
    where : str
        How messages call the file.

    Raises
    ------
    BundleError
        If the graph has more inputs than one, or no output of that name.

    Attributes
    ----------
    takes_lanes : bool
        Whether the graph has a free batch axis and keeps what is on it apart, which is tried on noise.
    """

    def __init__(self, graph: Graph, manifest: Manifest, where: str) -> None:
        layout = manifest.graph
        assert layout is not None  # what makes a network foreign
        if graph.inputs is not None and len(graph.inputs) != 1:
            names = [item.name for item in graph.inputs]
            raise BundleError(f"{where}: inputs: expected one, got {names}")
        if graph.output_names is not None and layout.output not in graph.output_names:
            names = list(graph.output_names)
            raise BundleError(f"{where}: outputs: expected {layout.output!r} among them, got {names}")
        self.device = graph.device
        self._graph = graph
        frames = manifest.streaming.window_frames or manifest.time_stride
        self._window_shape = frames, manifest.frame_shape[1]
        self._layout = layout
        self._where = where
        self._stride = manifest.time_stride
        self._frame_seconds = manifest.clock.frame_seconds
        self._n_labels = len(manifest.labels)
        self._columns = None if layout.columns is None else np.array(layout.columns, np.intp)

    @functools.cached_property
    def takes_lanes(self) -> bool:
        """Try whether two windows give together what they give alone: some graphs normalise over their batch."""
        layout = self._layout
        batched = layout.input_layout.startswith("B") and layout.output_layout.startswith("B")
        if not batched or not has_free_batch(self._graph, default=False):
            return False
        noise = np.random.default_rng(0).normal(0.0, 0.1, (2, *self._window_shape)).astype(np.float32)
        together = self.run(noise, ())[0].posteriors
        alone = np.concatenate([self.run(noise[lane : lane + 1], ())[0].posteriors for lane in range(2)])
        return together.shape == alone.shape and bool(np.abs(together - alone).max() <= _LANE_TOLERANCE)

    def run(self, frames: Floats, state: State) -> tuple[Outputs, State]:
        """Map input frames, shape (B, T, bands or samples), to posteriors; there is no state."""
        name = self._layout.output
        found = self._graph.call((arrange_input(frames, self._layout.input_layout),), (name,))[name]
        scores = arrange_output(found, self._layout.output_layout, self._where)
        posteriors = self._posteriors(scores)
        count = frames.shape[1] // self._stride
        if posteriors.shape[1] != count:
            posteriors = posteriors[:, self._rows(posteriors.shape[1], count)]
        return Outputs(posteriors, None), state

    def _posteriors(self, scores: Floats) -> Floats:
        classes = scores.shape[2]
        needed = self._n_labels if self._columns is None else int(self._columns.max()) + 1
        if classes < needed or (self._columns is None and classes != needed):
            raise BundleError(f"{self._where}: classes: expected {needed}, got {classes}")
        posteriors = activate(scores, self._layout.activation)
        if self._columns is not None:
            posteriors = posteriors[:, :, self._columns]
        low, high = posteriors.min(initial=0.0), posteriors.max(initial=0.0)
        # NaN fails the comparison.
        if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
            raise BundleError(
                f"{self._where}: {self._layout.output}: expected posteriors in [0, 1] with activation "
                f"{self._layout.activation!r}, got values from {low:g} to {high:g}"
            )
        return np.clip(posteriors, 0.0, 1.0).astype(np.float32, copy=False)

    def _rows(self, rows: int, count: int) -> npt.NDArray[np.intp]:
        """Return the row that each of ``count`` posterior frames takes."""
        middles = np.arange(count) + 0.5
        row_seconds = self._layout.row_seconds
        if row_seconds is None:
            row_seconds = count * self._frame_seconds / rows
        return np.minimum((middles * (self._frame_seconds / row_seconds)).astype(np.intp), rows - 1)


def arrange_input(frames: Floats, layout: InputLayout) -> Floats:
    """Return frames, shape (B, T, bands or samples), as the graph wants them, copying only to transpose."""
    if "N" in layout:
        samples = frames.reshape(len(frames), -1)
        if layout == "N":
            alone: Floats = samples[0]
            return alone
        return samples[:, np.newaxis] if layout == "B1N" else samples
    if layout.endswith("MT"):
        frames = np.ascontiguousarray(frames.transpose(0, 2, 1))
    return frames[:, np.newaxis] if "1" in layout else frames


def arrange_output(scores: Floats, layout: OutputLayout, where: str) -> Floats:
    """Return scores of the graph with shape (B, T', K).

    Raises
    ------
    BundleError
        If they have another number of axes than ``layout``.
    """
    if scores.ndim != len(layout):
        raise BundleError(f"{where}: output: expected axes {layout}, got shape {scores.shape}")
    if layout == "BKT":
        return scores.transpose(0, 2, 1)
    if layout == "BK":
        return scores[:, np.newaxis]
    return scores.reshape((1,) * (3 - scores.ndim) + scores.shape)


def activate(scores: Floats, activation: Activation) -> Floats:
    """Make posteriors of scores; the classes are the last axis."""
    if activation == "none":
        return scores
    posteriors: Floats
    if activation == "sigmoid":
        # 1 / (1 + exp(-x)) overflows for x << 0.
        posteriors = np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * scores))
    else:
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        posteriors = powers / powers.sum(axis=-1, keepdims=True)
    return posteriors
