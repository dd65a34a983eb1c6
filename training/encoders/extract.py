"""Embeddings of audio and video files, computed once and kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streamsed.bundle import ImageInput
from streamsed.cli.progress import Progress
from streamsed.config import require
from streamsed.errors import FormatError, StreamsedError
from streamsed.side_encoders import Planes
from streamsed.sources.video import VideoFrames
from training.encoders.base import Encoder, Floats, Kind, WaveformInput
from training.encoders.cache import EmbeddingCache, Embeddings, Precision
from training.encoders.config import encoder_from_config
from training.encoders.windows import windows
from training.jobs import run_jobs
from training.sound import read_mono

if TYPE_CHECKING:
    from training.data.adapters import Recording

DEFAULT_BATCH = 16


class Failure(NamedTuple):
    """A file of which there are no embeddings, and why: a sentence that begins with its path."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Extraction:
    """What a run did.

    Parameters
    ----------
    folder : Path
        Where the embeddings are.
    computed, known : int
        Files whose embeddings were computed, and those that had them already.
    failures : tuple of Failure
        Files that have none.
    """

    folder: Path
    computed: int
    known: int
    failures: tuple[Failure, ...]


def extract(
    media: Iterable[str | Path],
    config: Mapping[str, Any],
    cache: str | Path,
    *,
    encoder: Encoder | None = None,
    precision: Precision = "float16",
    workers: int = 1,
    batch_size: int = DEFAULT_BATCH,
    skip_bad: bool = False,
) -> Extraction:
    """Compute the embeddings of files and keep those that are not there yet; an interrupted run goes on.

    Parameters
    ----------
    media : iterable of str or Path
        Audio files, or video files, whose sound or pictures the encoder gets.
    config : mapping
        Of the encoder, see :func:`encoder_from_config`.
    cache : str or Path
        Folder, which may hold embeddings of other encoders too.
    encoder : Encoder, optional
        What ``config`` describes, if it has been made already.
    precision : {"float16", "float32"}
        Of what is stored.
    workers : int
        Processes; each has a network of its own.
    batch_size : int
        Windows or pictures that are encoded at a time.
    skip_bad : bool
        Note in the cache that there is nothing to embed in a file that cannot be read or lacks sound or pictures; such
        a recording then counts as one without this modality.

    Returns
    -------
    Extraction
        Its failures are all named; without ``skip_bad`` they are tried anew by the next run.

    Raises
    ------
    ConfigError, FormatError
        As :func:`encoder_from_config`, and if the cache was made by another encoder.
    """
    require(batch_size >= 1, "batch_size", "at least 1", batch_size)
    encoder = encoder or encoder_from_config(config)
    store = EmbeddingCache(cache, encoder, precision)
    store.create()
    paths = list(dict.fromkeys(map(Path, media)))
    todo, failures = _missing(store, paths)
    known = len(paths) - len(todo) - len(failures)
    one = workers == 1 or len(todo) <= 1
    start = functools.partial(_start, encoder if one else None, config, batch_size)
    computed = 0
    with Progress(len(todo)) as progress:
        results = run_jobs(list(todo.values()), start, workers)
        for target, path in todo.items():
            progress.begin(path.name)
            reason = _keep(store, path, target, next(results), skip_bad)
            if reason:
                failures.append(Failure(path, reason))
            computed += not reason
            progress.finish()
    return Extraction(store.folder, computed, known, tuple(failures))


def _missing(store: EmbeddingCache, paths: list[Path]) -> tuple[dict[Path, Path], list[Failure]]:
    """Return which file has to be computed for which path of the cache, and those that cannot be."""
    todo: dict[Path, Path] = {}
    failures: list[Failure] = []
    with Progress(len(paths)) as progress:
        for path in paths:
            progress.begin(f"looking for {path.name}")
            try:
                if not store.has(path):
                    todo.setdefault(store.path_of(path), path)
            except FormatError as error:
                failures.append(Failure(path, str(error)))
            progress.finish()
    return todo, failures


def _keep(store: EmbeddingCache, path: Path, target: Path, found: Embeddings, skip_bad: bool) -> str:
    """Write what was found; return why there is nothing, if there is not."""
    if not found.reason:
        try:
            store.write(target, found)
        except FormatError as error:
            found = _nothing(store.features, f"{path}: {error}")
    if found.reason and skip_bad:
        store.write(target, found)
    return found.reason


def _nothing(features: int, reason: str) -> Embeddings:
    return Embeddings(np.zeros((0, features), np.float32), np.zeros(0), reason)


def _start(
    encoder: Encoder | None, config: Mapping[str, Any], batch_size: int
) -> Callable[[Path], Embeddings]:
    if encoder is None:
        import torch

        # There are as many processes as cores are wanted.
        torch.set_num_threads(1)
        encoder = encoder_from_config(config)
    return functools.partial(_attempt, encoder, batch_size)


def _attempt(encoder: Encoder, batch_size: int, path: Path) -> Embeddings:
    try:
        return embed(path, encoder, batch_size)
    except StreamsedError as error:
        return _nothing(encoder.features, str(error))


def embed(path: Path, encoder: Encoder, batch_size: int = DEFAULT_BATCH) -> Embeddings:
    """Return the embeddings of one file.

    Raises
    ------
    FormatError
        If the file is missing, unreadable, cut off, or has no sound or no pictures.
    """
    if isinstance(encoder.input, ImageInput):
        return _collect(encoder, _pictures_of(path, encoder), batch_size)
    item = encoder.input
    rate = item.sample_rate if isinstance(item, WaveformInput) else item.front_end.sample_rate
    return _collect(encoder, windows(read_mono(path, rate), item), batch_size)


def _pictures_of(path: Path, encoder: Encoder) -> Iterator[tuple[Floats, float]]:
    item = encoder.input
    assert isinstance(item, ImageInput)
    planes = Planes(item)
    with VideoFrames(path, size=(item.height, item.width), rate_hz=encoder.rate_hz) as frames:
        for picture in frames:
            yield planes(picture.image), picture.time_seconds


def _collect(encoder: Encoder, pieces: Iterable[tuple[Floats, float]], batch_size: int) -> Embeddings:
    rows: list[Floats] = []
    times: list[float] = []
    batch: list[Floats] = []
    for piece, seconds in pieces:
        batch.append(piece)
        times.append(seconds)
        if len(batch) == batch_size:
            rows.append(encoder.encode(np.stack(batch)))
            batch = []
    if batch:
        rows.append(encoder.encode(np.stack(batch)))
    features = np.concatenate(rows) if rows else np.zeros((0, encoder.features), np.float32)
    return Embeddings(features, np.array(times, np.float64))


def media_of(recording: Recording, kind: Kind) -> Path | None:
    """Return the file that holds the sound or the pictures of a recording; None if it has no pictures."""
    return recording.path if kind == "audio" else recording.video


def media_of_all(recordings: Iterable[Recording], kind: Kind) -> list[Path]:
    """Return the files that hold the sound or the pictures of recordings; those without pictures have none."""
    return [path for item in recordings if (path := media_of(item, kind)) is not None]
