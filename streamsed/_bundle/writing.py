"""How a bundle of any task is written: its manifest checked first, its files, the manifest last."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from streamsed._bundle.files import GOLDEN, MANIFEST, file_entry, json_text, packed, shallow
from streamsed.config import from_mapping
from streamsed.errors import BundleError, ConfigError


class AnyManifest(Protocol):
    """What ``bundle.json`` says, whatever the task."""

    def to_mapping(self) -> dict[str, Any]:
        """Return the object of ``bundle.json``."""


class AnyBundle(Protocol):
    """A verified bundle, whatever the task."""

    @property
    def path(self) -> Path:
        """Where its files are."""


ManifestT = TypeVar("ManifestT", bound=AnyManifest)


def empty_folder(folder: str | Path) -> Path:
    """Return a folder to write a bundle into.

    Raises
    ------
    BundleError
        If it has one already.
    """
    folder = Path(folder)
    if (folder / MANIFEST).exists():
        raise BundleError(f"folder: expected one without a bundle, got {folder}")
    return folder


def checked(kind: type[ManifestT], values: Mapping[str, Any], where: Path) -> ManifestT:
    """Return the manifest that ``values`` are, of the bundle at ``where``.

    Raises
    ------
    BundleError
        If a value does not fit the schema.
    """
    try:
        return from_mapping(kind, values, MANIFEST)
    except ConfigError as error:
        raise BundleError(f"bundle {where}: {error}") from None


def write_files(folder: Path, manifest: AnyManifest, contents: Mapping[str, bytes]) -> None:
    """Write the files of a bundle, by their names inside it, and its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    (folder / MANIFEST).write_text(json_text(manifest.to_mapping()), encoding="utf-8")


def write_golden_of(
    kind: type[ManifestT], bundle: AnyBundle, golden: Any, replaced: Mapping[str, Any] | None = None
) -> ManifestT:
    """Write ``golden`` into the folder of a bundle and return the manifest, which lists it.

    Parameters
    ----------
    kind : type
        Of the manifest.
    bundle : dataclass
        A manifest with its path.
    golden : dataclass of arrays
    replaced : mapping, optional
        Fields that the manifest has in another form than the bundle.
    """
    content = packed(golden)
    values = {**shallow(bundle), "golden": file_entry(GOLDEN, content), **(replaced or {})}
    del values["path"]
    manifest = checked(kind, values, bundle.path)
    write_files(bundle.path, manifest, {GOLDEN: content})
    return manifest
