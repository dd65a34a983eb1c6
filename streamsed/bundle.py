"""Model bundles: read, verify, write (the schema is in docs/architecture.md).

Reading never unpickles, and nothing of a bundle is used before its schema and every hash have been checked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamsed.config import ClassPost, FrameClock, LogMelConfig, PostConfig, from_mapping, require
from streamsed.errors import BundleError, ConfigError

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
GOLDEN = "golden.npz"

Backend = Literal["onnx", "torchscript"]


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle, relative to its root, and the SHA-256 of its content in hexadecimal."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        """Refuse names that lead out of the bundle."""
        parts = PurePosixPath(self.file).parts
        plain = (
            bool(parts) and not self.file.startswith("/") and "\\" not in self.file and ":" not in self.file
        )
        require(plain and ".." not in parts, "file", "a relative path inside the bundle", self.file)
        require(re.fullmatch("[0-9a-f]{64}", self.sha256) is not None, "sha256", "64 hex digits", self.sha256)


@dataclass(frozen=True)
class Streaming:
    """How the model streams: with explicit state, or on overlapping windows (in input frames)."""

    kind: Literal["causal", "windowed"]
    window_frames: int | None = None
    hop_frames: int | None = None

    def __post_init__(self) -> None:
        """Check that windows are given exactly where they are needed."""
        if self.kind == "causal":
            given = (self.window_frames, self.hop_frames)
            require(given == (None, None), "window_frames, hop_frames", "absent for a causal model", given)
            return
        require((self.window_frames or 0) > 0, "window_frames", "an integer > 0", self.window_frames)
        fits = 0 < (self.hop_frames or 0) <= (self.window_frames or 0)
        require(fits, "hop_frames", f"in [1, window_frames={self.window_frames}]", self.hop_frames)


@dataclass(frozen=True)
class Waveform:
    """Input of a network that takes samples: they come in frames that do not overlap, full scale 1."""

    sample_rate: int
    frame_length: int

    def __post_init__(self) -> None:
        """Check that there is something to count."""
        for name in ("sample_rate", "frame_length"):
            require(getattr(self, name) > 0, name, "> 0", getattr(self, name))


InputLayout = Literal["BN", "N", "B1N", "BTM", "B1TM", "BMT", "B1MT"]
OutputLayout = Literal["BTK", "TK", "BKT", "BK", "K"]
Activation = Literal["none", "sigmoid", "softmax"]


@dataclass(frozen=True)
class Graph:
    """How the tensors of a network that was made elsewhere become those of the exported graph.

    Parameters
    ----------
    input_layout : str
        Axes of the one input: B batch (1), N samples, T log-mel frames, M bands, 1 an axis of that size.
    output : str
        Name of the output that holds the scores; its number, from 0, in a tuple of TorchScript.
    output_layout : str
        Axes of that output: T rows (a frame-level output), K classes. Without T it is one row for a whole
        window (a clip-level output).
    activation : {"none", "sigmoid", "softmax"}
        What makes posteriors of the scores.
    row_seconds : float or None
        Duration that a row speaks for, the first beginning with the window; None spreads the rows evenly.
    columns : tuple of int or None
        Which classes are kept, in the order of the labels; None keeps all.
    """

    input_layout: InputLayout
    output: str
    output_layout: OutputLayout
    activation: Activation = "none"
    row_seconds: float | None = None
    columns: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        require(bool(self.output), "output", "a name", self.output)
        row = self.row_seconds
        require(row is None or 0 < row < math.inf, "row_seconds", "> 0 or null", row)
        only_frames = row is None or not self.is_clip_level
        require(only_frames, "row_seconds", f"null for a clip-level output {self.output_layout}", row)
        columns = self.columns
        sane = columns is None or (len(set(columns)) == len(columns) and min(columns, default=0) >= 0)
        require(sane, "columns", "different numbers >= 0, or null", columns)

    @property
    def is_clip_level(self) -> bool:
        """Whether the network scores a window as a whole."""
        return "T" not in self.output_layout

    @property
    def takes_samples(self) -> bool:
        """Whether the input is a waveform."""
        return "N" in self.input_layout


@dataclass(frozen=True)
class StateEntry:
    """One state tensor: its graph input is ``name``, its output ``<name>_out``; the batch axis is first."""

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the shape."""
        sane = len(self.shape) > 0 and self.shape[0] == 1 and min(self.shape) > 0
        require(sane, "shape", "positive sizes, the first being 1", self.shape)


@dataclass(frozen=True)
class Member:
    """One network of the ensemble, in one or two formats."""

    name: str
    files: Mapping[str, FileEntry]

    def __post_init__(self) -> None:
        """Check the formats."""
        known = bool(self.files) and set(self.files) <= {"onnx", "torchscript"}
        require(known, "files", "onnx, torchscript or both", sorted(self.files))


@dataclass(frozen=True)
class Fusion:
    """Weights w_m of the members."""

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that the weights can be normalised."""
        sane = all(math.isfinite(w) and w >= 0 for w in self.weights) and sum(self.weights) > 0
        require(sane, "weights", "finite numbers >= 0, not all 0", self.weights)


@dataclass(frozen=True)
class Provenance:
    """Where the model comes from and what it is good for."""

    description: str
    data: str
    licence: str
    recipe: str
    commit: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: str = ""
    source: str = ""


@dataclass(frozen=True)
class Manifest:
    """What ``bundle.json`` says; the fields are described in docs/architecture.md."""

    schema_version: int
    name: str
    task: Literal["sound_events"]
    labels: tuple[str, ...]
    front_end: LogMelConfig | None
    streaming: Streaming
    time_stride: int
    context_frames: int | None
    look_ahead_frames: int
    state: tuple[StateEntry, ...]
    outputs: tuple[str, ...]
    post_processing: PostConfig
    fusion: Fusion
    members: tuple[Member, ...]
    golden: FileEntry | None
    provenance: Provenance
    waveform: Waveform | None = None
    graph: Graph | None = None

    def __post_init__(self) -> None:
        """Check what no field can know alone."""
        require(re.fullmatch(r"[\w.-]+", self.name) is not None, "name", "letters, digits, . _ -", self.name)
        labels = self.labels
        require(bool(labels) and all(labels), "labels", "at least one, none empty", labels)
        require(len(set(labels)) == len(labels), "labels", "no label twice", labels)
        self._check_input()
        stride = self.time_stride
        require(stride > 0, "time_stride", "> 0", stride)
        context = self.context_frames
        require(context is None or context >= 0, "context_frames", ">= 0 or null", context)
        look_ahead = self.look_ahead_frames
        whole = look_ahead >= 0 and look_ahead % stride == 0
        require(whole, "look_ahead_frames", f"a multiple >= 0 of time_stride={stride}", look_ahead)
        self._check_streaming()
        names = [entry.name for entry in self.state]
        require(len(set(names)) == len(names), "state", "no name twice", names)
        allowed = (("posteriors",), ("posteriors", "confidence"))
        require(
            self.outputs in allowed, "outputs", f"one of {[list(item) for item in allowed]}", self.outputs
        )
        unknown = sorted(set(self.post_processing.labels) - set(labels))
        require(not unknown, "post_processing.labels", f"labels among {list(labels)}", unknown)
        members = [member.name for member in self.members]
        require(
            bool(members) and len(set(members)) == len(members), "members", "at least one, unique", members
        )
        require(
            len(self.fusion.weights) == len(members), "fusion.weights", f"{len(members)} of them", self.fusion
        )

    def _check_input(self) -> None:
        given = [name for name in ("front_end", "waveform") if getattr(self, name) is not None]
        require(len(given) == 1, "front_end, waveform", "one of them, and null for the other", given)
        config = self.front_end
        if config is not None:
            for name in ("sample_rate", "window_length", "hop_length", "n_mels"):
                require(getattr(config, name) > 0, f"front_end.{name}", "> 0", getattr(config, name))
            require(not config.center, "front_end.center", "false, as streams are left-aligned", True)
        if self.graph is None:
            require(self.waveform is None, "waveform", "null without graph", self.waveform)
            return
        suits = self.graph.takes_samples == (self.waveform is not None)
        expected = "N in it for a waveform, T and M for a log-mel"
        require(suits, "graph.input_layout", expected, self.graph.input_layout)
        kind = self.streaming.kind
        require(kind == "windowed", "streaming.kind", "windowed for a bundle with graph", kind)
        require(self.outputs == ("posteriors",), "outputs", "['posteriors'] beside graph", self.outputs)
        columns = self.graph.columns
        one_each = columns is None or len(columns) == len(self.labels)
        require(one_each, "graph.columns", f"{len(self.labels)} of them, one per label", columns)

    def _check_streaming(self) -> None:
        if self.streaming.kind == "causal":
            return
        require(not self.state, "state", "empty for a windowed model", [entry.name for entry in self.state])
        require(
            self.look_ahead_frames == 0, "look_ahead_frames", "0 for a windowed model", self.look_ahead_frames
        )
        for name in ("window_frames", "hop_frames"):
            frames = getattr(self.streaming, name)
            whole = frames % self.time_stride == 0
            require(whole, f"streaming.{name}", f"a multiple of time_stride={self.time_stride}", frames)

    @property
    def sample_rate(self) -> int:
        """Of the sound that the network hears, in Hz."""
        return self.clock.sample_rate

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Samples from one input frame to the next, and values in a frame: bands, or the samples themselves."""
        if self.waveform is not None:
            return self.waveform.frame_length, self.waveform.frame_length
        assert self.front_end is not None  # the constructor saw to it
        return self.front_end.hop_length, self.front_end.n_mels

    @property
    def clock(self) -> FrameClock:
        """Conversion between posterior frames and time."""
        if self.waveform is not None:
            length = self.waveform.frame_length
            return FrameClock(self.waveform.sample_rate, length, length, self.time_stride)
        config = self.front_end
        assert config is not None  # the constructor saw to it
        return FrameClock(config.sample_rate, config.hop_length, config.window_length, self.time_stride)

    def to_json(self) -> str:
        """Return the text of ``bundle.json``."""
        values = dataclasses.asdict(self)
        for name in ("waveform", "graph"):
            if values[name] is None:
                del values[name]
        values["post_processing"] = self.post_processing.to_mapping()
        values["streaming"] = {key: item for key, item in values["streaming"].items() if item is not None}
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


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
    """

    samples: npt.NDArray[np.float32]
    posteriors: npt.NDArray[np.float32]
    event_label: npt.NDArray[np.int64]
    event_times: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check types and shapes."""
        for name, dtype, dimensions in (
            ("samples", np.float32, 1),
            ("posteriors", np.float32, 2),
            ("event_label", np.int64, 1),
            ("event_times", np.float64, 2),
        ):
            array = getattr(self, name)
            sane = isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == dimensions
            received = f"{getattr(array, 'dtype', type(array))} {getattr(array, 'shape', '')}"
            require(sane, f"golden.{name}", f"{np.dtype(dtype)} with {dimensions} dimension(s)", received)
        paired = self.event_times.shape == (len(self.event_label), 2)
        require(paired, "golden.event_times", f"shape ({len(self.event_label)}, 2)", self.event_times.shape)


class _Files:
    """The files of a bundle, in a folder or in a zip (at its root, or below one top folder)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._prefix = ""
        if path.is_dir():
            return
        if not path.exists():
            raise BundleError(f"bundle {path}: no such file or folder")
        if not zipfile.is_zipfile(path):
            raise BundleError(f"bundle {path}: expected a folder or a zip file")
        with zipfile.ZipFile(path) as archive:
            manifests = [name for name in archive.namelist() if PurePosixPath(name).name == MANIFEST]
        if len(manifests) == 1 and len(PurePosixPath(manifests[0]).parts) <= 2:
            self._prefix = manifests[0][: -len(MANIFEST)]

    def read(self, name: str) -> bytes:
        """Return the content of ``name``."""
        try:
            if self._path.is_dir():
                return (self._path / name).read_bytes()
            with zipfile.ZipFile(self._path) as archive:
                return archive.read(self._prefix + name)
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise BundleError(f"bundle {self._path}: cannot read {name}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Bundle(Manifest):
    """A verified bundle: the manifest and where its files are."""

    path: Path

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest lists."""
        members = [entry for member in self.members for entry in member.files.values()]
        return (*members, *([self.golden] if self.golden else []))

    def read_bytes(self, entry: FileEntry) -> bytes:
        """Return the content of a listed file, its hash checked again as it is what will be used.

        Raises
        ------
        BundleError
            If the file is missing or its content has another hash than the manifest says.
        """
        content = _Files(self.path).read(entry.file)
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.sha256:
            raise BundleError(
                f"bundle {self.path}: {entry.file}: expected sha256 {entry.sha256}, got {digest}; "
                "the file was changed or damaged"
            )
        return content

    def read_golden(self) -> Golden:
        """Return the golden input and outputs.

        Raises
        ------
        BundleError
            If the bundle has none, or its arrays are not as the schema says.
        """
        if self.golden is None:
            raise BundleError(f"bundle {self.path}: golden: expected a file, got null")
        try:
            with np.load(io.BytesIO(self.read_bytes(self.golden)), allow_pickle=False) as arrays:
                golden = Golden(**{item.name: arrays[item.name] for item in dataclasses.fields(Golden)})
        except (ValueError, KeyError, OSError, zipfile.BadZipFile, EOFError) as error:
            raise BundleError(f"bundle {self.path}: {self.golden.file}: {error}") from None
        if golden.posteriors.shape[1] != len(self.labels):
            raise BundleError(
                f"bundle {self.path}: {self.golden.file}: posteriors: expected {len(self.labels)} columns, "
                f"got {golden.posteriors.shape[1]}"
            )
        return golden


def shipped_bundles() -> dict[str, Path]:
    """Return name and place of every bundle that is part of the package, in order of the names."""
    root = Path(__file__).parent / "bundles"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def read_bundle(name_or_path: str | Path) -> Bundle:
    """Read and verify a bundle.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped bundle, or path of a folder or zip; a folder that is called like a shipped bundle is
        meant by ``./name``.

    Raises
    ------
    BundleError
        If there is no such bundle, its schema is unknown, a key is missing, unknown or of the wrong type, or
        the hash of a file differs.
    """
    shipped = shipped_bundles()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.exists():
        known = ", ".join(shipped) or "none"
        raise BundleError(
            f"bundle {str(name_or_path)!r}: no such file or folder, nor shipped (shipped: {known})"
        )
    try:
        values = json.loads(_Files(path).read(MANIFEST))
    except ValueError as error:
        raise BundleError(f"bundle {path}: {MANIFEST}: not JSON: {error}") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(f"bundle {path}: schema_version: expected {SCHEMA_VERSION}, got {version!r}")
    try:
        manifest = from_mapping(Manifest, values, MANIFEST)
    except ConfigError as error:
        raise BundleError(f"bundle {path}: {error}") from None
    bundle = Bundle(**_shallow(manifest), path=path)
    for entry in bundle.files:
        bundle.read_bytes(entry)
    return bundle


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

    Raises
    ------
    BundleError
        If the folder has a bundle already, or a value does not fit the schema.
    """
    folder = Path(folder)
    if (folder / MANIFEST).exists():
        raise BundleError(f"folder: expected one without a bundle, got {folder}")
    contents: dict[str, bytes] = {}
    entries = []
    for member, models in members.items():
        files = {}
        for backend, model in models.items():
            file = f"member{member}.{ {'onnx': 'onnx', 'torchscript': 'pt'}[backend] }"
            contents[file] = model.read_bytes() if isinstance(model, Path) else model
            files[backend] = _entry(file, contents[file])
        entries.append({"name": member, "files": files})
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "task": "sound_events",
        "labels": list(labels),
        "front_end": front_end if isinstance(front_end, LogMelConfig) else None,
        "waveform": front_end if isinstance(front_end, Waveform) else None,
        "graph": graph,
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
    try:
        text = from_mapping(Manifest, manifest, MANIFEST).to_json()
    except ConfigError as error:
        raise BundleError(f"bundle {folder}: {error}") from None
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return read_bundle(folder.resolve()) if golden is None else write_golden(folder, golden)


def write_golden(folder: str | Path, golden: Golden) -> Bundle:
    """Add ``golden`` to the bundle in ``folder``, or replace the one there is; return the verified bundle."""
    folder = Path(folder).resolve()
    bundle = read_bundle(folder)
    with io.BytesIO() as buffer:
        np.savez_compressed(buffer, **_shallow(golden))
        content = buffer.getvalue()
    (folder / GOLDEN).write_bytes(content)
    manifest = {**_shallow(bundle), "golden": _entry(GOLDEN, content)}
    del manifest["path"]
    text = from_mapping(Manifest, manifest, MANIFEST).to_json()
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return read_bundle(folder)


def _entry(file: str, content: bytes) -> dict[str, str]:
    return {"file": file, "sha256": hashlib.sha256(content).hexdigest()}


def _shallow(instance: Any) -> dict[str, Any]:
    return {item.name: getattr(instance, item.name) for item in dataclasses.fields(instance)}
