"""Extracted embeddings on disk: one file for each recording, under its content and the encoder's fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import FormatError
from training.encoders.base import Encoder
from training.files import file_digest, whole_file

Precision = Literal["float16", "float32"]

_SETTINGS = "encoder.json"
_CONTENTS = "contents.tsv"
_COMMAND = "python -m training.encoders extract"


class Embeddings(NamedTuple):
    """Of one recording.

    ``features`` has shape (N, D), float16 or float32; ``times`` shape (N,), float64: when each is known, in seconds
    from the start of the recording's sound. N is 0 where there is nothing to embed, and ``reason`` says why.
    """

    features: npt.NDArray[np.floating]
    times: npt.NDArray[np.float64]
    reason: str = ""


class EmbeddingCache:
    """Embeddings of one encoder, in a folder of their own below a root that other encoders share.

    Parameters
    ----------
    root : str or Path
    encoder : Encoder
    precision : {"float16", "float32"}
        Of the stored features.

    Raises
    ------
    FormatError
        If the folder was made by another encoder; both are named.
    """

    def __init__(self, root: str | Path, encoder: Encoder, precision: Precision = "float16") -> None:
        require(precision in ("float16", "float32"), "precision", "float16 or float32", precision)
        self.root = Path(root)
        self.fingerprint = f"{encoder.fingerprint()}, {precision}"
        self.features = encoder.features
        self.precision = precision
        digest = hashlib.sha256(self.fingerprint.encode()).hexdigest()[:12]
        self._label = f"{_plain(encoder.name)}-"
        self.folder = self.root / f"{self._label}{digest}"
        self._digests = _read_contents(self.root / _CONTENTS)
        if self.folder.is_dir():
            self._check_settings()

    def _check_settings(self) -> None:
        found = read_settings(self.folder)
        if found != self.fingerprint:
            raise FormatError(
                f"{self.folder}: expected embeddings of {self.fingerprint!r}, got those of {found!r}"
            )

    def create(self) -> None:
        """Make the folder, if it is not there yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / _SETTINGS
        if not settings.exists():
            with whole_file(settings) as draft:
                draft.write_text(json.dumps({"encoder": self.fingerprint}) + "\n", encoding="utf-8")
        self._check_settings()

    def path_of(self, media: Path) -> Path:
        """Return where the embeddings of a file are, or would be: under the digest of its content, whatever its name.

        Raises
        ------
        FormatError
            If there is no such file.
        """
        return self.folder / f"{self._digest(media)[:32]}.npz"

    def _digest(self, media: Path) -> str:
        """Return the digest of a file, remembered as long as its size and time do not change."""
        try:
            status = media.stat()
        except OSError as error:
            raise FormatError(f"{media}: {error.strerror or error}") from None
        key = (str(media.resolve()), status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            digest = self._digests[key] = file_digest(media)
            if self.root.is_dir():
                line = "\t".join((digest, str(key[1]), str(key[2]), key[0]))
                with (self.root / _CONTENTS).open("a", encoding="utf-8", errors="surrogateescape") as file:
                    file.write(line + "\n")
        return self._digests[key]

    def has(self, media: Path) -> bool:
        """Say whether a file's embeddings are there, whole, and not only why there are none.

        Raises
        ------
        FormatError
            If there is no such file, or another encoder made what is there.
        """
        try:
            with _opened(self.path_of(media)) as stored:
                self._check_encoder(stored)
                return "features" in stored.files and not str(stored["reason"])
        except _DamagedError:
            return False

    def write(self, path: Path, found: Embeddings) -> None:
        """Store embeddings under a path of :meth:`path_of`.

        Raises
        ------
        FormatError
            If a feature is not finite, or too large for the precision.
        """
        features = found.features.astype(self.precision)
        if not np.isfinite(features).all():
            raise FormatError(f"expected finite features in {self.precision}, got NaN or infinity")
        with whole_file(path) as draft, draft.open("wb") as file:
            np.savez(
                file,
                features=features,
                times=found.times.astype(np.float64),
                encoder=np.array(self.fingerprint),
                reason=np.array(found.reason),
            )

    def read(self, media: Path) -> Embeddings:
        """Return what was extracted from a file.

        Raises
        ------
        FormatError
            If nothing was, or what is there is damaged, or was made by another encoder or with other settings; the
            message names both.
        """
        path = self.path_of(media)
        if not path.exists():
            raise FormatError(
                f"{media}: no embeddings of {self.fingerprint!r} below {self.root}{self._others()}"
            )
        return self._load(path)

    def _others(self) -> str:
        """Say which embeddings are there instead, and how to get the ones that are not."""
        folders = sorted(self.root.glob(f"{self._label}*")) if self.root.is_dir() else []
        others = [read_settings(folder) for folder in folders if folder != self.folder]
        instead = f", only those of {', '.join(map(repr, others))}, which are not the same" if others else ""
        return f"{instead}; make them with {_COMMAND}"

    def _load(self, path: Path) -> Embeddings:
        with _opened(path) as stored:
            self._check_encoder(stored)
            found = Embeddings(stored["features"], stored["times"], str(stored["reason"]))
        features, times, _ = found
        if features.ndim != 2 or features.shape[1] != self.features or times.shape != features.shape[:1]:
            shapes = f"{features.shape} and {times.shape}"
            raise FormatError(f"{path}: expected (N, {self.features}) and (N,), got {shapes}; delete it")
        return found

    def _check_encoder(self, stored: Any) -> None:
        encoder = str(stored["encoder"])
        if encoder != self.fingerprint:
            where = f"{self.folder}: a file in it"
            raise FormatError(
                f"{where}: expected embeddings of {self.fingerprint!r}, got those of {encoder!r}"
            )


class _DamagedError(FormatError):
    """A file that was not written to its end, or changed since."""


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _DamagedError(f"{path}: damaged; delete it and extract again: {error}") from None


def read_settings(folder: Path) -> str:
    """Return the fingerprint that a folder of a cache was made with.

    Raises
    ------
    FormatError
        If the folder does not say it.
    """
    path = folder / _SETTINGS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["encoder"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: expected the fingerprint of an encoder: {error}") from None
    return str(found)


def _read_contents(path: Path) -> dict[tuple[str, int, int], str]:
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        cells = line.split("\t", 3)
        # A line that is cut off was being written when the power failed.
        if (
            len(cells) == 4
            and re.fullmatch("[0-9a-f]{64}", cells[0])
            and cells[1].isdigit()
            and cells[2].isdigit()
        ):
            found[cells[3], int(cells[1]), int(cells[2])] = cells[0]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
