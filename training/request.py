"""What the command line asks of a task's package."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One call of ``python -m training``.

    Parameters
    ----------
    step : str
        One of the ``STEPS`` of the package.
    recipe : str
        Folder name below training/recipes.
    overrides : tuple of str
        ``section.key=value``.
    run : Path
        Folder of checkpoints and logs.
    output : Path
        Folder of the bundle.
    resume : bool
        train: continue from a checkpoint that is there.
    force : bool
        export: replace a bundle that is there.
    """

    step: str
    recipe: str
    overrides: tuple[str, ...]
    run: Path
    output: Path
    resume: bool = True
    force: bool = False


def run_step(request: Request, recipe: Any, package: str) -> bool:
    """Do one of the steps that are the same for every task; return whether it was one.

    Parameters
    ----------
    request : Request
    recipe : recipe of the task
    package : str
        Such as "training.lung": ``train.train``, ``tune.tune`` and ``export.export`` are below it, and are imported
        only when they are asked for.
    """
    if request.step not in ("train", "tune", "export"):
        return False
    step = getattr(importlib.import_module(f"{package}.{request.step}"), request.step)
    if request.step == "train":
        step(recipe, request.run, resume=request.resume)
    elif request.step == "tune":
        step(recipe, request.run)
    else:
        if request.force and request.output.exists():
            shutil.rmtree(request.output)
        print(step(recipe, request.run, request.output).path)
    return True
