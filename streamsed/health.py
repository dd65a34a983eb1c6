"""Notices when the signal itself looks wrong: non-finite values, clipping, digital silence, DC."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamsed import _core
from streamsed.types import Health, HealthCondition

# What is wrong with the signal itself, whoever listens.
SIGNAL_CONDITIONS: frozenset[HealthCondition] = frozenset(("digital_silence", "clipping", "dc", "non_finite"))
MAX_LEVEL: float = _core.SignalMonitor.MAX_LEVEL
CLIPPING_LEVEL: float = _core.SignalMonitor.CLIPPING_LEVEL
CLIPPING_SAMPLES: int = _core.SignalMonitor.CLIPPING_SAMPLES

# By their number in the core.
_CONDITIONS: tuple[HealthCondition, ...] = ("non_finite", "clipping", "digital_silence", "dc")


class SignalMonitor:
    """Watches one stream, step by step, and reports each condition once per episode.

    - ``non_finite``: a NaN, an Inf, or a value beyond any scale (1e6); again after 1 s without any.
    - ``clipping``: 3 samples of a step at 0.999 of full scale or above; again after 1 s without such a step.
    - ``digital_silence``: 2 s of exact zeros, the onset being the first; again after any other sample.
    - ``dc``: a mean of about 1 s above 0.05 of full scale in magnitude; again after it stayed below 0.02 for 5 s,
      as the slow sway of a stethoscope on a chest is one condition and not many.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    source : str
        For the records.
    """

    def __init__(self, sample_rate: int, source: str) -> None:
        self._rate = sample_rate
        self._source = source
        self._core = _core.SignalMonitor(sample_rate)

    @property
    def non_finite_samples(self) -> int:
        """How many values were replaced by 0 so far."""
        return self._core.non_finite_samples

    def process(
        self, samples: npt.NDArray[np.float32], position: int
    ) -> tuple[npt.NDArray[np.float32], list[Health]]:
        """Look at one step of the signal.

        Parameters
        ----------
        samples : ndarray, shape (n, channels), float32
            At least one sample.
        position : int
            Number of the first of them, lost ones counted.

        Returns
        -------
        samples : ndarray, shape (n, channels)
            The same, with 0 in place of what is not finite (a copy in that case).
        records : list of Health
        """
        sound, findings = self._core.process(samples, position)
        return sound, [Health(_CONDITIONS[number], at / self._rate, self._source) for number, at in findings]

    def gap(self) -> None:
        """Begin anew after lost audio: zeros before and after it are not one silence."""
        self._core.gap()
