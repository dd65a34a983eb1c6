"""An encoder that is an ONNX graph of others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from streamsed.bundle import AudioInput, ImageInput
from streamsed.config import require
from streamsed.errors import BundleError, ConfigError, FormatError
from streamsed.models.onnx import OnnxGraph
from training.encoders.base import (
    EncoderInput,
    Floats,
    Kind,
    WaveformInput,
    check_batch,
    check_rate,
    fingerprint_of,
    item_shape,
)

Layout = Literal["", "btm", "bmt", "b1tm", "b1mt", "bchw", "bhwc", "bn", "b1n"]
# What has to be done to a batch: the axes in the graph's order, "1" for one that is added. The first is the default.
_LAYOUTS: dict[type, dict[str, tuple[int | None, ...]]] = {
    AudioInput: {"btm": (0, 1, 2), "bmt": (0, 2, 1), "b1tm": (0, None, 1, 2), "b1mt": (0, None, 2, 1)},
    ImageInput: {"bchw": (0, 1, 2, 3), "bhwc": (0, 2, 3, 1)},
    WaveformInput: {"bn": (0, 1), "b1n": (0, None, 1)},
}


@dataclass(frozen=True)
class OnnxSettings:
    """An ONNX graph as an encoder; one of ``log_mel``, ``waveform`` and ``image`` says what it takes.

    Parameters
    ----------
    file : str
    sha256 : str or None
        What the file has to be; None: what it is.
    log_mel : AudioInput or None
    waveform : WaveformInput or None
    image : ImageInput or None
    rate_hz : float or None
        Of pictures: so many a second are looked at, at most; the paper's 15 by default.
    layout : str
        Axes of its input. Log-mel: "btm" (default), "bmt", "b1tm", "b1mt" (batch, 1, time, mel); image: "bchw"
        (default), "bhwc"; waveform: "bn" (default), "b1n".
    output : str or None
        Name of the output that is the embedding; needed where there are several.
    """

    file: str
    sha256: str | None = None
    log_mel: AudioInput | None = None
    waveform: WaveformInput | None = None
    image: ImageInput | None = None
    rate_hz: float | None = None
    layout: Layout = ""
    output: str | None = None

    def __post_init__(self) -> None:
        """Check that it takes one thing, in a layout that there is."""
        given = [name for name in ("log_mel", "waveform", "image") if getattr(self, name) is not None]
        require(len(given) == 1, "log_mel, waveform, image", "one of them", given)
        if self.image is not None and self.rate_hz is None:
            object.__setattr__(self, "rate_hz", 15.0)
        check_rate(self.item, self.rate_hz)
        layouts = list(_LAYOUTS[type(self.item)])
        require(self.layout in ("", *layouts), "layout", f"one of {layouts} for {given[0]}", self.layout)

    @property
    def item(self) -> EncoderInput:
        """What it takes."""
        item = self.log_mel or self.waveform or self.image
        assert item is not None
        return item

    @property
    def axes(self) -> tuple[int | None, ...]:
        """Axes of a batch in the order of the graph; None is one that is added."""
        layouts = _LAYOUTS[type(self.item)]
        return layouts[self.layout or next(iter(layouts))]


class OnnxEncoder:
    """A graph with one input whose output (B, D), or (B, D, 1, ...), is the embedding.

    Parameters
    ----------
    settings : OnnxSettings

    Raises
    ------
    FormatError
        If the file is missing, is not the one that its hash says, or cannot be loaded.
    ConfigError
        If its input or output does not fit the settings.
    """

    kind: Kind

    def __init__(self, settings: OnnxSettings) -> None:
        path = Path(settings.file)
        if not path.is_file():
            raise FormatError(f"{path}: no such file; expected an encoder as ONNX")
        content = path.read_bytes()
        self._sha256 = hashlib.sha256(content).hexdigest()
        if settings.sha256 is not None and settings.sha256 != self._sha256:
            raise FormatError(f"{path}: expected SHA-256 {settings.sha256}, got {self._sha256}")
        try:
            self._graph = OnnxGraph(content, str(path), "cpu", 1)
        except BundleError as error:
            raise FormatError(str(error)) from None
        self.name = path.name
        self.input = settings.item
        self.rate_hz = settings.rate_hz
        self.kind = "image" if isinstance(self.input, ImageInput) else "audio"
        self._settings, self._path = settings, path
        self._one_by_one = self._check_input()
        self._output = self._choose_output()
        self.features = 0
        self.features = self.encode(np.zeros((1, *item_shape(self.input)), np.float32)).shape[1]

    def _check_input(self) -> bool:
        """Compare the graph's input with the settings; return whether its batch size is fixed to one."""
        inputs = self._graph.inputs or ()
        require(len(inputs) == 1, f"{self._path}", "one input", [item.name for item in inputs])
        require(inputs[0].type == "tensor(float)", f"{self._path}", "an input of float32", inputs[0].type)
        sizes = (0, *item_shape(self.input))
        wanted = [None if axis == 0 else 1 if axis is None else sizes[axis] for axis in self._settings.axes]
        got = inputs[0].shape
        fits = len(got) == len(wanted) and all(
            size is None or want is None or size == want for size, want in zip(got, wanted, strict=True)
        )
        shown = ["B" if size is None else size for size in wanted]
        require(
            fits, f"{self._path}: input {inputs[0].name!r}", f"shape {shown} as the settings say", list(got)
        )
        require(got[0] in (None, 1), f"{self._path}", "a free batch size, or 1", got[0])
        return got[0] == 1

    def _choose_output(self) -> str:
        names, chosen = list(self._graph.output_names or ()), self._settings.output
        if chosen is None:
            require(len(names) == 1, "output", f"one of {names}", chosen)
            return names[0]
        require(chosen in names, "output", f"one of {names}", chosen)
        return chosen

    def fingerprint(self) -> str:
        """Return one line that differs whenever an embedding can."""
        settings = self._settings
        how = f"onnx sha256 {self._sha256}, axes {settings.axes}, output {self._output}"
        return fingerprint_of(self.name, how, self.input, self.rate_hz)

    def encode(self, batch: Floats) -> Floats:
        """Return embeddings (B, D) of a batch (B, *item_shape(input))."""
        check_batch(batch, self.input)
        order = [axis for axis in self._settings.axes if axis is not None]
        added = [place for place, axis in enumerate(self._settings.axes) if axis is None]
        turned = np.ascontiguousarray(np.expand_dims(batch.transpose(order), tuple(added)))
        pieces = np.split(turned, len(turned)) if self._one_by_one and len(turned) > 1 else [turned]
        found = np.concatenate([self._call(piece) for piece in pieces])
        flat = found.reshape(len(found), -1)
        size = found.shape[1] if found.ndim > 1 else 0
        fits = found.dtype == np.float32 and len(found) == len(batch) and flat.shape[1] == size > 0
        require(fits and self.features in (0, size), f"{self._path}: output {self._output!r}",
                "float32 with shape (B, D)", f"{found.dtype} {found.shape} for a batch of {len(batch)}")  # fmt: skip
        return flat

    def _call(self, piece: Floats) -> Floats:
        try:
            return self._graph.call([piece], [self._output])[self._output]
        except BundleError as error:
            raise ConfigError(f"{error}; expected a graph that takes {piece.shape}") from None

    def to_onnx(self, path: Path) -> Path:
        """Write the graph with the axes of a batch as its input and the embedding as its only output."""
        from training.encoders.onnx_axes import with_plain_axes

        plain = with_plain_axes(
            self._path.read_bytes(), self._settings.axes, item_shape(self.input), self._output
        )
        path.write_bytes(plain)
        return path
