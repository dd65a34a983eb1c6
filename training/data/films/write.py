"""Films on disk, in the layout of DESED: tables below ``metadata``, sound below ``audio``, films below ``video``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streamsed.config import require
from streamsed.errors import OutputError
from training.data.films.config import FilmConfig
from training.data.films.encode import write_mp4
from training.data.films.plan import FilmPlan
from training.data.films.render import Pictures, make_film
from training.data.soundscapes import Catalogue
from training.data.soundscapes.report import statistics
from training.data.soundscapes.tables import HEADS, table_rows


def write_part(
    out: str | Path,
    part: str,
    catalogue: Catalogue,
    config: FilmConfig,
    *,
    seed: int,
    count: int,
    supervision: str = "strong",
    force: bool = False,
) -> dict[str, Any]:
    """Write films 0 to ``count`` - 1 of a series as one part of a data set.

    ``out`` then holds ``audio/<part>/<name>.flac`` (16 bits), ``video/<part>/<name>.mp4`` (H.264 and AAC), the table
    ``metadata/<part>.tsv``, written last, and ``metadata/<part>.json``: settings, counts, and who was in each picture.
    A name is that of the part and a number: ``weak_00000``.

    Parameters
    ----------
    out : str or Path
        Made if it is not there; other parts in it stay.
    part : str
        Such as ``train/weak`` or ``test/test``.
    catalogue : Catalogue
    config : FilmConfig
    seed, count : int
    supervision : {"strong", "weak", "unlabelled"}
        What the table says: events, labels of the clip, or names alone.
    force : bool
        Replace the part if it is there already.

    Returns
    -------
    dict
        The report, as written.

    Raises
    ------
    ConfigError
        If a number is out of range or a label has no drawing.
    OutputError
        If the part is there already, or cannot be written.
    """
    require(count >= 1, "count", "at least one film", count)
    require(supervision in HEADS, "supervision", f"one of {sorted(HEADS)}", supervision)
    names = part.split("/")
    usable = all(name.isidentifier() for name in names)
    require(usable, "part", "names with slashes between, such as train/weak", part)
    out = Path(out)
    table = out / "metadata" / f"{part}.tsv"
    if table.exists() and not force:
        raise OutputError(f"{table}: exists already; --force replaces it")
    sounds, films = out / "audio" / part, out / "video" / part
    rows, scenes, objects = [HEADS[supervision]], [], []
    try:
        for folder in (sounds, films, table.parent):
            folder.mkdir(parents=True, exist_ok=True)
        table.unlink(missing_ok=True)
        for old in [*sounds.glob("*.flac"), *films.glob("*.mp4")]:
            old.unlink()
        for index in range(count):
            film = make_film(catalogue, config, seed, index)
            name = f"{names[-1]}_{index:05d}"
            samples, rate = film.scene.samples, config.sound.sample_rate
            steps = np.rint(samples * 32768).astype(np.int16)
            soundfile.write(sounds / f"{name}.flac", steps, rate, subtype="PCM_16")
            picture = config.picture
            write_mp4(films / f"{name}.mp4", film.pictures, picture.rate_hz, samples, rate, picture.quality)
            rows += table_rows(f"{name}.flac", film.scene, supervision)
            scenes.append(film.scene)
            objects.append({"name": name, **_objects(film.plan)})
        report = {
            "made_from": {"seed": seed, "supervision": supervision, "config": asdict(config)},
            **statistics(
                [scene.events for scene in scenes],
                config.sound.scene_seconds,
                [scene.plan.background.kind for scene in scenes],
            ),
            "films": objects,
        }
        text = json.dumps(report, indent=1, ensure_ascii=False)
        table.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{out}: cannot write: {error}") from None
    return report


def contact_sheet(films: Sequence[Pictures], columns: int = 8, zoom: int = 2) -> Pictures:
    """Return pictures of films side by side, a row for each, equally far apart in time."""
    rows = []
    for pictures in films:
        chosen = pictures[np.linspace(0, len(pictures) - 1, columns).round().astype(int)]
        rows.append(np.concatenate(list(chosen), axis=1))
    return np.concatenate(rows).repeat(zoom, axis=0).repeat(zoom, axis=1)


def _objects(plan: FilmPlan) -> dict[str, Any]:
    seen = [
        {"label": item.label, "sounds": item.sounds, "visible": list(item.visible), "moves": list(item.moves)}
        for item in plan.objects
    ]
    return {"off_screen": plan.off_screen, "objects": seen}
