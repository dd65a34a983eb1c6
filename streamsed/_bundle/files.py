"""The files of a bundle: in a folder or a zip, each verified by its hash."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from streamsed._bundle.file_entry import FileEntry
from streamsed.config import require
from streamsed.errors import BundleError

MANIFEST = "bundle.json"
GOLDEN = "golden.npz"

Arrays = TypeVar("Arrays")


class Files:
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


class ListedFiles:
    """What a verified bundle of any task does with the files that its manifest lists."""

    path: Path

    def read_bytes(self, entry: FileEntry) -> bytes:
        """Return the content of a listed file, its hash checked again as it is what will be used.

        Raises
        ------
        BundleError
            If the file is missing or its content has another hash than the manifest says.
        """
        return read_verified(self.path, entry)


def read_verified(path: Path, entry: FileEntry) -> bytes:
    """Return the content of a listed file of the bundle at ``path``.

    Raises
    ------
    BundleError
        If the file is missing or its content has another hash than the manifest says.
    """
    content = Files(path).read(entry.file)
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise BundleError(
            f"bundle {path}: {entry.file}: expected sha256 {entry.sha256}, got {digest}; "
            "the file was changed or damaged"
        )
    return content


def read_arrays(cls: type[Arrays], path: Path, entry: FileEntry | None) -> Arrays:
    """Return the dataclass of arrays ``cls`` from a listed ``.npz``, never unpickling.

    Raises
    ------
    BundleError
        If there is none, it was changed, or its arrays are not as the schema says.
    """
    if entry is None:
        raise BundleError(f"bundle {path}: golden: expected a file, got null")
    try:
        with np.load(io.BytesIO(read_verified(path, entry)), allow_pickle=False) as arrays:
            # What has a default came later, or is there for some models alone.
            names = [
                item.name
                for item in dataclasses.fields(cls)  # type: ignore[arg-type]
                if item.name in arrays or item.default is dataclasses.MISSING
            ]
            return cls(**{name: arrays[name] for name in names})
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise BundleError(f"bundle {path}: {entry.file}: {error}") from None


def packed(arrays: Any) -> bytes:
    """Return a dataclass of arrays as the content of an ``.npz``, without those that are None."""
    given = {name: array for name, array in shallow(arrays).items() if array is not None}
    with io.BytesIO() as buffer:
        np.savez_compressed(buffer, **given)
        return buffer.getvalue()


def check_array(name: str, array: npt.NDArray[Any], dtype: type[np.generic], dimensions: int) -> None:
    """Raise :class:`ConfigError` unless an array is of this type and number of dimensions."""
    sane = isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == dimensions
    received = f"{getattr(array, 'dtype', type(array))} {getattr(array, 'shape', '')}"
    require(sane, f"golden.{name}", f"{np.dtype(dtype)} with {dimensions} dimension(s)", received)


def file_entry(file: str, content: bytes) -> dict[str, str]:
    """Return what a manifest says of a file."""
    return {"file": file, "sha256": hashlib.sha256(content).hexdigest()}


def json_text(values: Mapping[str, Any]) -> str:
    """Return the text of ``bundle.json``."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def shallow(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, nested ones as they are."""
    return {item.name: getattr(instance, item.name) for item in dataclasses.fields(instance)}
