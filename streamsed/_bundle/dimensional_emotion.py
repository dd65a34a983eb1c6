"""Bundles of the task "dimensional_emotion": functionals, a voice activity gate and an ensemble of regressors."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamsed._bundle.file_entry import FileEntry
from streamsed._bundle.files import (
    ListedFiles,
    check_array,
    file_entry,
    read_arrays,
    read_verified,
    shallow,
)
from streamsed._bundle.manifest import SCHEMA_VERSION, Provenance
from streamsed._bundle.writing import checked, empty_folder, write_files, write_golden_of
from streamsed.config import EmotionConfig, FunctionalsConfig, require
from streamsed.types import EMOTION_DIMENSIONS

DIMENSIONS = len(EMOTION_DIMENSIONS)


@dataclass(frozen=True)
class EmotionManifest:
    """What ``bundle.json`` of a model of dimensional emotion says; the fields are in docs/architecture.md."""

    schema_version: int
    name: str
    task: Literal["dimensional_emotion"]
    labels: tuple[str, ...]
    functionals: FunctionalsConfig
    feature_count: int
    gate: FileEntry
    members: tuple[FileEntry, ...]
    emotion: EmotionConfig
    golden: FileEntry | None
    provenance: Provenance

    def __post_init__(self) -> None:
        """Check what no field can know alone."""
        require(re.fullmatch(r"[\w.-]+", self.name) is not None, "name", "letters, digits, . _ -", self.name)
        known = list(EMOTION_DIMENSIONS)
        require(self.labels == EMOTION_DIMENSIONS, "labels", str(known), list(self.labels))
        require(bool(self.members), "members", "at least one", self.members)
        files = [entry.file for entry in (*self.members, self.gate)]
        require(len(set(files)) == len(files), "members, gate", "no file twice", files)
        require(self.feature_count > 0, "feature_count", "> 0", self.feature_count)

    @property
    def sample_rate(self) -> int:
        """Of the sound that the functionals are of, in Hz."""
        return self.functionals.front_end.sample_rate

    def to_mapping(self) -> dict[str, Any]:
        """Return the object of ``bundle.json``."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class EmotionGolden:
    """One short input and what the model made of it when it was put together.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
        Mono, at the model's rate.
    levels : ndarray, shape (M, 3), float32
        What each member says of all samples.
    speech : ndarray, shape (1,), float32
        What the gate says of them.
    record_times : ndarray, shape (R, 2), float64
        Onset and offset of the records, in seconds.
    record_levels : ndarray, shape (R, 3), float32
    """

    samples: npt.NDArray[np.float32]
    levels: npt.NDArray[np.float32]
    speech: npt.NDArray[np.float32]
    record_times: npt.NDArray[np.float64]
    record_levels: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check types and shapes."""
        for name in ("samples", "speech"):
            check_array(name, getattr(self, name), np.float32, 1)
        check_array("record_times", self.record_times, np.float64, 2)
        records = len(self.record_times)
        require(self.record_times.shape[1] == 2, "golden.record_times", "(R, 2)", self.record_times.shape)
        for name, rows in (("levels", None), ("record_levels", records)):
            array = getattr(self, name)
            check_array(name, array, np.float32, 2)
            expected = (len(array) if rows is None else rows, DIMENSIONS)
            require(array.shape == expected, f"golden.{name}", f"shape {expected}", array.shape)


@dataclass(frozen=True, kw_only=True)
class EmotionBundle(EmotionManifest, ListedFiles):
    """A verified bundle: the manifest and where its files are."""

    path: Path

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest lists."""
        return (*self.members, self.gate, *([self.golden] if self.golden else []))

    def read_golden(self) -> EmotionGolden:
        """Return the golden input and outputs.

        Raises
        ------
        BundleError
            If the bundle has none, or its arrays are not as the schema says.
        """
        return read_arrays(EmotionGolden, self.path, self.golden)


def parsed_emotion(values: Mapping[str, Any], path: Path) -> EmotionBundle:
    """Return the verified bundle whose ``bundle.json`` holds ``values``."""
    return _verified(checked(EmotionManifest, values, path), path)


def _verified(manifest: EmotionManifest, path: Path) -> EmotionBundle:
    bundle = EmotionBundle(**shallow(manifest), path=path)
    for entry in bundle.files:
        read_verified(path, entry)
    return bundle


def write_emotion_bundle(
    folder: str | Path,
    *,
    name: str,
    functionals: FunctionalsConfig,
    feature_count: int,
    gate: bytes,
    members: Sequence[bytes],
    emotion: EmotionConfig,
    provenance: Provenance,
) -> EmotionBundle:
    """Write a bundle folder, then read it back and verify it.

    Parameters
    ----------
    folder : str or Path
        Must not hold a bundle yet.
    functionals : FunctionalsConfig
        Of which ``feature_count`` functionals come.
    gate : bytes
        ONNX graph from functionals, (B, D) float32, to the score of speech, (B, 1).
    members : sequence of bytes
        ONNX graphs from functionals, (B, D) float32, to levels, (B, 3).
    emotion : EmotionConfig
    provenance : Provenance

    Raises
    ------
    BundleError
        If the folder has a bundle already, or a value does not fit the schema.
    """
    folder = empty_folder(folder)
    contents = {f"member{index}.onnx": content for index, content in enumerate(members)}
    entries = [file_entry(file, content) for file, content in contents.items()]
    contents["gate.onnx"] = gate
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "task": "dimensional_emotion",
        "labels": list(EMOTION_DIMENSIONS),
        "functionals": functionals,
        "feature_count": feature_count,
        "gate": file_entry("gate.onnx", gate),
        "members": entries,
        "emotion": emotion,
        "golden": None,
        "provenance": provenance,
    }
    manifest = checked(EmotionManifest, values, folder)
    write_files(folder, manifest, contents)
    return _verified(manifest, folder.resolve())


def write_emotion_golden(bundle: EmotionBundle, golden: EmotionGolden) -> EmotionBundle:
    """Add ``golden`` to a bundle in a folder, or replace the one there is; return the verified bundle."""
    return _verified(write_golden_of(EmotionManifest, bundle, golden), bundle.path)
