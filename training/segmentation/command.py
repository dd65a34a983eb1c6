"""The steps of ``python -m training`` for recipes of cycle segmenters."""

from __future__ import annotations

from training.request import Request, run_step
from training.segmentation.recipe import load_segmentation_recipe

STEPS = ("train", "tune", "evaluate", "export")


def run(request: Request) -> None:
    """Do what was asked for.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe, data or checkpoint.
    """
    recipe = load_segmentation_recipe(request.recipe, request.overrides)
    if not run_step(request, recipe, "training.segmentation"):
        from training.segmentation.evaluate import evaluate

        evaluate(recipe, request.run)
