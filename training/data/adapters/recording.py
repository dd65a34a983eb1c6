"""What every layout is read into: recordings with labels, and the official ways to divide them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from streamsed.config import require
from training.data.soundscapes import SceneEvent

Supervision = Literal["strong", "weak", "unlabelled"]


@dataclass(frozen=True)
class Recording:
    """One audio or video file and what is known of it.

    Parameters
    ----------
    path : Path
        Its sound: an audio file, or a video file where there is no audio file.
    recording_id : str
        The original recording that the file is a part of: a split never divides it.
    scene : str
        Acoustic scene; empty where the layout has none.
    subset : str
        Official part that it belongs to, such as ``"train"``; empty where there is one alone.
    duration : float
        Seconds, from the header of the file.
    annotations, interference : tuple of SceneEvent
        Strong labels in order of onset, in seconds: of target classes, and of those that are never targets.
        The same label may overlap itself, where the data set says so.
    supervision : {"strong", "weak", "unlabelled"}
        ``"weak"``: only ``weak_labels`` are known. ``"unlabelled"``: nothing is.
    weak_labels, weak_interference : tuple of str
        Labels somewhere in the file.
    video : Path or None
        Video file of the same name.
    """

    path: Path
    recording_id: str
    scene: str
    subset: str
    duration: float
    annotations: tuple[SceneEvent, ...] = ()
    interference: tuple[SceneEvent, ...] = ()
    supervision: Supervision = "strong"
    weak_labels: tuple[str, ...] = ()
    weak_interference: tuple[str, ...] = ()
    video: Path | None = None


class Fold(NamedTuple):
    """An official fold: the files of its two sides."""

    train: frozenset[Path]
    test: frozenset[Path]


class Skipped(NamedTuple):
    """A file that was left out because it could not be read."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """What a folder holds.

    Parameters
    ----------
    name : str
        Of the layout.
    recordings : tuple of Recording
        In order of their path.
    labels, interference_labels : tuple of str
        Target classes in the order of the label map (sorted without one), and the classes that are never
        targets.
    folds : mapping of str to Fold
        Official cross-validation, by its number.
    skipped : tuple of Skipped
        Unreadable files, where they are allowed.
    notes : tuple of str
        What was put right on the way and does no harm: times that end a little after their audio, annotations
        of no length, files that are not part of the layout.
    problems : tuple of str
        What is wrong; empty except after a check.
    """

    name: str
    recordings: tuple[Recording, ...]
    labels: tuple[str, ...]
    interference_labels: tuple[str, ...] = ()
    folds: Mapping[str, Fold] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def scenes(self) -> tuple[str, ...]:
        """Acoustic scenes in order."""
        return tuple(sorted({recording.scene for recording in self.recordings} - {""}))

    @property
    def subsets(self) -> tuple[str, ...]:
        """Official parts in order."""
        return tuple(sorted({recording.subset for recording in self.recordings} - {""}))


def combine(name: str, datasets: Iterable[Dataset]) -> Dataset:
    """Put data sets that were read with the same label map together.

    Folds of the same number are united; labels keep the order of the first data set.

    Raises
    ------
    ConfigError
        If there are none, a file is in two of them, or a class is a target in one and interference in another.
    """
    datasets = list(datasets)
    require(bool(datasets), "datasets", "at least one", "none")
    recordings = sorted((item for part in datasets for item in part.recordings), key=lambda item: item.path)
    twice = sorted({str(a.path) for a, b in pairwise(recordings) if a.path == b.path})
    require(not twice, "datasets", "each file in one of them", twice[:5])
    labels = tuple(dict.fromkeys(label for part in datasets for label in part.labels))
    interference = tuple(dict.fromkeys(label for part in datasets for label in part.interference_labels))
    both = sorted(set(labels) & set(interference))
    require(not both, "datasets", "one label map for all: a class is a target or interference", both)
    folds: dict[str, Fold] = {}
    for part in datasets:
        for number, fold in part.folds.items():
            known = folds.get(number, Fold(frozenset(), frozenset()))
            folds[number] = Fold(known.train | fold.train, known.test | fold.test)
    return Dataset(
        name,
        tuple(recordings),
        labels,
        interference,
        folds,
        tuple(item for part in datasets for item in part.skipped),
        tuple(item for part in datasets for item in part.notes),
        tuple(item for part in datasets for item in part.problems),
    )
