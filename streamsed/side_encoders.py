"""Networks that make embeddings of pictures or of the sound; const, shared by any number of streams."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streamsed.bundle import Bundle, ImageInput, SideInput
from streamsed.config import require
from streamsed.errors import BundleError
from streamsed.frontend import LogMel
from streamsed.models import Graph, Provider, load_graph
from streamsed.sources.video import scaled

Floats = npt.NDArray[np.float32]


class _Encoder:
    """One graph (1, ...) -> (1, D)."""

    def __init__(self, spec: SideInput, graph: Graph, where: str, shape: tuple[int, ...]) -> None:
        self.spec = spec
        self.name = spec.name
        self.features = spec.features
        self._graph = graph
        self._where = where
        self._shape = (1, *shape)
        # Said now rather than in the middle of a stream.
        self._run(np.zeros(self._shape, np.float32))

    def _run(self, batch: Floats) -> Floats:
        outputs = list(self._graph.call((batch,)).values())
        expected = (1, self.features)
        if len(outputs) != 1 or outputs[0].shape != expected:
            shapes = [output.shape for output in outputs]
            raise BundleError(
                f"{self._where}: expected one output {expected} for {self._shape}, got {shapes}"
            )
        row: Floats = np.asarray(outputs[0][0], np.float32)
        if not np.isfinite(row).all():
            raise BundleError(f"{self._where}: expected finite embeddings, got NaN or Inf")
        return row


class Planes:
    """Makes what an encoder takes of RGB pictures: (value / 255 - mean) / std, one plane for each colour.

    Parameters
    ----------
    spec : ImageInput
    """

    def __init__(self, spec: ImageInput) -> None:
        mean, std = (np.asarray(values, np.float32) for values in (spec.mean, spec.std))
        self._scale = (1 / (255 * std))[:, np.newaxis, np.newaxis].astype(np.float32)
        self._offset = (mean / std)[:, np.newaxis, np.newaxis].astype(np.float32)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """Return (3, height, width) of a picture (height, width, 3)."""
        values: Floats = np.moveaxis(pixels, 2, 0).astype(np.float32) * self._scale - self._offset
        return values


class ImageEncoder(_Encoder):
    """Makes an embedding of a picture.

    Attributes
    ----------
    name : str
    features : int
        D.
    size : (height, width)
        That pictures are scaled to.
    rate_hz : float or None
        So many pictures a second are used at most.
    """

    def __init__(self, spec: SideInput, graph: Graph, where: str) -> None:
        assert spec.image is not None  # the manifest saw to it
        self.size = (spec.image.height, spec.image.width)
        self.rate_hz = spec.rate_hz
        self._planes = Planes(spec.image)
        super().__init__(spec, graph, where, (3, *self.size))

    def __call__(self, image: npt.ArrayLike) -> Floats:
        """Return the embedding, shape (D,), of an RGB picture, shape (height, width, 3) uint8, of any size.

        Raises
        ------
        ConfigError
            Another type or shape; a picture of another size than the encoder's, if PyAV is not installed.
        """
        pixels = np.asarray(image)
        sane = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size > 0
        expected = "uint8 with shape (height, width, 3), RGB"
        require(sane, "image", expected, f"{pixels.dtype} {pixels.shape}")
        return self._run(self._planes(scaled(pixels, self.size))[np.newaxis])


class AudioEncoder(_Encoder):
    """Makes an embedding of a stretch of sound.

    Attributes
    ----------
    name : str
    features : int
        D.
    log_mel : LogMel
        Its front-end, shared.
    window_frames, hop_frames : int
        Frames that an embedding is of, and from one to the next.
    """

    def __init__(self, spec: SideInput, graph: Graph, where: str) -> None:
        assert spec.audio is not None  # the manifest saw to it
        self.log_mel = LogMel(spec.audio.front_end)
        self.window_frames = spec.audio.window_frames
        self.hop_frames = spec.audio.hop_frames
        super().__init__(spec, graph, where, (self.window_frames, spec.audio.front_end.n_mels))

    def __call__(self, frames: Floats) -> Floats:
        """Return the embedding, shape (D,), of log-mel frames, shape (window_frames, n_mels)."""
        return self._run(np.ascontiguousarray(frames[np.newaxis]))


SideEncoder: TypeAlias = ImageEncoder | AudioEncoder


def load_side_encoders(
    bundle: Bundle, provider: Provider = "cpu", num_threads: int | None = None
) -> tuple[SideEncoder, ...]:
    """Load the encoders of a bundle's side inputs, in their order, and try each once.

    Raises
    ------
    BundleError
        If one does not do what the bundle says.
    ConfigError
        If the provider is not there.
    """
    encoders: list[SideEncoder] = []
    for spec in bundle.side_inputs:
        where = f"bundle {bundle.name}: {spec.encoder.file}"
        graph = load_graph(bundle.read_bytes(spec.encoder), where, "onnx", provider, num_threads)
        kind = ImageEncoder if spec.kind == "image" else AudioEncoder
        encoders.append(kind(spec, graph, where))
    return tuple(encoders)
