"""The video file of a recording: of the same name, beside its audio or in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from streamsed.errors import FormatError
from streamsed.sources.containers import CONTAINER_EXTENSIONS
from training.data.adapters.entries import visible

VIDEO_EXTENSIONS = CONTAINER_EXTENSIONS - {".aac", ".m4a", ".mka", ".wma"}
# Below a folder of this name layouts keep their sound; that of the pictures lies beside it.
_AUDIO, _VIDEO = "audio", "video"
# Resampled copies of the sound have folders of their own.
_RESAMPLED = "_16k"


class Videos:
    """Finds videos; every folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, Path]] = {}

    def of(self, audio: Path) -> Path | None:
        """Return the video file of a recording, which is the recording itself where that is a video.

        Looked for are, in this order, the folder of the audio, ``video`` in it and beside it, and the same path below
        ``video`` instead of ``audio``.

        Raises
        ------
        FormatError
            If a folder holds two of the same name.
        """
        if audio.suffix.lower() in VIDEO_EXTENSIONS:
            return audio
        folder = audio.parent
        for place in (folder, folder / _VIDEO, folder.parent / _VIDEO, *_instead_of_audio(folder)):
            found = self._files(place).get(audio.stem)
            if found is not None:
                return found
        return None

    def _files(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listed:
            self._listed[folder] = videos_by_stem(folder)
        return self._listed[folder]


def _instead_of_audio(folder: Path) -> list[Path]:
    parts = folder.parts
    if _AUDIO not in parts:
        return []
    place = len(parts) - 1 - parts[::-1].index(_AUDIO)
    same = Path(*parts[:place], _VIDEO, *parts[place + 1 :])
    return [same, same.with_name(same.name.removesuffix(_RESAMPLED))]


def videos_by_stem(folder: Path) -> dict[str, Path]:
    """Return the video files of one folder by their name without extension; none if there is no such folder.

    Raises
    ------
    FormatError
        If two have the same one.
    """
    found: dict[str, Path] = {}
    for path in visible(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file():
            if path.stem in found:
                raise FormatError(f"{path}: the same name as {found[path.stem].name}; expected one of them")
            found[path.stem] = path
    return found
