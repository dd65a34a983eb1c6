"""Scenes with pictures: rendered films in which the objects that sound are seen and move.

``python -m training.data.films`` writes them to disk as a data set, :func:`make_film` makes one in memory; see
docs/films.md.
"""

from __future__ import annotations

from training.data.films.config import (
    CameraConfig,
    FilmConfig,
    ObjectConfig,
    PictureConfig,
    config_from_mapping,
)
from training.data.films.drawings import DRAWINGS
from training.data.films.encode import write_mp4
from training.data.films.plan import FilmObject, FilmPlan, draw_film, draw_pictures
from training.data.films.render import Film, make_film, picture_times, render
from training.data.films.stills import draw_still
from training.data.films.write import contact_sheet, write_part

__all__ = [
    "DRAWINGS",
    "CameraConfig",
    "Film",
    "FilmConfig",
    "FilmObject",
    "FilmPlan",
    "ObjectConfig",
    "PictureConfig",
    "config_from_mapping",
    "contact_sheet",
    "draw_film",
    "draw_pictures",
    "draw_still",
    "make_film",
    "picture_times",
    "render",
    "write_mp4",
    "write_part",
]
