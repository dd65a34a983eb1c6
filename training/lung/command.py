"""The steps of ``python -m training`` for recipes of lung sounds."""

from __future__ import annotations

from training.lung.recipe import load_lung_recipe
from training.request import Request, run_step

STEPS = ("train", "tune", "evaluate", "export")


def run(request: Request) -> None:
    """Do what was asked for.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe, data or checkpoint.
    """
    recipe = load_lung_recipe(request.recipe, request.overrides)
    if not run_step(request, recipe, "training.lung"):
        from training.lung.evaluate import evaluate

        evaluate(recipe, request.output, request.run)
