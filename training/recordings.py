"""Recordings of public data sets as what a recipe learns from, instead of mixed scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from training.data.adapters import (
    Dataset,
    Excerpt,
    ReadOptions,
    Recording,
    Split,
    cut,
    load_label_map,
    read_dataset,
    read_excerpts,
    split_by_fold,
    split_by_recording,
    split_by_scene,
    split_by_subset,
)
from training.labelled import LabelledScene
from training.skipping import warn_of_skipped

_SPLITS = ("train", "validation", "test")
# What each way of dividing asks for, and what has no meaning to it.
_ASKED = {
    "scene": ("in_domain", "out_of_domain"),
    "recording": ("test",),
    "fold": ("fold",),
    "subset": ("train_subsets",),
}
_OPTIONAL = {"subset": ("validation_subsets", "test_subsets")}


@dataclass(frozen=True)
class RecordingSettings:
    """Which data set, how its recordings are divided, and how they are cut.

    Parameters
    ----------
    layout : str
        One of :data:`training.data.adapters.LAYOUTS`.
    labels : str
        Label map, by name or as a TOML file; its targets are the labels of the recipe.
    folder : str
        Root of the data set below ``data.root``; empty: ``data.root`` itself.
    annotations : str
        Event annotations below ``data.root``, for the layout that comes without.
    subsets : tuple of str
        Official parts to read; empty: all, or those that ``split = "subset"`` names.
    split : {"scene", "recording", "fold", "subset"}
        As :func:`~training.data.adapters.split_by_scene` and its siblings.
    in_domain, out_of_domain : tuple of str
        Of "scene": those of training and validation, and those of the test.
    fold : int
        Of "fold": its number.
    train_subsets, validation_subsets, test_subsets : tuple of str
        Of "subset"; without ``validation_subsets`` a share of the training ones is validated, without
        ``test_subsets`` nothing can be evaluated.
    test : float
        Of "recording": share of the original recordings.
    validation : float
        Share of the original recordings that training leaves out; 0: nothing is validated.
    seed : int
        Decides which are drawn.
    seconds : float
        Length of the excerpts.
    overrun_seconds : float
        How far an annotation may reach beyond its audio; it is cut there.
    """

    layout: str
    labels: str
    folder: str = ""
    annotations: str = ""
    subsets: tuple[str, ...] = ()
    split: Literal["scene", "recording", "fold", "subset"] = "recording"
    in_domain: tuple[str, ...] = ()
    out_of_domain: tuple[str, ...] = ()
    fold: int = 0
    train_subsets: tuple[str, ...] = ()
    validation_subsets: tuple[str, ...] = ()
    test_subsets: tuple[str, ...] = ()
    test: float = 0.0
    validation: float = 0.125
    seed: int = 0
    seconds: float = 10.0
    overrun_seconds: float = 0.1

    def __post_init__(self) -> None:
        """Check that the way of dividing has what it asks for, and nothing that belongs to another."""
        require(self.split in _ASKED, "split", f"one of {sorted(_ASKED)}", self.split)
        for split, names in _ASKED.items():
            optional = _OPTIONAL.get(split, ())
            for name in (*names, *optional):
                value = getattr(self, name)
                if split != self.split:
                    require(not value, name, f"none for split = {self.split!r}", value)
                elif name not in optional:
                    require(bool(value), name, f"a value for split = {self.split!r}", value)
        require(0 <= self.validation < 1, "validation", "a share in [0, 1)", self.validation)
        require(0 < self.seconds <= 3600, "seconds", "a length in (0, 3600]", self.seconds)

    @property
    def validates(self) -> bool:
        """Whether recordings are held out."""
        return self.validation > 0 or bool(self.validation_subsets)

    @property
    def tests(self) -> bool:
        """Whether there are any to evaluate on."""
        return self.split != "subset" or bool(self.test_subsets)


class RecordingSource:
    """Excerpt number i of the recordings of a split; the same in whatever order they are read.

    Pickled without decoded audio.

    Parameters
    ----------
    recordings : tuple of Recording
    sample_rate : int
        In Hz.
    seconds : float
        Length of the excerpts.
    equal : bool
        As for :func:`~training.data.adapters.cut`: for training, where an excerpt is one row of a batch.
    description : str
        What it is, for reports.
    """

    def __init__(
        self,
        recordings: tuple[Recording, ...],
        sample_rate: int,
        seconds: float,
        equal: bool,
        description: str,
    ) -> None:
        self._recordings = recordings
        self._sample_rate = sample_rate
        self._seconds = seconds
        self._equal = equal
        self._description = description
        self._excerpts = [
            (excerpt, number)
            for recording in recordings
            for number, excerpt in enumerate(cut(recording, seconds, equal=equal))
        ]
        self._decoded: tuple[Path, list[npt.NDArray[np.float32]]] | None = None

    def __len__(self) -> int:
        return len(self._excerpts)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """What the excerpts are cut from."""
        return self._recordings

    def excerpt(self, index: int) -> Excerpt:
        """Return where excerpt ``index`` lies, its recording, and the events that are not targets."""
        return self._excerpts[index][0]

    def make(self, index: int) -> LabelledScene:
        """Return excerpt ``index`` with what is known of it; its events are those of targets.

        Raises
        ------
        FormatError
            If the file cannot be read, or is shorter than its header says.
        """
        excerpt, number = self._excerpts[index]
        recording = excerpt.recording
        if self._decoded is None or self._decoded[0] != recording.path:
            pieces = read_excerpts(recording, self._sample_rate, self._seconds, equal=self._equal)
            self._decoded = (recording.path, [samples for _, samples in pieces])
        events = [(event.onset, event.offset, event.label) for event in excerpt.annotations]
        tags = frozenset(recording.weak_labels)
        return LabelledScene(self._decoded[1][number], events, recording.supervision, tags)

    def fingerprint(self) -> dict[str, Any]:
        """Everything that the excerpts depend on, for cache keys; files by their size and time."""
        files = []
        for recording in self._recordings:
            status = recording.path.stat()
            known: tuple[Any, ...] = (recording.annotations,)
            if recording.supervision != "strong":
                known = (recording.supervision, recording.weak_labels)
            files.append((str(recording.path), status.st_size, status.st_mtime_ns, *known))
        return {
            "files": files,
            "sample_rate": self._sample_rate,
            "seconds": self._seconds,
            "equal": self._equal,
        }

    def describe(self) -> str:
        """Return what it is."""
        return self._description

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoded": None}


def recording_labels(settings: RecordingSettings) -> tuple[str, ...]:
    """Return the targets of the label map, in its order."""
    return load_label_map(settings.labels).targets


def recording_source(
    settings: RecordingSettings,
    root: Path,
    sample_rate: int,
    split: str,
    *,
    skip_bad: bool = False,
    strong_only: bool = True,
) -> RecordingSource:
    """Read the data set and return the excerpts of split "train", "validation" or "test".

    Parameters
    ----------
    settings : RecordingSettings
    root : Path
        Folder that all of its paths are below.
    sample_rate : int
        In Hz.
    split : {"train", "validation", "test"}
    skip_bad : bool
        Leave unreadable files out instead of failing. Every file is then decoded to its end first.
    strong_only : bool
        Whether training has no use for recordings without strong labels; validation and test never have.

    Raises
    ------
    ConfigError
        If the settings do not fit the data set, or nothing is left for the split: no recording, in training no
        label of a target; or its recordings have no strong labels where these are needed.
    FormatError
        If the data set is missing or wrong, see :func:`training.data.adapters.read_dataset`.

    Warns
    -----
    SkippedWarning
        With ``skip_bad``, of unreadable files; all are named.
    """
    require(split in _SPLITS, "split", f"one of {_SPLITS}", split)
    dataset = _read(settings, root, skip_bad)
    recordings: tuple[Recording, ...] = getattr(_divided(settings, dataset), split)
    total = len(dataset.recordings)
    expected = f"at least one of {total} recordings for {split}"
    require(bool(recordings), f"data.recordings.split = {settings.split!r}", expected, 0)
    weak = [str(item.path) for item in recordings if item.supervision != "strong"]
    usable = not weak or (split == "train" and not strong_only)
    expected = f"parts with strong labels for {split}" + (" without [weak]" if split == "train" else "")
    require(usable, "data.recordings.subsets", expected, f"{len(weak)} files without, such as {weak[:1]}")
    sounding = split != "train" or any(item.annotations or item.weak_labels for item in recordings)
    expected = f"events of {list(dataset.labels)} in the {len(recordings)} recordings of training"
    require(sounding, "data.recordings.labels", expected, 0)
    return RecordingSource(
        recordings, sample_rate, settings.seconds, split == "train", _described(settings, dataset, recordings)
    )


def _read(settings: RecordingSettings, root: Path, skip_bad: bool) -> Dataset:
    subsets = settings.subsets or tuple(
        dict.fromkeys((*settings.train_subsets, *settings.validation_subsets, *settings.test_subsets))
    )
    options = ReadOptions(
        labels=load_label_map(settings.labels),
        skip_bad=skip_bad,
        decode=skip_bad,
        overrun_seconds=settings.overrun_seconds,
        subsets=subsets,
        annotations=root / settings.annotations if settings.annotations else None,
    )
    dataset = read_dataset(settings.layout, root / settings.folder, options)
    warn_of_skipped(dataset.skipped, len(dataset.skipped) + len(dataset.recordings))
    return dataset


def _divided(settings: RecordingSettings, dataset: Dataset) -> Split:
    validation, seed = settings.validation, settings.seed
    if settings.split == "scene":
        return split_by_scene(
            dataset.recordings,
            in_domain=settings.in_domain,
            out_of_domain=settings.out_of_domain,
            validation=validation,
            seed=seed,
        )
    if settings.split == "recording":
        return split_by_recording(dataset.recordings, validation=validation, test=settings.test, seed=seed)
    if settings.split == "fold":
        return split_by_fold(dataset, settings.fold, validation=validation, seed=seed)
    parts = split_by_subset(
        dataset,
        train=settings.train_subsets,
        validation=settings.validation_subsets,
        test=settings.test_subsets,
        drop_shared=True,
    )
    if settings.validation_subsets:
        return parts
    inside = split_by_recording(parts.train, validation=validation, seed=seed)
    return Split(inside.train, inside.validation, parts.test)


def _described(settings: RecordingSettings, dataset: Dataset, recordings: tuple[Recording, ...]) -> str:
    scenes = sorted({item.scene for item in recordings} - {""})
    where = f" in {', '.join(scenes)}" if scenes else ""
    skipped = f"; {len(dataset.skipped)} unreadable files left out" if dataset.skipped else ""
    return (
        f"excerpts of at most {settings.seconds:g} s of {len(recordings)} recordings of {settings.layout}"
        f"{where}, divided by {settings.split}{skipped}"
    )
