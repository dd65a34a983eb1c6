"""Features of many utterances: each is computed once, by several processes, and an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from streamsed.cli.progress import Progress
from streamsed.config import require
from streamsed.errors import FormatError, StreamsedError
from training.emotion.features.base import FeatureExtractor, FeatureSettings, Floats
from training.emotion.features.registry import make_extractor
from training.files import file_digest, whole_file
from training.jobs import run_jobs
from training.sound import read_mono


class Segment(NamedTuple):
    """A part of a recording, in seconds; all of it by default."""

    path: Path
    onset: float = 0.0
    offset: float | None = None


def compute_features(
    name: str,
    settings: FeatureSettings,
    segments: Sequence[Segment],
    cache: Path,
    *,
    root: Path = Path(),
    workers: int = 1,
    allow_empty: bool = False,
) -> tuple[Floats, tuple[str, ...]]:
    """Return the features of segments, and their names.

    Rows that are in the cache, under the content of the recording and everything that the features depend on, are read;
    the others are computed and kept one by one.

    Parameters
    ----------
    name : str
        What the features are called.
    settings : FeatureSettings
    segments : sequence of N Segment
    cache : Path
        Folder of the rows.
    root : Path
        Folder that files of models are below.
    workers : int
        Processes.
    allow_empty : bool
        A segment that has no features, such as a window of silence, has a row of NaN instead of being an error.

    Returns
    -------
    features : ndarray, shape (N, D), float32
    names : tuple of D str

    Raises
    ------
    FeaturesUnavailable
        If a package or a model is not there.
    FormatError
        If a recording cannot be read, is too short, or has a feature that is NaN; the file is named.
    """
    require(len(segments) > 0, "segments", "at least one", 0)
    extractor = make_extractor(name, settings, root)
    facts = json.dumps(extractor.fingerprint(), sort_keys=True, default=str)
    folder = cache / f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    digests = {path: file_digest(path) for path in {segment.path for segment in segments} if path.is_file()}
    files = [folder / f"{_key(segment, digests)}.npy" for segment in segments]
    todo = [(segment, file) for segment, file in zip(segments, files, strict=True) if not file.exists()]
    pieces = [
        todo[start : start + extractor.batch_size] for start in range(0, len(todo), extractor.batch_size)
    ]
    start = partial(_Worker, name, settings, root, allow_empty)
    with Progress(len(pieces)) as progress:
        progress.begin(f"features {name}")
        for _ in run_jobs(pieces, start, workers):
            progress.finish()
    return np.stack([_read(file, extractor.dimensions) for file in files]), extractor.names


Piece = list[tuple[Segment, Path]]


def _key(segment: Segment, digests: dict[Path, str]) -> str:
    if segment.path not in digests:
        raise FormatError(f"{segment.path}: no such file")
    part = "" if segment == Segment(segment.path) else f"-{segment.onset:.4f}-{segment.offset}"
    return f"{digests[segment.path][:32]}{part}"


def _read(file: Path, dimensions: int) -> npt.NDArray[np.float32]:
    row: npt.NDArray[np.float32] = np.load(file)
    if row.shape != (dimensions,):
        raise FormatError(f"{file}: expected {dimensions} features, got shape {row.shape}; delete it")
    return row


class _Worker:
    """Computes features in a process of its own."""

    def __init__(self, name: str, settings: FeatureSettings, root: Path, allow_empty: bool = False) -> None:
        self._extractor = make_extractor(name, settings, root)
        self._allow_empty = allow_empty

    def __call__(self, piece: Piece) -> None:
        try:
            rows = self._rows(piece)
        except FormatError:
            if not self._allow_empty:
                raise
            rows = [self._row_or_empty(item) for item in piece]
        for (_, file), row in zip(piece, rows, strict=True):
            with whole_file(file) as draft, draft.open("wb") as open_file:
                np.save(open_file, row)

    def _row_or_empty(self, item: tuple[Segment, Path]) -> Floats:
        try:
            return self._rows([item])[0]
        except FormatError:
            return np.full(self._extractor.dimensions, np.nan, np.float32)

    def _rows(self, piece: Piece) -> Sequence[Floats]:
        batch = []
        for segment, _ in piece:
            try:
                batch.append(_samples(segment, self._extractor))
            except StreamsedError as error:
                raise FormatError(f"{segment.path}: {error}") from None
        try:
            return list(self._extractor.extract_batch(batch))
        except StreamsedError as error:
            paths = ", ".join(str(segment.path) for segment, _ in piece)
            raise FormatError(f"{paths}: {error}") from None


def _samples(segment: Segment, extractor: FeatureExtractor) -> Floats:
    path = segment.path
    try:
        rate = int(soundfile.info(path).samplerate)
    except (soundfile.SoundFileError, OSError) as error:
        raise FormatError(str(error)) from None
    samples = read_mono(path, rate)
    end = None if segment.offset is None else round(segment.offset * rate)
    return extractor.prepared(samples[round(segment.onset * rate) : end], rate)
