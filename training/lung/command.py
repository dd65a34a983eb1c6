"""The steps of ``python -m training`` for recipes of lung sounds."""

from __future__ import annotations

import shutil

from training.lung.recipe import load_lung_recipe
from training.request import Request

STEPS = ("train", "tune", "evaluate", "export")


def run(request: Request) -> None:
    """Do what was asked for.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe, data or checkpoint.
    """
    recipe = load_lung_recipe(request.recipe, request.overrides)
    if request.step == "train":
        from training.lung.train import train

        train(recipe, request.run, resume=request.resume)
    elif request.step == "tune":
        from training.lung.tune import tune

        tune(recipe, request.run)
    elif request.step == "export":
        from training.lung.export import export

        if request.force and request.output.exists():
            shutil.rmtree(request.output)
        print(export(recipe, request.run, request.output).path)
    else:
        from training.lung.evaluate import evaluate

        evaluate(recipe, request.output, request.run)
