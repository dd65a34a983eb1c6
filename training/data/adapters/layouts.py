"""The layouts by name, and how one is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streamsed.config import require
from streamsed.errors import FormatError
from training.data.adapters import (
    desed,
    scenes,
    tut_acoustic_scenes,
    tut_joint,
    tut_sound_events,
    urban_sed,
)
from training.data.adapters.assemble import assemble
from training.data.adapters.entries import Findings, ReadOptions, require_folder
from training.data.adapters.recording import Dataset

# Of a data set without its audio there may be thousands.
_MOST_PROBLEMS = 500


class Layout(NamedTuple):
    """How a layout is read, and which of the options mean something to it."""

    find: Callable[[Path, ReadOptions, Findings], None]
    has_subsets: bool = False
    takes_annotations: bool = False


LAYOUTS: Mapping[str, Layout] = {
    "tut-sound-events-2016": Layout(tut_sound_events.find_2016),
    "tut-sound-events-2017": Layout(tut_sound_events.find_2017),
    "tut-acoustic-scenes-2016": Layout(tut_acoustic_scenes.find, takes_annotations=True),
    "tut-joint": Layout(tut_joint.find, has_subsets=True),
    "desed": Layout(desed.find, has_subsets=True),
    "urban-sed": Layout(urban_sed.find, has_subsets=True),
    "scenes": Layout(scenes.find),
}


def read_dataset(layout: str, folder: str | Path, options: ReadOptions | None = None) -> Dataset:
    """Read a folder as its authors distribute it.

    Parameters
    ----------
    layout : str
        One of ``LAYOUTS``; docs/datasets.md describes them.
    folder : str or Path
    options : ReadOptions, optional

    Raises
    ------
    ConfigError
        If the layout or a subset is unknown, or an option is missing that the layout needs or given that it does
        not know.
    FormatError
        If anything is missing, does not parse, has a label outside the map, or reaches beyond its audio. The message
        names every problem, up to a number that a person can read.
    """
    dataset = check_dataset(layout, folder, options)
    if dataset.problems:
        raise FormatError(_listed(f"{folder}", dataset.problems))
    return dataset


def _listed(where: str, problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    more = len(problems) - _MOST_PROBLEMS
    rest = [f"and {more} more; a check lists all"] if more > 0 else []
    return "\n  ".join([f"{where}: {len(problems)} problems:", *problems[:_MOST_PROBLEMS], *rest])


def check_dataset(layout: str, folder: str | Path, options: ReadOptions | None = None) -> Dataset:
    """Read a folder and return what is there, everything that is wrong among its ``problems``.

    Raises
    ------
    ConfigError
        As :func:`read_dataset`.
    """
    require(layout in LAYOUTS, "layout", f"one of {list(LAYOUTS)}", layout)
    chosen, options, findings, folder = LAYOUTS[layout], options or ReadOptions(), Findings(), Path(folder)
    subsets = list(options.subsets)
    require(chosen.has_subsets or not subsets, "subsets", f"none: {layout} has no official parts", subsets)
    annotations = None if options.annotations is None else str(options.annotations)
    expected = f"none: {layout} comes with its own"
    require(chosen.takes_annotations or annotations is None, "annotations", expected, annotations)
    with findings.collecting():
        chosen.find(require_folder(folder, f"the root of {layout}"), options, findings)
    return assemble(layout, findings, options)
