"""Ways to divide the cycles, and what is on both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.annotations import AnnotatedCycle
from streamsed.config import require
from streamsed.types import CYCLE_LABELS
from training.data.icbhi.recording import IcbhiData, LungRecording

_DRAWS = 200

Unit = Literal["cycle", "recording", "patient"]


class CycleReference(NamedTuple):
    """A cycle: its recording and its number there, from 0."""

    recording: LungRecording
    number: int

    @property
    def cycle(self) -> AnnotatedCycle:
        """Times and labels."""
        return self.recording.cycles[self.number]

    @property
    def label(self) -> str:
        """One of ``CYCLE_LABELS``."""
        return self.cycle.label


@dataclass(frozen=True)
class CycleSplit:
    """Two sides of cycles, each in order of recording and time."""

    name: str
    train: tuple[CycleReference, ...]
    test: tuple[CycleReference, ...]

    @property
    def train_recordings(self) -> tuple[LungRecording, ...]:
        """Recordings of which a cycle is in training."""
        return recordings_of(self.train)

    @property
    def test_recordings(self) -> tuple[LungRecording, ...]:
        """Recordings of which a cycle is in the test."""
        return recordings_of(self.test)


class Leaks(NamedTuple):
    """What is on both sides of a split, and how many cycles of the test belong to that."""

    patients: tuple[str, ...]
    recordings: tuple[str, ...]
    test_cycles: int


def all_cycles(recordings: IcbhiData | Iterable[LungRecording]) -> tuple[CycleReference, ...]:
    """Return every cycle, in order of recording and time."""
    chosen = recordings.recordings if isinstance(recordings, IcbhiData) else recordings
    return tuple(CycleReference(item, number) for item in chosen for number in range(len(item.cycles)))


def recordings_of(cycles: Iterable[CycleReference]) -> tuple[LungRecording, ...]:
    """Return the recordings of these cycles, each once."""
    return tuple({item.recording.name: item.recording for item in cycles}.values())


def official_split(data: IcbhiData, *, drop_shared: bool = False) -> CycleSplit:
    """Divide as the official list does, by recording.

    Parameters
    ----------
    data : IcbhiData
        Recordings that the list does not have are on neither side.
    drop_shared : bool
        Leave those patients out of training that are in the test as well: the official list has such.

    Raises
    ------
    ConfigError
        If a side is empty: the folder has no list, or recordings of one side alone.
    """
    sides = {part: [item for item in data.recordings if item.part == part] for part in ("train", "test")}
    empty = sorted(part for part, chosen in sides.items() if not chosen)
    require(not empty, "split", "recordings on both sides of the official list", f"none in {empty}")
    if drop_shared:
        tested = {item.patient for item in sides["test"]}
        sides["train"] = [item for item in sides["train"] if item.patient not in tested]
        require(bool(sides["train"]), "drop_shared", "patients that are in training alone", "none")
    return CycleSplit("official", all_cycles(sides["train"]), all_cycles(sides["test"]))


def random_splits(data: IcbhiData, seed: int, n: int = 10, train: float = 0.8) -> tuple[CycleSplit, ...]:
    """Divide all cycles at random, n times: as the paper does, with patients and recordings on both sides.

    Parameters
    ----------
    data : IcbhiData
    seed : int
        Split i of a seed is the same whatever n is.
    n : int
        How many splits.
    train : float
        Share of the cycles that are for training, in (0, 1).

    Raises
    ------
    ConfigError
        If a number is out of range, or there are too few cycles for two sides.
    """
    _check_seed(seed)
    require(n >= 1, "n", "at least one split", n)
    require(0 < train < 1, "train", "a share in (0, 1)", train)
    cycles = all_cycles(data)
    count = round(train * len(cycles))
    require(0 < count < len(cycles), "train", f"a share that leaves two sides of {len(cycles)} cycles", train)
    splits = []
    for number in range(n):
        chosen = np.zeros(len(cycles), bool)
        chosen[np.random.default_rng((seed, number)).permutation(len(cycles))[:count]] = True
        splits.append(_divided(f"random {number}", cycles, chosen))
    return tuple(splits)


def patient_folds(data: IcbhiData, k: int, seed: int) -> tuple[CycleSplit, ...]:
    """Divide into k folds without a patient in two of them; split i tests on fold i and trains on the others.

    The folds are alike in the cycles of each class as far as the patients allow.

    Parameters
    ----------
    data : IcbhiData
    k : int
        Number of folds, from 2 to the number of patients.
    seed : int

    Raises
    ------
    ConfigError
        If k or the seed is out of range.
    """
    cycles = all_cycles(data)
    _check_seed(seed)
    patient, counts = _class_counts(cycles, _GROUPS["patient"])
    require(2 <= k <= len(counts), "k", f"from 2 to {len(counts)}, the number of patients", k)
    fold = _even_folds(counts, k, seed)[patient]
    return tuple(_divided(f"patients {number}", cycles, fold != number) for number in range(k))


def hold_out(cycles: Sequence[CycleReference], share: float, seed: int, by: Unit = "patient") -> CycleSplit:
    """Hold about this share of the cycles out: ``test`` of the result, for validation.

    Parameters
    ----------
    cycles : sequence of CycleReference
        Such as the training side of another split.
    share : float
        In (0, 0.5].
    seed : int
    by : {"cycle", "recording", "patient"}
        What is never divided. Of 200 random draws, the one with the classes most in proportion is taken.

    Raises
    ------
    ConfigError
        If a parameter is out of range or there are too few recordings or patients.
    """
    require(0 < share <= 0.5, "share", "in (0, 0.5]", share)
    require(by in _GROUPS, "by", f"one of {sorted(_GROUPS)}", by)
    # Twenty small parts rather than one of the share: any share can be put together from them.
    _check_seed(seed)
    group, counts = _class_counts(cycles, _GROUPS[by])
    require(len(counts) >= 2, "by", f"cycles of at least two to divide by {by}", len(counts))
    present = counts.sum(axis=0) > 0
    shares = counts[:, present] / counts[:, present].sum(axis=0)
    rng = np.random.default_rng(seed)
    best, held = np.inf, np.zeros(len(counts), bool)
    for _ in range(_DRAWS):
        drawn = rng.permutation(len(counts))[:-1]
        distances = np.abs(shares[drawn].cumsum(axis=0) - share).sum(axis=1)
        count = int(np.argmin(distances))
        if distances[count] < best:
            best, held = distances[count], np.isin(np.arange(len(counts)), drawn[: count + 1])
    held = held[group]
    return _divided(f"{share:g} held out by {by}", cycles, ~held)


def leaks(split: CycleSplit) -> Leaks:
    """Return the patients and recordings on both sides."""
    patients = {item.patient for item in split.train_recordings} & {
        item.patient for item in split.test_recordings
    }
    recordings = {item.name for item in split.train_recordings} & {
        item.name for item in split.test_recordings
    }
    shared = sum(item.recording.patient in patients for item in split.test)
    return Leaks(tuple(sorted(patients)), tuple(sorted(recordings)), shared)


_GROUPS: dict[str, Callable[[CycleReference], tuple[str, ...]]] = {
    "cycle": lambda item: (item.recording.name, str(item.number)),
    "recording": lambda item: (item.recording.name,),
    "patient": lambda item: (item.recording.patient,),
}


def _class_counts(
    cycles: Sequence[CycleReference], group_of: Callable[[CycleReference], tuple[str, ...]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the number of each cycle's group, and how many cycles of each class (G, 4) the groups have."""
    keys = [group_of(item) for item in cycles]
    place = {key: number for number, key in enumerate(sorted(set(keys)))}
    group = np.array([place[key] for key in keys], np.int64)
    counts = np.zeros((len(place), len(CYCLE_LABELS)), np.int64)
    np.add.at(counts, (group, [CYCLE_LABELS.index(item.label) for item in cycles]), 1)
    return group, counts


def _even_folds(counts: npt.NDArray[np.int64], k: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each group: large ones first, each goes where it makes the classes most even."""
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    # Without the factor, one assignment would come out for every seed.
    weight = shares.sum(axis=1) * np.random.default_rng(seed).uniform(0.5, 1.5, len(counts))
    order = np.argsort(-weight, kind="stable")
    load = np.zeros((k, counts.shape[1]))
    fold = np.empty(len(counts), np.int64)
    for group in order:
        # The sum of the squares of all loads grows least where this product is smallest.
        fold[group] = np.argmin(load @ shares[group])
        load[fold[group]] += shares[group]
    return fold


def _divided(name: str, cycles: Sequence[CycleReference], train: npt.NDArray[np.bool_]) -> CycleSplit:
    first = tuple(item for item, chosen in zip(cycles, train, strict=True) if chosen)
    second = tuple(item for item, chosen in zip(cycles, train, strict=True) if not chosen)
    return CycleSplit(name, first, second)


def _check_seed(seed: int) -> None:
    require(seed >= 0, "seed", "an integer >= 0", seed)
