"""From posterior frames to posteriors of a clip: what is in it, whenever it sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamsed import _core
from streamsed.config import POOLINGS, Pooling, TaggingConfig, require
from streamsed.errors import ConfigError

Floats = npt.NDArray[np.float32]

# The core counts posteriors in steps of 2^-24, and their squares in steps of 2^-48.
_STEPS = 1 << 24


def pooled(
    posteriors: npt.ArrayLike,
    present: npt.ArrayLike | None = None,
    pooling: Pooling = "linear_softmax",
) -> Floats:
    """Pool the posterior frames of a clip.

    Parameters
    ----------
    posteriors : array_like, shape (T', K)
        In [0, 1].
    present : array_like, shape (T',), optional
        1 for frames that count, 0 for those that are padding or were lost; by default all count.
    pooling : {"linear_softmax", "mean", "max"}
        With p_t of the frames that count: Σ p_t² / Σ p_t (eq. (1) of [AVT]: each frame is weighted by its own
        posterior), Σ p_t / T', or the largest p_t.

    Returns
    -------
    ndarray, shape (K,), float32
        In [0, 1]. 0 where there is no frame that counts, or all posteriors are 0.

    Raises
    ------
    ConfigError
        If a shape or a value cannot be used.

    References
    ----------
    .. [AVT] W. Boes, H. Van hamme, "Audiovisual transfer learning for audio tagging and sound event detection",
       after Y. Wang, J. Li, F. Metze, "A comparison of five multiple instance learning pooling functions for sound
       event detection with weak labeling", ICASSP 2019.
    """
    values = np.asarray(posteriors, np.float32)
    require(values.ndim == 2, "posteriors", "shape (T', K)", values.shape)
    clip = ClipPooling(values.shape[1], pooling)
    clip.add(values, present)
    return clip.posteriors


class ClipPooling:
    """Clip posteriors of frames that come one after the other, of all of them or of the newest ones.

    Results are those of :func:`pooled`, bit by bit, whatever the chunks: :meth:`add` costs the same for every frame,
    however many are pooled ("max" over a window looks through it when it is asked).

    Parameters
    ----------
    n_labels : int
        K.
    pooling : {"linear_softmax", "mean", "max"}
        See :func:`pooled`.
    window_frames : int, optional
        Pool so many newest frames, lost ones counted; by default all frames.

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    """

    def __init__(
        self, n_labels: int, pooling: Pooling = "linear_softmax", window_frames: int | None = None
    ) -> None:
        require(n_labels >= 1, "n_labels", ">= 1", n_labels)
        require(pooling in POOLINGS, "pooling", f"one of {list(POOLINGS)}", pooling)
        require(window_frames is None or window_frames >= 1, "window_frames", ">= 1 or None", window_frames)
        self._n_labels = n_labels
        self._pooling = pooling
        self._core = _core.ClipPooling(n_labels, window_frames or 0)

    def reset(self) -> None:
        """Become equal to a new object."""
        self._core.reset()

    @property
    def span_frames(self) -> int:
        """From how many newest frames the posteriors are, lost ones counted."""
        return self._core.span_frames

    @property
    def present_frames(self) -> int:
        """How many of those count."""
        return self._core.present_frames

    @property
    def posteriors(self) -> Floats:
        """Clip posteriors, shape (K,), float32; 0 where nothing was heard."""
        if self._pooling == "max":
            return np.asarray([steps / _STEPS for steps in self._core.largest], np.float32)
        sums = self._core.sums
        if self._pooling == "mean":
            present = self._core.present_frames
            fractions = [(total, present * _STEPS) for total in sums]
        else:
            fractions = [
                (squares, total * _STEPS) for squares, total in zip(self._core.squares, sums, strict=True)
            ]
        # Python divides integers of any size with one rounding.
        return np.asarray([above / below if above else 0.0 for above, below in fractions], np.float32)

    def add(self, posteriors: npt.ArrayLike, present: npt.ArrayLike | None = None) -> None:
        """Take posterior frames.

        Parameters
        ----------
        posteriors : array_like, shape (T', K)
            In [0, 1]; any T', 0 included. Of frames that do not count they may be anything.
        present : array_like, shape (T',), optional
            See :func:`pooled`.

        Raises
        ------
        ConfigError
            If a shape or a value cannot be used.
        """
        values = np.asarray(posteriors, np.float32)
        fits = values.ndim == 2 and values.shape[1] == self._n_labels
        require(fits, "posteriors", f"shape (T', {self._n_labels})", values.shape)
        counts = None if present is None else np.asarray(present, bool)
        if counts is not None:
            require(counts.shape == (len(values),), "present", f"shape ({len(values)},)", counts.shape)
        if not self._core.add(values, counts):
            heard = values if counts is None else values[counts]
            outside = heard[~((heard >= 0.0) & (heard <= 1.0))]
            raise ConfigError(f"posteriors: expected values in [0, 1], got {outside[:3].tolist()}")

    def gap(self, frames: int) -> None:
        """Go on after so many lost frames: a window moves on over them, and they count nowhere.

        Raises
        ------
        ConfigError
            A negative number.
        """
        self._core.gap(frames)


def strongest(labels: Sequence[str], posteriors: Floats, count: int) -> dict[str, float]:
    """Return the labels with the largest of ``posteriors``, shape (K,), the largest first, as records have them."""
    order = np.argsort(-posteriors, kind="stable")[:count]
    return {labels[k]: round(float(posteriors[k]), 4) for k in order}


def tags_of(labels: Sequence[str], clip_posteriors: Floats, config: TaggingConfig) -> tuple[str, ...]:
    """Return the labels whose clip posterior, of shape (K,), reaches their threshold, the strongest first."""
    order = np.argsort(-clip_posteriors, kind="stable")
    return tuple(labels[k] for k in order if float(clip_posteriors[k]) >= config.threshold(labels[k]))
