"""From posterior frames to posteriors of a clip: what is in it, whenever it sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamsed.config import POOLINGS, Pooling, TaggingConfig, require

Floats = npt.NDArray[np.float32]

# Posteriors are counted in steps of 2^-24, and their squares in steps of 2^-48: sums of integers have no rounding, so
# that neither chunks nor the length of a stream change a bit.
_STEPS = 1 << 24
# So many squares cannot overflow 63 bits; longer sums go on in Python's integers.
_BLOCK_FRAMES = 1 << 14


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
        self._window = window_frames
        self.reset()

    def reset(self) -> None:
        """Become equal to a new object."""
        self._sums: npt.NDArray[np.object_] = np.zeros(self._n_labels, object)
        self._squares: npt.NDArray[np.object_] = np.zeros(self._n_labels, object)
        self._largest = np.zeros(self._n_labels, np.int64)
        self._present = 0
        self._span = 0
        # A ring of the window: steps of each frame, and whether it counts.
        frames = 0 if self._window is None else self._window
        self._steps = np.zeros((frames, self._n_labels), np.int64)
        self._counts = np.zeros(frames, bool)
        self._next = 0

    @property
    def span_frames(self) -> int:
        """From how many newest frames the posteriors are, lost ones counted."""
        return self._span

    @property
    def present_frames(self) -> int:
        """How many of those count."""
        return self._present

    @property
    def posteriors(self) -> Floats:
        """Clip posteriors, shape (K,), float32; 0 where nothing was heard."""
        if self._pooling == "max":
            largest = self._largest if self._window is None else self._steps.max(axis=0)
            return np.asarray(largest / _STEPS, np.float32)
        values = np.zeros(self._n_labels, np.float32)
        for k, (total, squares) in enumerate(zip(self._sums, self._squares, strict=True)):
            if total:
                # Python divides integers of any size with one rounding.
                pairs = {"mean": (total, self._present), "linear_softmax": (squares, total)}
                above, below = pairs[self._pooling]
                values[k] = above / (below * _STEPS)
        return values

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
        counts = np.ones(len(values), bool) if present is None else np.asarray(present, bool)
        require(counts.shape == (len(values),), "present", f"shape ({len(values)},)", counts.shape)
        values = np.where(counts[:, np.newaxis], values, np.float32(0.0))
        outside = ~((values >= 0.0) & (values <= 1.0))
        require(not outside.any(), "posteriors", "values in [0, 1]", values[outside][:3].tolist())
        steps = np.rint(values.astype(np.float64) * _STEPS).astype(np.int64)
        block = _BLOCK_FRAMES if self._window is None else min(_BLOCK_FRAMES, self._window)
        for begin in range(0, len(steps), block):
            self._take(steps[begin : begin + block], counts[begin : begin + block])

    def gap(self, frames: int) -> None:
        """Go on after so many lost frames: a window moves on over them, and they count nowhere.

        Raises
        ------
        ConfigError
            A negative number.
        """
        require(frames >= 0, "frames", ">= 0", frames)
        if self._window is None:
            self._span += frames
            return
        for begin in range(0, min(frames, self._window), _BLOCK_FRAMES):
            lost = min(frames, self._window) - begin
            nothing = np.zeros((min(lost, _BLOCK_FRAMES), self._n_labels), np.int64)
            self._take(nothing, np.zeros(len(nothing), bool))

    def _take(self, steps: npt.NDArray[np.int64], counts: npt.NDArray[np.bool_]) -> None:
        """Add a block of frames that is no longer than the window, and forget those that it pushes out of it."""
        self._sums += _exact_sum(steps)
        self._squares += _exact_sum(steps * steps)
        self._present += int(counts.sum())
        self._span += len(steps)
        if self._window is None:
            self._largest = np.maximum(self._largest, steps.max(axis=0))
            return
        places = (self._next + np.arange(len(steps))) % self._window
        old = self._steps[places]
        self._sums -= _exact_sum(old)
        self._squares -= _exact_sum(old * old)
        self._present -= int(self._counts[places].sum())
        self._steps[places] = steps
        self._counts[places] = counts
        self._next = (self._next + len(steps)) % self._window
        self._span = min(self._span, self._window)


def strongest(labels: Sequence[str], posteriors: Floats, count: int) -> dict[str, float]:
    """Return the labels with the largest of ``posteriors``, shape (K,), the largest first, as records have them."""
    order = np.argsort(-posteriors, kind="stable")[:count]
    return {labels[k]: round(float(posteriors[k]), 4) for k in order}


def tags_of(labels: Sequence[str], clip_posteriors: Floats, config: TaggingConfig) -> tuple[str, ...]:
    """Return the labels whose clip posterior, of shape (K,), reaches their threshold, the strongest first."""
    order = np.argsort(-clip_posteriors, kind="stable")
    return tuple(labels[k] for k in order if float(clip_posteriors[k]) >= config.threshold(labels[k]))


def _exact_sum(block: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    """Sum over frames as Python's integers, shape (K,): those of numpy would overflow in long recordings."""
    total: npt.NDArray[np.object_] = block.sum(axis=0).astype(object)
    return total
