"""Whether what is heard is a lung sound at all: no cycle is reported where it is not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from streamsed.config import QualityGateConfig
from streamsed.types import HealthCondition


@dataclass(frozen=True, slots=True)
class GateChange:
    """The gate opens or closes.

    Attributes
    ----------
    frame : int
        Posterior frame at which it does.
    condition : HealthCondition or None
        Why it closes; None where it opens.
    since : int
        Frame after the last one at which all was well; ``frame`` where it opens.
    """

    frame: int
    condition: HealthCondition | None
    since: int


class QualityGate:
    """Open while lung sounds are heard, and neither speech nor contact noise; with hysteresis.

    Each posterior is averaged exponentially with a time constant of ``seconds``. The gate closes when that of lung
    sounds falls below ``lung_off`` or that of a noise reaches ``noise_on``, and opens when lung sounds reach
    ``lung_on`` and both noises are below ``noise_off``. It is closed by the larger noise if that is not below
    ``noise_off``, else by what is not a lung sound. A stream begins with an open gate whose averages stand at
    ``lung_on`` and ``noise_off``: what is no lung sound closes it within half a time constant or so.

    Parameters
    ----------
    config : QualityGateConfig
    frame_seconds : float
        Duration of a posterior frame.
    """

    def __init__(self, config: QualityGateConfig, frame_seconds: float) -> None:
        self._config = config
        self._share = 1.0 - math.exp(-frame_seconds / config.seconds)
        self.reset()

    def reset(self) -> None:
        """Become equal to a new object."""
        self._lung = self._config.lung_on
        self._speech = self._contact = self._config.noise_off
        self._frame = 0
        self._well_until = 0
        self.is_open = True

    def gap(self, frames: int) -> None:
        """Account for lost frames, of which nothing is known."""
        self._frame += frames

    def process(
        self, lung: npt.NDArray[Any], speech: npt.NDArray[Any], contact: npt.NDArray[Any]
    ) -> list[GateChange]:
        """Take posteriors, shape (T',) each, and return the changes among them."""
        changes = []
        for values in zip(lung.tolist(), speech.tolist(), contact.tolist(), strict=True):
            change = self._step(*values)
            if change is not None:
                changes.append(change)
        return changes

    def _step(self, lung: float, speech: float, contact: float) -> GateChange | None:
        config, frame = self._config, self._frame
        self._frame += 1
        self._lung += self._share * (lung - self._lung)
        self._speech += self._share * (speech - self._speech)
        self._contact += self._share * (contact - self._contact)
        noise = max(self._speech, self._contact)
        well = self._lung >= config.lung_on and noise < config.noise_off
        if not self.is_open:
            if not well:
                return None
            self.is_open, self._well_until = True, frame + 1
            return GateChange(frame, None, frame)
        if well:
            self._well_until = frame + 1
        if self._lung >= config.lung_off and noise < config.noise_on:
            return None
        self.is_open = False
        condition: HealthCondition = "not_lung_sound"
        # Lung sounds may be gone before the noise in their place is certain: what is likely is named.
        if noise >= config.noise_off:
            condition = "speech" if self._speech >= self._contact else "contact_noise"
        return GateChange(frame, condition, min(self._well_until, frame))
