"""Which cycles a recipe trains on, validates on and tests on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from streamsed.config import require
from training.data.icbhi import (
    CycleReference,
    CycleSplit,
    IcbhiData,
    hold_out,
    official_split,
    patient_folds,
    random_splits,
    read_icbhi,
)
from training.lung.recipe import LungData
from training.skipping import warn_of_skipped


class Sides(NamedTuple):
    """Cycles in order of recording and time; ``validation`` may be empty."""

    train: tuple[CycleReference, ...]
    validation: tuple[CycleReference, ...]
    test: tuple[CycleReference, ...]


def read_sides(settings: LungData) -> Sides:
    """Read the folder of a recipe and divide it.

    Raises
    ------
    ConfigError
        If the settings ask for a division that the data cannot give.
    FormatError
        If the folder is not in the official layout, or anything in it is wrong.
    """
    data = read_icbhi(Path(settings.root) / settings.recordings, settings.skip_bad)
    warn_of_skipped(data.skipped, len(data.recordings) + len(data.skipped))
    return divide(data, settings)


def divide(data: IcbhiData, settings: LungData) -> Sides:
    """Divide what was read; see :func:`read_sides`."""
    split = _split(data, settings)
    if settings.validation_folds:
        recordings = split.train_recordings
        chosen = set(split.train)
        folds = patient_folds(IcbhiData(recordings, ()), settings.validation_folds, settings.seed)
        inner = folds[settings.validation_fold]
        # A random split has some cycles of a recording alone.
        train = tuple(item for item in inner.train if item in chosen)
        validation = tuple(item for item in inner.test if item in chosen)
    elif settings.validation_share:
        inner = hold_out(split.train, settings.validation_share, settings.seed, settings.validation_by)
        train, validation = inner.train, inner.test
    else:
        train, validation = split.train, ()
    require(len(train) > 0, "data", "cycles to train on", "none")
    return Sides(train, validation, split.test)


def _split(data: IcbhiData, settings: LungData) -> CycleSplit:
    if settings.split == "official":
        require(settings.number == 0, "number", "0: there is one official split", settings.number)
        return official_split(data, drop_shared=settings.drop_shared)
    if settings.split == "random":
        return random_splits(data, settings.seed, settings.number + 1)[settings.number]
    require(settings.number < settings.folds, "number", f"in [0, {settings.folds})", settings.number)
    return patient_folds(data, settings.folds, settings.seed)[settings.number]
