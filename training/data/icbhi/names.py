"""File names of ICBHI 2017: ``101_1b1_Al_sc_Meditron``."""

from __future__ import annotations

import re
from typing import NamedTuple

from streamsed.errors import FormatError

LOCATIONS = ("Tc", "Al", "Ar", "Pl", "Pr", "Ll", "Lr")
MODES = ("sc", "mc")
DEVICES = ("AKGC417L", "LittC2SE", "Litt3200", "Meditron")


class NameFields(NamedTuple):
    """The parts of a file name."""

    patient: str
    index: str
    location: str
    mode: str
    device: str


def parse_name(stem: str, where: str) -> NameFields:
    """Take a file name without extension apart; letters may be of either case.

    Raises
    ------
    FormatError
        If it is no such name; the message begins with ``where``, and says which part is wrong.
    """
    cells = stem.strip().split("_")
    if len(cells) != 5:
        example = "patient_index_location_mode_device, such as 101_1b1_Al_sc_Meditron"
        raise FormatError(f"{where}: expected a name {example}, got {stem!r}")
    patient, index, *rest = cells
    if not re.fullmatch(r"[0-9]{1,6}", patient):
        raise FormatError(f"{where}: patient: expected a number, got {patient!r} in {stem!r}")
    if not re.fullmatch(r"[0-9A-Za-z]+", index):
        raise FormatError(f"{where}: index: expected letters and digits, got {index!r} in {stem!r}")
    found = []
    for field, known, cell in zip(
        ("location", "mode", "device"), (LOCATIONS, MODES, DEVICES), rest, strict=True
    ):
        spelled = {name.lower(): name for name in known}
        if cell.lower() not in spelled:
            raise FormatError(f"{where}: {field}: expected one of {list(known)}, got {cell!r} in {stem!r}")
        found.append(spelled[cell.lower()])
    return NameFields(patient, index, *found)
