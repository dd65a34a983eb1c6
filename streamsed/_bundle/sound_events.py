"""Bundles of the task "sound_events": one front-end, one ensemble, post-processing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed._bundle.file_entry import FileEntry
from streamsed._bundle.files import (
    GOLDEN,
    ListedFiles,
    check_array,
    file_entry,
    read_arrays,
    shallow,
)
from streamsed._bundle.manifest import (
    SCHEMA_VERSION,
    Backend,
    Graph,
    Manifest,
    Provenance,
    Streaming,
    Waveform,
)
from streamsed._bundle.side_inputs import SideInputSpec
from streamsed._bundle.writing import checked, empty_folder, write_files, write_golden_of
from streamsed.config import ClassPost, LogMelConfig, PostConfig, TaggingConfig, require
from streamsed.errors import BundleError


@dataclass(frozen=True)
class Golden:
    """One short input and what the model made of it when it was exported.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
        Mono, at ``front_end.sample_rate``.
    posteriors : ndarray, shape (T', K), float32
        Fused posteriors.
    event_label : ndarray, shape (E,), int64
        Label numbers of the events.
    event_times : ndarray, shape (E, 2), float64
        Onset and offset in seconds.
    pictures : ndarray, shape (P, height, width, 3), uint8, or None
        RGB, of a model that takes pictures.
    picture_times : ndarray, shape (P,), float64, or None
        When they are seen, in seconds.
    """

    samples: npt.NDArray[np.float32]
    posteriors: npt.NDArray[np.float32]
    event_label: npt.NDArray[np.int64]
    event_times: npt.NDArray[np.float64]
    pictures: npt.NDArray[np.uint8] | None = None
    picture_times: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check types and shapes."""
        check_array("samples", self.samples, np.float32, 1)
        check_array("posteriors", self.posteriors, np.float32, 2)
        check_array("event_label", self.event_label, np.int64, 1)
        check_array("event_times", self.event_times, np.float64, 2)
        paired = self.event_times.shape == (len(self.event_label), 2)
        require(paired, "golden.event_times", f"shape ({len(self.event_label)}, 2)", self.event_times.shape)
        both = (self.pictures is None) == (self.picture_times is None)
        require(both, "golden.picture_times", "as many as there are pictures", self.picture_times)
        if self.pictures is not None and self.picture_times is not None:
            check_array("pictures", self.pictures, np.uint8, 4)
            check_array("picture_times", self.picture_times, np.float64, 1)
            fits = len(self.picture_times) == len(self.pictures)
            require(fits, "golden.picture_times", f"shape ({len(self.pictures)},)", self.picture_times.shape)


@dataclass(frozen=True, kw_only=True)
class Bundle(Manifest, ListedFiles):
    """A verified bundle: the manifest and where its files are."""

    path: Path

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest lists."""
        members = [entry for member in self.members for entry in member.files.values()]
        encoders = [item.encoder for item in self.side_inputs]
        return (*members, *encoders, *([self.golden] if self.golden else []))

    def read_golden(self) -> Golden:
        """Return the golden input and outputs.

        Raises
        ------
        BundleError
            If the bundle has none, or its arrays are not as the schema says.
        """
        golden = read_arrays(Golden, self.path, self.golden)
        if golden.posteriors.shape[1] != len(self.labels):
            raise BundleError(
                f"bundle {self.path}: {GOLDEN}: posteriors: expected {len(self.labels)} columns, "
                f"got {golden.posteriors.shape[1]}"
            )
        return golden


def verified(manifest: Manifest, path: Path) -> Bundle:
    """Return the bundle at ``path`` if every file has the hash that ``manifest`` says.

    Raises
    ------
    BundleError
        Otherwise.
    """
    bundle = Bundle(**shallow(manifest), path=path)
    for entry in bundle.files:
        bundle.read_bytes(entry)
    return bundle


def parsed(values: Mapping[str, Any], path: Path) -> Bundle:
    """Return the verified bundle whose ``bundle.json`` holds ``values``."""
    return verified(checked(Manifest, values, path), path)


def write_bundle(
    folder: str | Path,
    *,
    name: str,
    labels: Sequence[str],
    front_end: LogMelConfig | Waveform,
    streaming: Streaming,
    time_stride: int,
    context_frames: int | None,
    look_ahead_frames: int,
    state: Mapping[str, Sequence[int]],
    members: Mapping[str, Mapping[Backend, bytes | Path]],
    provenance: Provenance,
    outputs: Sequence[str] = ("posteriors",),
    post_processing: PostConfig | None = None,
    weights: Sequence[float] | None = None,
    golden: Golden | None = None,
    graph: Graph | None = None,
    side_inputs: Sequence[tuple[SideInputSpec, bytes | Path]] = (),
    tagging: TaggingConfig | None = None,
) -> Bundle:
    """Write a bundle folder, then read it back and verify it.

    Parameters
    ----------
    folder : str or Path
        Must not hold a bundle yet.
    front_end : LogMelConfig or Waveform
        What the network takes.
    members : mapping
        Member name to format ("onnx", "torchscript") to the model, as bytes or as the path of a file.
    state : mapping
        Name to shape of each state tensor, in the order of the graph's inputs.
    weights : sequence of float, optional
        Fusion weights; equal ones by default.
    golden : Golden, optional
        Usually made from the written bundle with ``streamsed.golden.make_golden`` and added with
        :func:`write_golden`; a bundle without one cannot be self-tested.
    graph : Graph, optional
        For a network whose tensors are not those of the exported graph.
    side_inputs : sequence of (SideInputSpec, bytes or Path)
        What the network takes beside the log-mel frames, in the order of its columns, and the ONNX graph of each
        encoder, as bytes or as the path of a file.

    Raises
    ------
    BundleError
        If the folder has a bundle already, or a value does not fit the schema.
    """
    folder = empty_folder(folder)
    contents: dict[str, bytes] = {}
    entries = []
    for member, models in members.items():
        files = {}
        for backend, model in models.items():
            file = f"member{member}.{ {'onnx': 'onnx', 'torchscript': 'pt'}[backend] }"
            contents[file] = model.read_bytes() if isinstance(model, Path) else model
            files[backend] = file_entry(file, contents[file])
        entries.append({"name": member, "files": files})
    sides = []
    for spec, model in side_inputs:
        file = f"{spec.name}_encoder.onnx"
        contents[file] = model.read_bytes() if isinstance(model, Path) else model
        sides.append({**shallow(spec), "encoder": file_entry(file, contents[file])})
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "task": "sound_events",
        "labels": list(labels),
        "front_end": front_end if isinstance(front_end, LogMelConfig) else None,
        "waveform": front_end if isinstance(front_end, Waveform) else None,
        "graph": graph,
        "side_inputs": sides,
        "tagging": tagging or TaggingConfig(),
        "streaming": streaming,
        "time_stride": time_stride,
        "context_frames": context_frames,
        "look_ahead_frames": look_ahead_frames,
        "state": [{"name": key, "shape": list(shape)} for key, shape in state.items()],
        "outputs": list(outputs),
        "post_processing": post_processing or PostConfig(ClassPost()),
        "fusion": {"weights": [1.0] * len(members) if weights is None else list(weights)},
        "members": entries,
        "golden": None,
        "provenance": provenance,
    }
    manifest = checked(Manifest, values, folder)
    write_files(folder, manifest, contents)
    bundle = verified(manifest, folder.resolve())
    return bundle if golden is None else with_golden(bundle, golden)


def with_golden(bundle: Bundle, golden: Golden) -> Bundle:
    """Add ``golden`` to a bundle in a folder, or replace the one there is; return the verified bundle."""
    return verified(write_golden_of(Manifest, bundle, golden), bundle.path)
