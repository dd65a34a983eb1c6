"""What an ICBHI folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from streamsed.annotations import AnnotatedCycle
from training.data.adapters import Skipped

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Patient:
    """What the demographic and diagnosis files say of a patient; None where they say nothing.

    Attributes
    ----------
    age : float, in years
    sex : str, "F" or "M"
    bmi : float, of adults, in kg/m²
    weight, height : float, of children, in kg and cm
    diagnosis : str
    """

    age: float | None = None
    sex: str | None = None
    bmi: float | None = None
    weight: float | None = None
    height: float | None = None
    diagnosis: str | None = None


@dataclass(frozen=True)
class LungRecording:
    """One recording and its annotated cycles, which are in order of time and do not overlap.

    Attributes
    ----------
    name : str
        Of the file, without extension: patient, index, location, mode and device.
    location : str
        On the chest: Tc (trachea), or anterior, posterior, lateral × left, right: Al Ar Pl Pr Ll Lr.
    mode : str
        sc (sequential, single channel) or mc (simultaneous, multichannel).
    device : str
        AKGC417L, LittC2SE, Litt3200 or Meditron.
    sample_rate : int
        Of the file, in Hz.
    duration : float
        In seconds, from the header of the file.
    part : {"train", "test"} or None
        Side of the official split; None if the list does not have it.
    """

    name: str
    audio: Path
    patient: str
    index: str
    location: str
    mode: str
    device: str
    sample_rate: int
    duration: float
    cycles: tuple[AnnotatedCycle, ...]
    part: Part | None
    diagnosis: str | None


@dataclass(frozen=True)
class IcbhiData:
    """Recordings by name, patients, and what was put right or left out on the way.

    Attributes
    ----------
    notes : tuple of str
        Names that were matched although they differ, times cut by a little, files that are no part of it.
    skipped : tuple of Skipped
        Recordings left out because their audio is missing or unreadable; only if that was allowed.
    """

    recordings: tuple[LungRecording, ...]
    notes: tuple[str, ...]
    patients: Mapping[str, Patient] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
