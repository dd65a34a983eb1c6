"""The members of a bundle: which checkpoints they are, and how their posteriors are calibrated and weighted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamsed.config import require
from streamsed.errors import ConfigError

CALIBRATION_FILE = "calibration.json"
LAST = "last.ckpt"


@dataclass(frozen=True)
class EnsembleSettings:
    """Which checkpoints become members.

    Parameters
    ----------
    checkpoints : tuple of str
        Files below the run, one a member (``"seed0/last.ckpt"`` after ``repeat``); empty: the snapshots of a cyclic
        schedule, or else the checkpoint that ``train.keep`` says.
    calibration : {"none", "temperature"}
        What ``calibrate`` fits to the posteriors of each member: nothing, or one temperature (Guo et al. 2017).
    weights : {"equal", "learned"}
        w_m of eq. (4): all the same, as published, or those with the lowest loss on the validation scenes.
    """

    checkpoints: tuple[str, ...] = ()
    calibration: Literal["none", "temperature"] = "none"
    weights: Literal["equal", "learned"] = "equal"

    def __post_init__(self) -> None:
        """Check every field."""
        object.__setattr__(self, "checkpoints", tuple(self.checkpoints))
        different = len(set(self.checkpoints)) == len(self.checkpoints)
        require(different, "checkpoints", "each once", list(self.checkpoints))
        require(
            self.calibration in ("none", "temperature"),
            "calibration",
            "none or temperature",
            self.calibration,
        )
        require(self.weights in ("equal", "learned"), "weights", "equal or learned", self.weights)

    def files(self, snapshots: int, kept: str = LAST) -> tuple[str, ...]:
        """Return the checkpoints of a training that kept so many snapshots, 0 if its schedule has none."""
        if self.checkpoints:
            return self.checkpoints
        return tuple(f"snapshot{cycle}.ckpt" for cycle in range(1, snapshots + 1)) or (kept,)


@dataclass(frozen=True)
class Calibration:
    """What was fitted to the validation scenes, a number for each member.

    Parameters
    ----------
    temperatures : tuple of float
        Logits are divided by it; 1 changes nothing.
    weights : tuple of float
        w_m of eq. (4).
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that it can be divided by."""
        for name in ("temperatures", "weights"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require(
            all(0 < item < 100 for item in self.temperatures),
            "temperatures",
            "in (0, 100)",
            self.temperatures,
        )
        usable = all(item >= 0 for item in self.weights) and sum(self.weights) > 0
        require(usable, "weights", "0 or more, not all 0", self.weights)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.__dict__, indent=2) + "\n")


def read_calibration(path: Path, members: int) -> Calibration:
    """Read what ``calibrate`` wrote; where it wrote nothing, temperatures and weights are 1.

    Raises
    ------
    ConfigError
        If the file is of another number of members.
    """
    if not path.exists():
        return Calibration((1.0,) * members, (1.0,) * members)
    values = json.loads(path.read_text())
    calibration = Calibration(values["temperatures"], values["weights"])
    if not len(calibration.temperatures) == len(calibration.weights) == members:
        raise ConfigError(
            f"{path}: expected {members} temperatures and weights, got {values}; calibrate again"
        )
    return calibration
