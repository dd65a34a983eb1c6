"""Extracts the embeddings that a recipe fuses."""

from __future__ import annotations

from streamsed.config import require
from training.encoders.extract import Extraction, media_of_all
from training.encoders.extract import extract as extract_files
from training.fusion.readers import KINDS, encoder_of
from training.fusion.sides import check_recordings
from training.recipe import Recipe
from training.source import scene_source


def extract(recipe: Recipe) -> dict[str, Extraction]:
    """Make the embeddings of all recordings of a recipe that are not there yet, and print how many.

    Returns
    -------
    dict
        By side input.

    Raises
    ------
    ConfigError
        If the recipe fuses nothing, or an encoder does not fit.
    FormatError
        If the data set or a weight file is missing or wrong; with files that cannot be embedded, unless
        ``data.skip_bad``.
    """
    settings = recipe.fusion
    require(bool(settings.sides), "fusion.inputs", "auditory or visual, to extract", list(settings.inputs))
    check_recordings(recipe)
    there = {"train": True, "validation": recipe.data.validates, "test": recipe.data.recordings.tests}
    splits = [split for split, is_there in there.items() if is_there]
    recordings = [item for split in splits for item in scene_source(recipe, split).recordings]
    done = {}
    for name, side in settings.sides.items():
        encoder_of(settings, name)
        done[name] = extract_files(
            media_of_all(recordings, KINDS[name]),
            side.encoder,
            settings.cache,
            workers=recipe.data.workers,
            skip_bad=recipe.data.skip_bad,
        )
        print(f"{name}: {done[name].computed} extracted, {done[name].known} were there")
    failures = [failure for item in done.values() for failure in item.failures]
    for failure in failures:
        print(f"no embeddings: {failure.reason}")
    usable = recipe.data.skip_bad or not failures
    require(usable, "data", "files that can be embedded, or --skip-bad", f"{len(failures)} that cannot")
    return done
