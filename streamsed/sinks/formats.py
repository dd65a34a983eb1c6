"""The text formats by name and by file extension."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

from streamsed.config import require
from streamsed.sinks.audacity import Audacity
from streamsed.sinks.human import HumanText
from streamsed.sinks.jsonl import JsonLines
from streamsed.sinks.rttm import Rttm
from streamsed.sinks.tsv import DcaseTsv
from streamsed.sinks.vtt import WebVtt
from streamsed.sinks.weak_tsv import WeakTsv
from streamsed.types import Record


class RecordFormat(Protocol):
    """Turns records into text.

    Attributes
    ----------
    extension : str
        Of files in this format, without the dot.
    header : str
        What stands before the first record, also in a file without any.
    names_source : bool
        Whether the text says which recording a record belongs to, so that several may share one output.
    """

    extension: ClassVar[str]
    header: ClassVar[str]
    names_source: ClassVar[bool]

    def render(self, record: Record) -> str:
        """Return whole lines, or an empty string for a record that the format does not carry."""
        ...


FORMATS: dict[str, type[RecordFormat]] = {
    "jsonl": JsonLines,
    "text": HumanText,
    "tsv": DcaseTsv,
    "audacity": Audacity,
    "rttm": Rttm,
    "vtt": WebVtt,
}

# Of the tags of whole recordings, which have no place in lists of events.
TAG_FORMATS: dict[str, type[RecordFormat]] = {"jsonl": JsonLines, "text": HumanText, "tsv": WeakTsv}

# Audacity's label tracks and plain text share the extension .txt; a bare .txt is taken as text.
_BY_EXTENSION = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".log": "text",
    ".tsv": "tsv",
    ".labels": "audacity",
    ".rttm": "rttm",
    ".vtt": "vtt",
}


def make_format(name: str, of_tags: bool = False, several: bool = False) -> RecordFormat:
    """Return a fresh formatter.

    Parameters
    ----------
    name : str
    of_tags : bool
        Of the tags of whole recordings.
    several : bool
        Records of several sources come mixed: each of them says whose it is.

    Raises
    ------
    ConfigError
        If there is none of that name, or it has no place for the source.
    """
    formats = TAG_FORMATS if of_tags else FORMATS
    require(name in formats, "format", f"one of {list(formats)}" + (" for tags" if of_tags else ""), name)
    if not several:
        return formats[name]()
    naming = [other for other, item in formats.items() if item.names_source]
    expected = f"one that says which source a record is of ({', '.join(naming)}), or a single source"
    require(name in naming, "format", expected, name)
    return HumanText(several=True) if formats[name] is HumanText else formats[name]()


def format_of_path(path: str, default: str = "jsonl") -> str:
    """Return the name of the format that goes with the extension of ``path``."""
    return _BY_EXTENSION.get(Path(path).suffix.lower(), default)
