"""The steps of ``python -m training`` for recipes of dimensional emotion."""

from __future__ import annotations

from training.emotion.recipe import load_emotion_recipe
from training.request import Request

STEPS = ("train", "evaluate", "study")


def run(request: Request) -> None:
    """Do what was asked for.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe, data or packages.
    """
    recipe = load_emotion_recipe(request.recipe, request.overrides)
    if request.step == "train":
        from training.emotion.train import train

        train(recipe, request.run, resume=request.resume)
    elif request.step == "evaluate":
        from training.emotion.evaluate import evaluate

        evaluate(recipe, request.run)
    else:
        from training.emotion.study import study

        study(recipe, request.run)
