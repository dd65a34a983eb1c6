"""The one place where arrays of the outside become float32 samples of shape (n, channels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import ConfigError

ChannelSelection: TypeAlias = Literal["mix"] | int | Sequence[int]

_FLOAT32 = np.dtype(np.float32)
_INT16 = np.dtype(np.int16)
_KNOWN_TYPES = frozenset((_FLOAT32, np.dtype(np.float64), _INT16))

# More channels than any device has: an array (channels, n) given by mistake is caught by it.
MAX_CHANNELS = 256


def as_samples(chunk: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return ``chunk`` as float32 with shape (n, channels).

    Parameters
    ----------
    chunk : array_like, shape (n,) or (n, channels)
        float32 or float64 with full scale 1, or int16 (full scale 32768); n may be 0.

    Raises
    ------
    ConfigError
        Another type or shape.
    """
    array: npt.NDArray[Any] = np.asarray(chunk)
    # An empty list has no type to speak of.
    if array.dtype not in _KNOWN_TYPES and array.size > 0:
        raise ConfigError(f"chunk: expected float32, float64 or int16, got {str(array.dtype)!r}")
    if not (array.ndim == 1 or (array.ndim == 2 and 1 <= array.shape[1] <= MAX_CHANNELS)):
        raise ConfigError(
            f"chunk: expected shape (n,) or (n, channels) with 1 to {MAX_CHANNELS} channels, "
            f"got {array.shape}"
        )
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.dtype == _FLOAT32:
        return array
    if array.dtype == _INT16:
        return array.astype(np.float32) * np.float32(1 / 32768)
    # What float32 cannot hold becomes Inf, which the stream reports.
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def check_selection(selection: ChannelSelection, channels: int) -> None:
    """Raise ConfigError unless ``selection`` fits a signal of ``channels`` channels."""
    if isinstance(selection, str):
        require(selection == "mix", "channel", "'mix', a channel number or a list of them", selection)
        return
    numbers = [selection] if isinstance(selection, (int, np.integer)) else list(selection)
    sane = bool(numbers) and all(isinstance(n, (int, np.integer)) and 0 <= n < channels for n in numbers)
    require(
        sane, "channel", f"numbers in [0, {channels - 1}] of a signal with {channels} channels", selection
    )


def mix_down(
    samples: npt.NDArray[np.float32], selection: ChannelSelection = "mix"
) -> npt.NDArray[np.float32]:
    """Make one channel of several.

    Parameters
    ----------
    samples : ndarray, shape (n, channels)
    selection : "mix", int or sequence of int
        The mean of all channels, one of them (from 0), or the mean of several.

    Returns
    -------
    ndarray, shape (n,), float32

    Raises
    ------
    ConfigError
        A channel that is not there.
    """
    channels = samples.shape[1]
    if channels == 1 and isinstance(selection, str) and selection == "mix":
        return samples[:, 0]
    check_selection(selection, channels)
    if isinstance(selection, (int, np.integer)):
        return samples[:, selection]
    if channels == 1:
        return samples[:, 0]
    chosen = samples if isinstance(selection, str) else samples[:, list(selection)]
    mixed: npt.NDArray[np.float32] = chosen.mean(axis=1, dtype=np.float32)
    return mixed
