"""Checkpoints know what they are of: labels, front-end and network of their recipe."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from streamsed.config import require
from streamsed.errors import ConfigError
from training.recipe import AnyRecipe

Module = TypeVar("Module", bound=nn.Module)

# What a checkpoint is continued or exported with; another network may begin with its weights.
EVERYTHING = ("labels", "front_end", "net")
WHAT_IS_HEARD = ("labels", "front_end")
_KEY = "streamsed_recipe"


def identity(recipe: AnyRecipe) -> dict[str, Any]:
    """Return what a checkpoint of ``recipe`` keeps of it, as plain lists, dictionaries and numbers."""
    facts = {
        "name": recipe.name,
        "labels": recipe.labels,
        "front_end": dataclasses.asdict(recipe.front_end),
        "net": {
            "kind": recipe.net.kind,
            "look_ahead_frames": recipe.net.look_ahead_frames,
            **dataclasses.asdict(recipe.net_config),
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def sign(checkpoint: dict[str, Any], recipe: AnyRecipe) -> None:
    """Write into a checkpoint what it is of."""
    checkpoint[_KEY] = identity(recipe)


def read_weights(path: Path, recipe: AnyRecipe, parts: Iterable[str] = EVERYTHING) -> dict[str, Tensor]:
    """Read the averaged weights of a checkpoint, if it is of the recipe.

    Parameters
    ----------
    path : Path
    recipe : AnyRecipe
    parts : iterable of str
        What has to be the same: :data:`EVERYTHING` or :data:`WHAT_IS_HEARD`. Checkpoints from before they knew what
        they are of are taken as they are.

    Raises
    ------
    ConfigError
        If there is no such file, it is no checkpoint, or it is of another recipe: what differs is named.
    """
    require(path.exists(), "checkpoint", "a file", str(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights: dict[str, Tensor] = content["state_dict"]
    except (
        RuntimeError,
        EOFError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"checkpoint: expected one of a training, got {path}: {reason}") from error
    found = content.get(_KEY)
    if isinstance(found, Mapping):
        differences = list(_differences(found, identity(recipe), parts))
        if differences:
            raise ConfigError(
                f"checkpoint: expected one of recipe {recipe.name}, got {path} of recipe {found.get('name')}: "
                + "; ".join(differences[:4])
            )
    return weights


def _differences(found: Mapping[str, Any], own: Mapping[str, Any], parts: Iterable[str]) -> Iterable[str]:
    for part in parts:
        there, here = found.get(part), own[part]
        if isinstance(there, Mapping):
            # A field that came later has its default in what is older.
            for name, value in there.items():
                if name not in here or here[name] != value:
                    yield f"{part}.{name} is {value}, expected {here.get(name)}"
        elif there is not None and there != here:
            yield f"{part} are {there}, expected {here}"


def check_shapes(path: Path, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ConfigError unless a checkpoint has the tensors of a module, in their shapes."""
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise ConfigError(f"checkpoint: expected one of the recipe's network, got {path}: {shown}")


def restored(module: Module, path: Path, recipe: AnyRecipe) -> Module:
    """Give a module the averaged weights of a checkpoint and return it, in evaluation mode.

    Raises
    ------
    ConfigError
        If there is no such checkpoint, or it is of another recipe.
    """
    weights = read_weights(path, recipe)
    check_shapes(path, weights, module.state_dict())
    module.load_state_dict(weights)
    return module.eval()
