"""From a name or a path to a verified bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

from streamsed._bundle.dimensional_emotion import EmotionBundle, parsed_emotion
from streamsed._bundle.files import MANIFEST, Files
from streamsed._bundle.manifest import SCHEMA_VERSION
from streamsed._bundle.respiratory_cycles import CycleBundle, parsed_cycles
from streamsed._bundle.sound_events import Bundle, Golden, parsed, with_golden
from streamsed.errors import BundleError

AnyBundle: TypeAlias = Bundle | CycleBundle | EmotionBundle


def shipped_bundles() -> dict[str, Path]:
    """Return name and place of every bundle that is part of the package, in order of the names."""
    root = Path(__file__).parents[1] / "bundles"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def read_any_bundle(name_or_path: str | Path) -> AnyBundle:
    """Read and verify a bundle of any task.

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
        values = json.loads(Files(path).read(MANIFEST))
    except ValueError as error:
        raise BundleError(f"bundle {path}: {MANIFEST}: not JSON: {error}") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(f"bundle {path}: schema_version: expected {SCHEMA_VERSION}, got {version!r}")
    if values.get("task") == "respiratory_cycles":
        return parsed_cycles(values, path)
    if values.get("task") == "dimensional_emotion":
        return parsed_emotion(values, path)
    return parsed(values, path)


def read_bundle(name_or_path: str | Path) -> Bundle:
    """Read and verify a bundle of the task "sound_events"; see :func:`read_any_bundle`.

    Raises
    ------
    BundleError
        As there, and if the bundle is one of another task.
    """
    bundle = read_any_bundle(name_or_path)
    if not isinstance(bundle, Bundle):
        raise BundleError(f"bundle {bundle.path}: task: expected sound_events, got {bundle.task}")
    return bundle


def write_golden(folder: str | Path, golden: Golden) -> Bundle:
    """Add ``golden`` to the bundle in ``folder``, or replace the one there is; return the verified bundle."""
    return with_golden(read_bundle(Path(folder).resolve()), golden)
