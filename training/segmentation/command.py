"""The steps of ``python -m training`` for recipes of cycle segmenters."""

from __future__ import annotations

import shutil

from training.request import Request
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
    if request.step == "train":
        from training.segmentation.train import train

        train(recipe, request.run, resume=request.resume)
    elif request.step == "export":
        from training.segmentation.export import export

        if request.force and request.output.exists():
            shutil.rmtree(request.output)
        print(export(recipe, request.run, request.output).path)
    elif request.step == "tune":
        from training.segmentation.tune import tune

        tune(recipe, request.run)
    else:
        from training.segmentation.evaluate import evaluate

        evaluate(recipe, request.run)
