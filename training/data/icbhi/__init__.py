"""Respiratory sounds in the folder of ICBHI 2017: recordings, annotated cycles, splits and what leaks in them.

Rocha et al., "An open access database for the evaluation of respiratory sound classification algorithms",
Physiological Measurement 40 (3), 2019. Research software, not a medical device.
"""

from streamsed.annotations import AnnotatedCycle
from streamsed.types import CYCLE_LABELS
from training.data.icbhi.audio import load_recording
from training.data.icbhi.read import read_icbhi
from training.data.icbhi.recording import IcbhiData, LungRecording, Patient
from training.data.icbhi.splits import (
    CycleReference,
    CycleSplit,
    Leaks,
    all_cycles,
    hold_out,
    leaks,
    official_split,
    patient_folds,
    random_splits,
)

__all__ = [
    "CYCLE_LABELS",
    "AnnotatedCycle",
    "CycleReference",
    "CycleSplit",
    "IcbhiData",
    "Leaks",
    "LungRecording",
    "Patient",
    "all_cycles",
    "hold_out",
    "leaks",
    "load_recording",
    "official_split",
    "patient_folds",
    "random_splits",
    "read_icbhi",
]
