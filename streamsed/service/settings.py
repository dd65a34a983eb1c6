"""What the caller of ``listen`` chose, and what of it concerns which model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsed.config import require
from streamsed.sound_stream import SoundModel
from streamsed.sources.camera import Camera


@dataclass(frozen=True)
class SessionSettings:
    """What the caller of ``listen`` chose; see there."""

    latency: str
    thresholds: Any
    duration: float | None
    once: str | None
    realtime: bool
    top_k: int
    strict_realtime: bool
    save_audio: Path | None
    pre_roll: float
    source_name: str
    channel: Any
    video: Camera | Path | None = None

    def check(self, detectors: Sequence[SoundModel]) -> None:
        """Raise ConfigError for what these models cannot do: to be known before the device is opened."""
        labels = {label for detector in detectors for label in detector.labels}
        require(self.once is None or self.once in labels, "once", f"one of {sorted(labels)}", self.once)
        sane = self.duration is None or self.duration > 0
        require(sane, "duration", "seconds above 0", self.duration)
        require(0.0 <= self.pre_roll <= 600.0, "pre_roll", "seconds in [0, 600]", self.pre_roll)
        for detector in detectors:
            thresholds, top_k = self.thresholds_of(detector, detectors), self.top_k_of(detector, detectors)
            detector.stream(thresholds=thresholds, latency=self.latency, top_k=top_k)

    def thresholds_of(self, detector: SoundModel, detectors: Sequence[SoundModel]) -> Any:
        """Return those that concern ``detector``: one for a label need not be known to every model."""
        given = self.thresholds
        if len(detectors) == 1 or not isinstance(given, Mapping):
            return given
        labels = {label for item in detectors for label in item.labels}
        unknown = sorted(set(given) - labels)
        require(not unknown, "thresholds", f"labels among {sorted(labels)}", unknown)
        return {label: value for label, value in given.items() if label in detector.labels} or None

    def top_k_of(self, detector: SoundModel, detectors: Sequence[SoundModel]) -> int:
        """Return what was asked for, or all there are of a model beside others that have more."""
        return self.top_k if len(detectors) == 1 else min(self.top_k, detector.tag_count)
