"""Posteriors in files: the score tables of the DCASE challenges, one per recording."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamsed._metrics.events import EventTuple
from streamsed.config import FrameClock, require
from streamsed.errors import FormatError, OutputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FrameScores:
    """Scores of one recording.

    Parameters
    ----------
    boundaries : array_like, shape (T' + 1,)
        Frame i lasts from boundary i to boundary i + 1, in seconds, rising.
    scores : array_like, shape (T', K)
        Finite; posteriors, or anything that grows with the evidence.
    labels : sequence of str
        The K columns.

    Raises
    ------
    ConfigError
        If shapes do not fit or a value cannot be used.
    """

    boundaries: Floats
    scores: Floats
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check every field."""
        boundaries = np.asarray(self.boundaries, np.float64)
        scores = np.asarray(self.scores, np.float64)
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "labels", tuple(self.labels))
        distinct = len(set(self.labels)) == len(self.labels) > 0
        require(distinct, "labels", "at least one, each once", list(self.labels))
        fits = scores.ndim == 2 and scores.shape[1] == len(self.labels)
        require(fits, "scores", f"shape (T', {len(self.labels)}), a column per label", scores.shape)
        n = len(scores)
        require(boundaries.shape == (n + 1,), "boundaries", f"shape ({n + 1},)", boundaries.shape)
        for name, values in (("boundaries", boundaries), ("scores", scores)):
            wrong = ~np.isfinite(values)
            require(not wrong.any(), name, "finite values", values[wrong][:3].tolist())
        require(bool((np.diff(boundaries) > 0).all()), "boundaries", "rising times", "one that does not rise")

    @classmethod
    def of_posteriors(cls, posteriors: ArrayLike, labels: Sequence[str], clock: FrameClock) -> FrameScores:
        """Return posteriors of shape (T', K), whose row i begins at ``clock.seconds(i)``."""
        scores = np.asarray(posteriors, np.float64)
        boundaries = np.array([clock.seconds(i) for i in range(len(scores) + 1)])
        return cls(boundaries, scores, tuple(labels))

    def truth(self, events: Iterable[EventTuple]) -> NDArray[np.bool_]:
        """Say which labels of the reference are active in which frame, shape (T', K).

        Active are the frames between the boundaries nearest to onset and offset, at least one per event: on the
        clock of the detector what its network was trained with. Events after the last frame have none.

        Raises
        ------
        ConfigError
            If an event has a label that there is no column for.
        """
        column = {label: k for k, label in enumerate(self.labels)}
        middles = (self.boundaries[:-1] + self.boundaries[1:]) / 2
        active = np.zeros(self.scores.shape, bool)
        for onset, offset, label in events:
            require(label in column, "reference", f"labels among {list(self.labels)}", label)
            if onset >= self.boundaries[-1]:
                continue
            first = min(int(np.searchsorted(middles, onset)), len(middles) - 1)
            last = int(np.searchsorted(middles, offset))
            active[first : max(last, first + 1), column[label]] = True
        return active


def read_score_files(folder: str | os.PathLike[str]) -> dict[str, FrameScores]:
    """Read a folder of score tables.

    Parameters
    ----------
    folder : path
        Holds NAME.tsv for each recording NAME: tab-separated, a header ``onset offset LABEL …``, then one row per
        frame, each beginning where the one before ends. All files have the same labels.

    Returns
    -------
    dict of str to FrameScores

    Raises
    ------
    FormatError
        If the folder, a file or a line cannot be used; the message names it.
    """
    paths = sorted(Path(folder).glob("*.tsv"))
    if not paths:
        expected = "expected a folder with one score table (.tsv) per recording"
        raise FormatError(f"{os.fspath(folder)}: {expected}")
    files = {path.stem: _read(path) for path in paths}
    first = files[paths[0].stem]
    for path in paths:
        labels = files[path.stem].labels
        if labels != first.labels:
            raise FormatError(f"{path}: labels {list(labels)}, but {list(first.labels)} in {paths[0]}")
    return files


class ScoreFileWriter:
    """Writes a score table, which :func:`read_score_files` and ``sed_scores_eval`` read, as its rows become known.

    Parameters
    ----------
    path : path
    labels : sequence of str
        The columns.
    replace : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    OutputError
        If it cannot be written, or a label holds a tab or a line break.
    """

    def __init__(self, path: str | os.PathLike[str], labels: Sequence[str], replace: bool = True) -> None:
        self._path = os.fspath(path)
        for label in labels:
            if not label or label != label.strip() or any(mark in label for mark in "\t\r\n"):
                raise OutputError(f"{self._path}: a label that cannot be a column's name: {label!r}")
        try:
            self._file = Path(path).open(  # noqa: SIM115 - closed by close()
                "w" if replace else "x", encoding="utf-8", newline="\n"
            )
        except FileExistsError:
            raise OutputError(f"{self._path}: exists already; --force replaces it") from None
        except OSError as error:
            raise OutputError(f"{self._path}: cannot write: {error.strerror}") from error
        self._put("\t".join(("onset", "offset", *labels)) + "\n")

    def write(self, boundaries: Sequence[float] | Floats, scores: NDArray[np.floating]) -> None:
        """Append rows, shape (T', K), between T' + 1 boundaries in seconds.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        times = [f"{seconds:.6f}" for seconds in boundaries]
        self._put(
            "".join(
                "\t".join((times[i], times[i + 1], *(f"{value:.9g}" for value in row))) + "\n"
                for i, row in enumerate(scores)
            )
        )

    def close(self) -> None:
        """Close the file.

        Raises
        ------
        OutputError
            If what was left could not be written.
        """
        try:
            self._file.close()
        except OSError as error:
            raise OutputError(f"{self._path}: cannot write: {error.strerror}") from error

    def _put(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            raise OutputError(f"{self._path}: cannot write: {error.strerror}") from error


def write_score_file(path: str | os.PathLike[str], scores: FrameScores) -> None:
    """Write a whole score table; see :class:`ScoreFileWriter`.

    Raises
    ------
    OutputError
        If it cannot be written, or a label holds a tab or a line break.
    """
    writer = ScoreFileWriter(path, scores.labels)
    try:
        writer.write(scores.boundaries, scores.scores)
    finally:
        writer.close()


def _read(path: Path) -> FrameScores:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise FormatError(f"{path}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not a text file (UTF-8): {error}") from error
    header = lines[0].split("\t") if lines else []
    if len(header) < 3 or header[:2] != ["onset", "offset"]:
        raise FormatError(f"{path}:1: expected onset, offset and labels, tab-separated, got {header[:4]}")
    rows = np.empty((len(lines) - 1, len(header)))
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise FormatError(f"{path}:{number}: expected {len(header)} columns, got {len(cells)}")
        try:
            rows[number - 2] = [float(cell) for cell in cells]
        except ValueError as error:
            raise FormatError(f"{path}:{number}: {error}") from error
        if not np.isfinite(rows[number - 2]).all():
            raise FormatError(f"{path}:{number}: expected finite numbers, got {line.strip()[:60]!r}")
        if number > 2 and rows[number - 2, 0] != rows[number - 3, 1]:
            raise FormatError(
                f"{path}:{number}: expected onset {rows[number - 3, 1]:g}, where the row before ends, "
                f"got {cells[0]}"
            )
        if rows[number - 2, 1] <= rows[number - 2, 0]:
            raise FormatError(f"{path}:{number}: expected an offset after the onset, got {cells[1]}")
    if len(rows) == 0:
        raise FormatError(f"{path}: no frames")
    return FrameScores(np.append(rows[:, 0], rows[-1, 1]), rows[:, 2:], tuple(header[2:]))
