"""A file that a manifest lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from streamsed.config import require


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle, relative to its root, and the SHA-256 of its content in hexadecimal."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        """Refuse names that lead out of the bundle."""
        parts = PurePosixPath(self.file).parts
        plain = (
            bool(parts) and not self.file.startswith("/") and "\\" not in self.file and ":" not in self.file
        )
        require(plain and ".." not in parts, "file", "a relative path inside the bundle", self.file)
        require(re.fullmatch("[0-9a-f]{64}", self.sha256) is not None, "sha256", "64 hex digits", self.sha256)
