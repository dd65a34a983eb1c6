"""What ``bundle.json`` says of a model of sound events (the schema is in docs/architecture.md)."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamsed._bundle.file_entry import FileEntry
from streamsed._bundle.side_inputs import SideInput
from streamsed.config import FrameClock, LogMelConfig, PostConfig, TaggingConfig, require

SCHEMA_VERSION = 1

Backend = Literal["onnx", "torchscript"]


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
    side_inputs: tuple[SideInput, ...] = ()
    tagging: TaggingConfig = field(default_factory=TaggingConfig)

    def __post_init__(self) -> None:
        """Check what no field can know alone."""
        require(re.fullmatch(r"[\w.-]+", self.name) is not None, "name", "letters, digits, . _ -", self.name)
        labels = self.labels
        require(bool(labels) and all(labels), "labels", "at least one, none empty", labels)
        require(len(set(labels)) == len(labels), "labels", "no label twice", labels)
        self._check_input()
        self._check_side_inputs()
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
        unknown = sorted(set(self.tagging.thresholds) - set(labels))
        require(not unknown, "tagging.thresholds", f"labels among {list(labels)}", unknown)
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

    def _check_side_inputs(self) -> None:
        names = [item.name for item in self.side_inputs]
        require(len(set(names)) == len(names), "side_inputs", "no name twice", names)
        plain = not names or (self.front_end is not None and self.graph is None)
        require(plain, "side_inputs", "none without front_end or beside graph", names)
        images = [item.name for item in self.side_inputs if item.kind == "image"]
        require(len(images) <= 1, "side_inputs", "one of kind 'image' at most", images)

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
        """Samples from one input frame to the next, and values in a frame.

        They are the bands, and the values and presence of each side input; or the samples themselves.
        """
        if self.waveform is not None:
            return self.waveform.frame_length, self.waveform.frame_length
        assert self.front_end is not None  # the constructor saw to it
        sides = sum(item.features + 1 for item in self.side_inputs)
        return self.front_end.hop_length, self.front_end.n_mels + sides

    @property
    def clock(self) -> FrameClock:
        """Conversion between posterior frames and time."""
        if self.waveform is not None:
            length = self.waveform.frame_length
            return FrameClock(self.waveform.sample_rate, length, length, self.time_stride)
        config = self.front_end
        assert config is not None  # the constructor saw to it
        return FrameClock(config.sample_rate, config.hop_length, config.window_length, self.time_stride)

    def to_mapping(self) -> dict[str, Any]:
        """Return the object of ``bundle.json``."""
        values = dataclasses.asdict(self)
        for name in ("waveform", "graph"):
            if values[name] is None:
                del values[name]
        if not self.side_inputs:
            del values["side_inputs"]
        if self.tagging == TaggingConfig():
            del values["tagging"]
        for item in values.get("side_inputs", ()):
            for name in [key for key in ("rate_hz", "image", "audio") if item[key] is None]:
                del item[name]
        values["post_processing"] = self.post_processing.to_mapping()
        values["streaming"] = {key: item for key, item in values["streaming"].items() if item is not None}
        return values
