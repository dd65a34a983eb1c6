"""Several seeds of one recipe: a figure without its spread is an anecdote."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamsed.config import require
from training.evaluate import evaluate
from training.export import export
from training.offline import PUBLISHED, evaluate_offline
from training.recipe import Recipe
from training.train import train

SUMMARY = "summary.json"


def repeat(recipe: Recipe, run: Path, seeds: Sequence[int], best: int = 0) -> dict[str, Any]:
    """Train, export and evaluate once for each seed, and write mean and standard deviation of every metric.

    A recipe that cannot be exported is scored as it is, on validation and test scenes. A seed whose ``metrics.json`` is
    there is not done again; one that was interrupted goes on.

    Parameters
    ----------
    recipe : Recipe
        ``train.seed`` is what differs; the scenes stay the same.
    run : Path
        Gets a folder ``seed<number>`` for each, and ``summary.json``.
    seeds : sequence of int
    best : int
        Above 0: also of the so many seeds with the largest mean of clip, segment and event F1 on the validation scenes
        (Boes and Van hamme, section 5); for a recipe that cannot be exported.

    Returns
    -------
    dict
        What ``summary.json`` holds: for each number in ``metrics.json`` (nested ones by a dotted name) its
        ``mean``, ``std`` (of a sample; None for one seed) and ``values`` in the order of the seeds; with ``best`` the
        same of those seeds under that name.
    """
    require(len(seeds) >= 1 and len(set(seeds)) == len(seeds), "seeds", "different numbers", list(seeds))
    require(0 <= best <= len(seeds), "best", f"in [0, {len(seeds)}], the number of seeds", best)
    scored = bool(recipe.offline_only) and recipe.data.validates
    require(best == 0 or scored, "best", "0 for a recipe without scores of validation scenes", best)
    found: list[dict[str, float | None]] = []
    for seed in seeds:
        folder = run / f"seed{seed}"
        metrics = folder / "metrics.json"
        if not metrics.exists():
            seeded = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=seed))
            train(seeded, folder)
            if recipe.offline_only:
                evaluate_offline(seeded, folder)
            else:
                bundle = folder / "bundle"
                shutil.rmtree(bundle, ignore_errors=True)
                export(seeded, folder, bundle, metrics={})
                evaluate(seeded, bundle, folder)
        found.append(dict(_numbers(json.loads(metrics.read_text()))))
    summary = _summary(seeds, found)
    if best:
        order = sorted(range(len(seeds)), key=lambda i: _on_validation(found[i]), reverse=True)[:best]
        summary["best"] = _summary([seeds[i] for i in order], [found[i] for i in order])
    (run / SUMMARY).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def _summary(seeds: Sequence[int], found: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    names = [name for name in found[0] if all(name in other for other in found)]
    metrics = {name: _spread([values[name] for values in found]) for name in names}
    return {"seeds": list(seeds), "metrics": metrics}


def _on_validation(values: Mapping[str, float | None]) -> float:
    """Mean of the published scores; one that is undefined is worth nothing."""
    return math.fsum(values[f"validation.{name}"] or 0.0 for name in PUBLISHED) / len(PUBLISHED)


def table(summary: Mapping[str, Any]) -> str:
    """Markdown table of a summary: metric, mean ± standard deviation, values."""
    lines = ["| metric | mean ± std | values |", "|---|---|---|"]
    for name, item in summary["metrics"].items():
        mean, std = (("-" if item[key] is None else f"{item[key]:.4f}") for key in ("mean", "std"))
        values = ", ".join("-" if value is None else f"{value:.4f}" for value in item["values"])
        lines.append(f"| {name} | {mean} ± {std} | {values} |")
    return "\n".join(lines)


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif value is None or isinstance(value, (int, float)):
            yield prefix + name, value


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """A metric that was undefined for one seed has no mean."""
    numbers = [value for value in values if value is not None]
    mean = std = None
    if len(numbers) == len(values):
        mean = math.fsum(numbers) / len(numbers)
        if len(numbers) > 1:
            std = math.sqrt(math.fsum((value - mean) ** 2 for value in numbers) / (len(numbers) - 1))
    return {"mean": mean, "std": std, "values": list(values)}
