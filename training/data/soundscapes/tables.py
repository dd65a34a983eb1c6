"""Tables of a data set's parts as DCASE task 4 has them: with events, with labels of the clip, or with names alone."""

from __future__ import annotations

from training.data.soundscapes.render import Scene

HEADS = {
    "strong": "filename\tonset\toffset\tevent_label",
    "weak": "filename\tevent_labels",
    "unlabelled": "filename",
}


def table_rows(filename: str, scene: Scene, supervision: str) -> list[str]:
    """Return the lines that a table of this kind, one of ``HEADS``, has about a scene."""
    if supervision == "unlabelled":
        return [filename]
    if supervision == "weak":
        return [f"{filename}\t{','.join(sorted({event.label for event in scene.events}))}"]
    rows = [f"{filename}\t{event.onset:.4f}\t{event.offset:.4f}\t{event.label}" for event in scene.events]
    return rows or [f"{filename}\t\t\t"]
