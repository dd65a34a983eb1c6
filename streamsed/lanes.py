"""Many streams handled together, each in a lane of its own: one call without the GIL, on the CPU or on a GPU.

A lane gives what the stage of a single stream gives (:class:`~streamsed.frontend.OnlineLogMel`,
:class:`~streamsed.postprocess.OnlineMedianFilter`, :func:`~streamsed.postprocess.fuse`), whatever the other lanes get.
docs/cuda.md says what runs where and how memory of the GPU is handed over.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streamsed import _core
from streamsed.config import LogMelConfig, require
from streamsed.errors import ConfigError
from streamsed.frontend import LogMel

__all__ = [
    "FusionLanes",
    "LaneInputError",
    "LogMelLanes",
    "MedianLanes",
    "Provider",
    "fuse_lanes",
    "resolve_provider",
]

Provider = Literal["cpu", "cuda", "auto"]

# A NumPy array, or a float32 tensor with __dlpack__ or __cuda_array_interface__.
Tensor = Any
EdgeMode = Literal["reflect", "nearest", "mirror", "constant"]

_log = logging.getLogger(__name__)
_fallback_is_logged = False


class LaneInputError(ConfigError):
    """Some lanes got values that cannot be used; the others have gone on.

    Attributes
    ----------
    complaints : dict of int to str
        What is wrong, by lane number. These lanes are as they were before the call.
    outputs : list
        What the call would have returned, with nothing (no rows) for the lanes in ``complaints``.
    """

    def __init__(self, complaints: dict[int, str], outputs: list[Any]) -> None:
        self.complaints = complaints
        self.outputs = outputs
        more = f" (and {len(complaints) - 1} more lanes)" if len(complaints) > 1 else ""
        super().__init__(next(iter(complaints.values())) + more)


def resolve_provider(provider: Provider) -> Literal["cpu", "cuda"]:
    """Return the provider that is used: "auto" is "cuda" where there is a GPU.

    Raises
    ------
    ConfigError
        For "cuda" without a usable GPU, saying why there is none, or an unknown name.
    """
    global _fallback_is_logged
    require(provider in ("cpu", "cuda", "auto"), "provider", "cpu, cuda or auto", provider)
    if provider == "cuda":
        _core.require_cuda()
    if provider != "auto":
        return provider
    # The emulation is a device for tests: nobody gets it without asking.
    if _core.cuda_build() != "emulated" and _core.cuda_device_count() > 0:
        return "cuda"
    if not _fallback_is_logged:
        _fallback_is_logged = True
        _log.info("provider auto: cpu, as there is %s", _core.cuda_describe())
    return "cpu"


class LogMelLanes:
    """Log-mel frames of many streams of one front-end.

    Parameters
    ----------
    config : LogMelConfig or LogMel
        The same for all lanes. Objects made from one :class:`~streamsed.frontend.LogMel` share its tables.
    lanes : int
        How many streams; lane numbers are 0 to ``lanes`` - 1.
    provider : {"cpu", "cuda", "auto"}
        On the CPU every lane has the bits of an :class:`~streamsed.OnlineLogMel`, on a GPU its values to 1e-4 in the
        log domain. "auto" takes the GPU if there is one, and otherwise logs once that there is none.

    Attributes
    ----------
    latency_samples : int
        Samples after a frame's first one before it is known.

    Raises
    ------
    ConfigError
        If the configuration cannot be used or asks for centred frames; "cuda" without a usable GPU.
    GpuOutOfMemory
        If the GPU has not enough memory for the lanes.
    StateError
        From a second thread inside a running call.
    """

    def __init__(self, config: LogMelConfig | LogMel, lanes: int, provider: Provider = "cpu") -> None:
        shared = config if isinstance(config, LogMel) else LogMel(config)
        self.config = shared.config
        self.provider = resolve_provider(provider)
        self._core = _core.LogMelLanes(shared._plan, lanes, self.provider)
        self.latency_samples: int = self._core.latency_samples

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        return self._core.lanes

    def process(
        self,
        chunks: Sequence[Tensor] | Tensor,
        lanes: Sequence[int] | None = None,
        *,
        lengths: Sequence[int] | None = None,
        out: Tensor | None = None,
    ) -> list[NDArray[np.float32]]:
        """Take samples of some lanes; return the frames that they complete.

        Parameters
        ----------
        chunks : sequence of arrays (n_i,), or one array or tensor (B, n)
            Samples of ``lanes``: float32, float64 or int16 NumPy arrays, or float32 tensors with ``__dlpack__`` or
            ``__cuda_array_interface__``, which are not copied. Lanes that are not named stay as they are.
        lanes : sequence of int, optional
            Which lanes, each at most once; by default all of them in order.
        lengths : sequence of int, optional
            How many samples of each chunk count; by default all.
        out : array or tensor, shape (B, T, n_mels), float32, optional
            Where the frames go, on the CPU or the GPU; T must be enough for the most that a lane completes. The call
            returns when they are there.

        Returns
        -------
        list of ndarray, shape (T_i, n_mels), float32
            One for each chunk; parts of ``out`` where it is given.

        Raises
        ------
        LaneInputError
            NaN or Inf in some lanes: those are left as they were, the others have gone on and have their frames in
            ``outputs`` of the exception.
        ConfigError
            What cannot be used as a whole, with nothing changed: lane numbers out of range or twice, a wrong type or
            shape.
        StateError
            If a lane was flushed, with nothing changed.
        """
        results, complaints = self._core.process(chunks, _numbers(lanes), _numbers(lengths), out)
        return _delivered(results, complaints, lanes, out)

    def skip(self, lane: int, missing_samples: int) -> int:
        """Advance a lane's clock over lost audio; return the number of frames that do not exist."""
        return self._core.skip(lane, missing_samples)

    def flush(self, lane: int) -> NDArray[np.float32]:
        """End a lane's stream; an unfinished frame is no frame, so (0, n_mels). Then it can only be reset."""
        self._core.flush(lane)
        return np.empty((0, self.config.n_mels), np.float32)

    def reset(self, lanes: Sequence[int] | None = None) -> None:
        """Make new streams of these lanes, or of all."""
        self._core.reset(_numbers(lanes))

    def position_samples(self, lane: int) -> int:
        """Samples that a lane has taken in, lost ones counted."""
        return self._core.position_samples(lane)

    def position_frames(self, lane: int) -> int:
        """Number of a lane's next frame."""
        return self._core.position_frames(lane)


class MedianLanes:
    """Running medians along time of many streams with the same widths.

    Parameters
    ----------
    widths : sequence of int
        Odd window of each class in frames.
    lanes : int
        How many streams; lane numbers are 0 to ``lanes`` - 1.
    provider : {"cpu", "cuda", "auto"}
        Every lane has the bits of an :class:`~streamsed.postprocess.OnlineMedianFilter` on all of them.
    mode : {"reflect", "nearest", "mirror", "constant"}
        Continuation at both ends, as in :func:`scipy.ndimage.median_filter`.
    cval : float
        Value outside for "constant".

    Attributes
    ----------
    latency_frames : int
        Frames that a row waits for: half of the widest window.

    Raises
    ------
    ConfigError
        An even width, an unknown mode; "cuda" without a usable GPU.
    GpuOutOfMemory
        If the GPU has not enough memory for the lanes.
    StateError
        From a second thread inside a running call.
    """

    def __init__(
        self,
        widths: Sequence[int],
        lanes: int,
        provider: Provider = "cpu",
        *,
        mode: EdgeMode = "reflect",
        cval: float = 0.0,
    ) -> None:
        self.provider = resolve_provider(provider)
        self._core = _core.MedianLanes([int(width) for width in widths], mode, cval, lanes, self.provider)
        self.latency_frames: int = self._core.latency_frames

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        return self._core.lanes

    @property
    def widths(self) -> tuple[int, ...]:
        """Window of each class in frames."""
        return self._core.widths

    def process(
        self,
        chunks: Sequence[Tensor] | Tensor,
        lanes: Sequence[int] | None = None,
        *,
        lengths: Sequence[int] | None = None,
        out: Tensor | None = None,
    ) -> list[NDArray[np.float32]]:
        """Take posteriors of some lanes; return the smoothed rows that they complete.

        Parameters
        ----------
        chunks : sequence of arrays (T_i, K), or one array or tensor (B, T, K)
            Float NumPy arrays or float32 tensors of ``lanes``; lanes that are not named stay as they are.
        lanes, lengths, out
            As in :meth:`LogMelLanes.process`; ``out`` is (B, T, K).

        Returns
        -------
        list of ndarray, shape (T_i, K), float32
            One for each chunk; parts of ``out`` where it is given.

        Raises
        ------
        LaneInputError
            NaN in some lanes: those are left as they were, the others have gone on.
        ConfigError, StateError
            As in :meth:`LogMelLanes.process`, with nothing changed.
        """
        results, complaints = self._core.process(chunks, _numbers(lanes), _numbers(lengths), out)
        return _delivered(results, complaints, lanes, out)

    def flush(
        self, lanes: Sequence[int] | None = None, *, out: Tensor | None = None
    ) -> list[NDArray[np.float32]]:
        """Return the last rows of these lanes, or of all, continued by ``mode``; then they can only be reset."""
        return _delivered(self._core.flush(_numbers(lanes), out), [], lanes, out)

    def reset(self, lanes: Sequence[int] | None = None) -> None:
        """Make new streams of these lanes, or of all."""
        self._core.reset(_numbers(lanes))


class FusionLanes:
    """Fused ensembles of many streams; has no state but the memory that it works in.

    Parameters
    ----------
    provider : {"cpu", "cuda", "auto"}
        Every lane has the bits of :func:`~streamsed.postprocess.fuse` on all of them.

    Raises
    ------
    ConfigError
        "cuda" without a usable GPU.
    StateError
        From a second thread inside a running call.
    """

    def __init__(self, provider: Provider = "cpu") -> None:
        self.provider = resolve_provider(provider)
        self._core = _core.FusionLanes(self.provider)

    def process(
        self,
        posteriors: Sequence[Tensor] | Tensor,
        confidences: Sequence[Tensor] | Tensor | None = None,
        weights: NDArray[np.floating[Any]] | Sequence[float] | None = None,
        *,
        lengths: Sequence[int] | None = None,
        out: Tensor | None = None,
    ) -> list[NDArray[np.float32]]:
        """Fuse the posteriors of the members of an ensemble.

        Parameters
        ----------
        posteriors : array or tensor (M, B, T, K), or M of them (B, T, K)
            Of each member those of B lanes; the members' need not lie together. At most 64 members on a GPU.
        confidences : array or tensor (M, B, T), or M of them (B, T), optional
            1 everywhere by default. Where they vanish, weights alone count.
        weights : array-like, shape (M,) or (B, M), optional
            Of all lanes, or of each its own: a member that a lane is without has 0 there. Equal by default.
        lengths : sequence of int, optional
            How many rows of each lane count; by default T.
        out : array or tensor, shape (B, T, K), float32, optional
            Where the fused rows go; what is behind the lengths stays as it is.

        Returns
        -------
        list of ndarray, shape (T_i, K), float32
            One for each lane; parts of ``out`` where it is given.

        Raises
        ------
        LaneInputError
            Posteriors or confidences that cannot be used in some lanes; ``outputs`` has the others.
        ConfigError
            Wrong shapes, types or weights.
        """
        given = None if weights is None else np.asarray(weights, np.float32)
        results, complaints = self._core.process(posteriors, confidences, given, _numbers(lengths), out)
        return _delivered(results, complaints, None, out)


def fuse_lanes(
    posteriors: Sequence[Tensor] | Tensor,
    confidences: Sequence[Tensor] | Tensor | None = None,
    weights: NDArray[np.floating[Any]] | Sequence[float] | None = None,
    *,
    lengths: Sequence[int] | None = None,
    out: Tensor | None = None,
    provider: Provider = "cpu",
) -> list[NDArray[np.float32]]:
    """Fuse once, as :meth:`FusionLanes.process`; who fuses again and again keeps a :class:`FusionLanes`."""
    return FusionLanes(provider).process(posteriors, confidences, weights, lengths=lengths, out=out)


def _numbers(values: Sequence[int] | None) -> list[int] | None:
    return None if values is None else [int(value) for value in values]


def _delivered(
    results: list[Any], complaints: list[tuple[int, str]], lanes: Sequence[int] | None, out: Tensor | None
) -> list[NDArray[np.float32]]:
    if out is not None:
        results = [out[i, :rows] for i, rows in enumerate(results)]
    if not complaints:
        return results
    for i, _ in complaints:
        results[i] = results[i][:0]
    raise LaneInputError({i if lanes is None else int(lanes[i]): text for i, text in complaints}, results)
