"""Many streams handled together, each in a lane of its own: one call without the GIL, on the CPU or on a GPU.

A lane gives what the stage of a single stream gives (:class:`streamsed.OnlineLogMel`,
:class:`streamsed.postprocess.OnlineMedianFilter`, :func:`streamsed.postprocess.fuse`), whatever the other lanes get.
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

__all__ = ["LaneInputError", "LogMelLanes", "Provider", "resolve_provider"]

Provider = Literal["cpu", "cuda", "auto"]

# What a chunk, or a tensor of all chunks, may be: see the module's functions.
Tensor = Any

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
