"""The steps of ``python -m training`` for recipes of models of dimensional emotion that listen."""

from __future__ import annotations

from training.emotion.voice.recipe import load_voice_recipe
from training.request import Request, run_step

STEPS = ("train", "evaluate", "export")


def run(request: Request) -> None:
    """Do what was asked for.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe, data or packages.
    """
    recipe = load_voice_recipe(request.recipe, request.overrides)
    if not run_step(request, recipe, "training.emotion.voice"):
        from training.emotion.voice.evaluate import evaluate

        evaluate(recipe, request.run)
