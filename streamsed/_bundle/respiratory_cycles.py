"""Bundles of the task "respiratory_cycles": a segmenter, a classifier, and how cycles are made of what they say.

Research software, not a medical device.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamsed._bundle.file_entry import FileEntry
from streamsed._bundle.files import (
    check_array,
    read_arrays,
    read_verified,
    shallow,
)
from streamsed._bundle.manifest import SCHEMA_VERSION, Manifest, Provenance
from streamsed._bundle.sound_events import Bundle, verified
from streamsed._bundle.writing import checked, empty_folder, write_files, write_golden_of
from streamsed.config import CycleConfig, from_mapping, require

CYCLE_LABELS = ("normal", "crackle", "wheeze", "both")
SEGMENTER_LABELS = ("boundary", "lung_sound", "speech", "contact_noise")


@dataclass(frozen=True)
class CycleManifest:
    """What ``bundle.json`` of a model of respiratory cycles says; the fields are in docs/architecture.md."""

    schema_version: int
    name: str
    task: Literal["respiratory_cycles"]
    labels: tuple[str, ...]
    segmenter: Manifest
    classifier: Manifest
    cycles: CycleConfig
    golden: FileEntry | None
    provenance: Provenance

    def __post_init__(self) -> None:
        """Check what no field can know alone."""
        require(re.fullmatch(r"[\w.-]+", self.name) is not None, "name", "letters, digits, . _ -", self.name)
        require(self.labels == CYCLE_LABELS, "labels", str(list(CYCLE_LABELS)), list(self.labels))
        self._check_segmenter()
        self._check_classifier()
        rates = [self.segmenter.sample_rate, self.classifier.sample_rate]
        same = rates[0] == rates[1]
        require(same, "front_end.sample_rate", "the same of segmenter and classifier", rates)
        for name in ("segmenter", "classifier"):
            sides = [item.name for item in getattr(self, name).side_inputs]
            require(not sides, f"{name}.side_inputs", "none, as a network of breathing hears alone", sides)
        weights = self.cycles.class_weights
        one_each = len(weights) == len(self.labels)
        require(one_each, "cycles.class_weights", f"{len(self.labels)} of them, one per label", weights)

    def _check_segmenter(self) -> None:
        segmenter = self.segmenter
        kind = segmenter.streaming.kind
        require(kind == "causal", "segmenter.streaming.kind", "causal", kind)
        require(segmenter.front_end is not None, "segmenter.front_end", "a front-end", None)
        found = sorted(segmenter.labels)
        expected = f"{list(SEGMENTER_LABELS)} in any order"
        require(found == sorted(SEGMENTER_LABELS), "segmenter.labels", expected, list(segmenter.labels))

    def _check_classifier(self) -> None:
        classifier = self.classifier
        require(classifier.front_end is not None, "classifier.front_end", "a front-end", None)
        require(classifier.graph is None, "classifier.graph", "none", classifier.graph)
        require(
            classifier.labels == self.labels, "classifier.labels", str(list(self.labels)), classifier.labels
        )
        streaming, stride = classifier.streaming, classifier.time_stride
        whole = (streaming.window_frames, streaming.hop_frames) == (stride, stride)
        require(
            whole,
            "classifier.streaming",
            f"windows whose length and hop are time_stride={stride}: one posterior a chunk",
            streaming,
        )

    @property
    def sample_rate(self) -> int:
        """Of the sound that segmenter and classifier hear, in Hz."""
        return self.segmenter.sample_rate

    def to_mapping(self) -> dict[str, Any]:
        """Return the object of ``bundle.json``."""
        values = dataclasses.asdict(self)
        values["segmenter"] = self.segmenter.to_mapping()
        values["classifier"] = self.classifier.to_mapping()
        return values


@dataclass(frozen=True)
class CycleGolden:
    """One short input and what the model made of it when it was put together.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
        Mono, at the model's rate.
    segmenter : ndarray, shape (T', 4), float32
        Posteriors of the segmenter.
    pieces : ndarray, shape (P, 4), float32
        Posteriors of the classifier for pieces of 3 s of the samples, whatever the segmenter makes of them.
    cycle_label : ndarray, shape (E,), int64
        Label numbers of the cycles.
    cycle_times : ndarray, shape (E, 2), float64
        Onset and offset in seconds.
    cycle_posteriors : ndarray, shape (E, 4), float32
    """

    samples: npt.NDArray[np.float32]
    segmenter: npt.NDArray[np.float32]
    pieces: npt.NDArray[np.float32]
    cycle_label: npt.NDArray[np.int64]
    cycle_times: npt.NDArray[np.float64]
    cycle_posteriors: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check types and shapes."""
        check_array("samples", self.samples, np.float32, 1)
        check_array("cycle_label", self.cycle_label, np.int64, 1)
        cycles = len(self.cycle_label)
        for name, dtype, rows, columns in (
            ("segmenter", np.float32, None, len(SEGMENTER_LABELS)),
            ("pieces", np.float32, None, len(CYCLE_LABELS)),
            ("cycle_times", np.float64, cycles, 2),
            ("cycle_posteriors", np.float32, cycles, len(CYCLE_LABELS)),
        ):
            array = getattr(self, name)
            check_array(name, array, dtype, 2)
            expected = (len(array) if rows is None else rows, columns)
            require(array.shape == expected, f"golden.{name}", f"shape {expected}", array.shape)


@dataclass(frozen=True, kw_only=True)
class CycleBundle(CycleManifest):
    """A verified bundle: the manifest and where its files are; segmenter and classifier are bundles themselves."""

    segmenter: Bundle
    classifier: Bundle
    path: Path

    def read_golden(self) -> CycleGolden:
        """Return the golden input and outputs.

        Raises
        ------
        BundleError
            If the bundle has none, or its arrays are not as the schema says.
        """
        return read_arrays(CycleGolden, self.path, self.golden)


def parsed_cycles(values: Mapping[str, Any], path: Path) -> CycleBundle:
    """Return the verified bundle whose ``bundle.json`` holds ``values``."""
    return _verified(checked(CycleManifest, values, path), path)


def _verified(manifest: CycleManifest, path: Path) -> CycleBundle:
    fields = shallow(manifest)
    for part in ("segmenter", "classifier"):
        fields[part] = verified(fields[part], path)
    bundle = CycleBundle(**fields, path=path)
    if bundle.golden is not None:
        read_verified(path, bundle.golden)
    return bundle


def write_cycle_bundle(
    folder: str | Path,
    *,
    name: str,
    segmenter: Bundle,
    classifier: Bundle,
    cycles: CycleConfig,
    provenance: Provenance,
) -> CycleBundle:
    """Put a segmenter and a classifier together in one folder, then read it back and verify it.

    Parameters
    ----------
    folder : str or Path
        Must not hold a bundle yet.
    segmenter : Bundle
        Causal, with the labels of :data:`SEGMENTER_LABELS`.
    classifier : Bundle
        Windowed, one posterior a chunk, with the labels of :data:`CYCLE_LABELS`.
    cycles : CycleConfig
    provenance : Provenance

    Raises
    ------
    BundleError
        If the folder has a bundle already, or the two do not fit together.
    """
    folder = empty_folder(folder)
    parts = {"segmenter": segmenter, "classifier": classifier}
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "task": "respiratory_cycles",
        "labels": list(classifier.labels),
        **{part: _moved(bundle, part) for part, bundle in parts.items()},
        "cycles": cycles,
        "golden": None,
        "provenance": provenance,
    }
    manifest = checked(CycleManifest, values, folder)
    contents = {
        f"{part}/{entry.file}": bundle.read_bytes(entry)
        for part, bundle in parts.items()
        for entry in bundle.files
        if entry != bundle.golden
    }
    write_files(folder, manifest, contents)
    return _verified(manifest, folder.resolve())


def _moved(bundle: Bundle, part: str) -> Manifest:
    """Return the manifest of a bundle whose files lie in the folder ``part``, without its golden."""
    values = shallow(bundle)
    del values["path"]
    members = [
        {
            "name": member.name,
            "files": {
                kind: {"file": f"{part}/{entry.file}", "sha256": entry.sha256}
                for kind, entry in member.files.items()
            },
        }
        for member in bundle.members
    ]
    return from_mapping(Manifest, {**values, "members": members, "golden": None}, part)


def write_cycle_golden(bundle: CycleBundle, golden: CycleGolden) -> CycleBundle:
    """Add ``golden`` to a bundle in a folder, or replace the one there is; return the verified bundle."""
    parts = {"segmenter": _manifest(bundle.segmenter), "classifier": _manifest(bundle.classifier)}
    return _verified(write_golden_of(CycleManifest, bundle, golden, parts), bundle.path)


def _manifest(bundle: Bundle) -> Manifest:
    values = shallow(bundle)
    del values["path"]
    return Manifest(**values)
