"""What ``--skip-bad`` leaves out, counted and named."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from streamsed.config import require
from streamsed.errors import FormatError
from training.data.adapters import Skipped
from training.data.soundscapes import Clip
from training.sound import seconds_of


class SkippedWarning(UserWarning):
    """Files were left out because they cannot be read."""


def warn_of_skipped(skipped: Sequence[Skipped], total: int) -> None:
    """Say of how many files which were left out, and why; say nothing if there are none."""
    if skipped:
        lines = "".join(f"\n  {item.reason}" for item in skipped)
        message = f"left out {len(skipped)} of {total} files, which cannot be read:{lines}"
        warnings.warn(message, SkippedWarning, stacklevel=2)


def readable_clips(clips: Iterable[Clip]) -> list[Clip]:
    """Return the clips that can be decoded to their end.

    Raises
    ------
    ConfigError
        If none is left.

    Warns
    -----
    SkippedWarning
        Of the others; all are named.
    """
    clips, kept, skipped = list(clips), [], []
    for clip in clips:
        try:
            seconds_of(clip.path, decode=True)
        except FormatError as error:
            skipped.append(Skipped(clip.path, str(error)))
        else:
            kept.append(clip)
    warn_of_skipped(skipped, len(clips))
    require(bool(kept), "data.clips", "at least one readable clip", f"{len(skipped)} unreadable")
    return kept
