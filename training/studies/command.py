"""The command line that the studies share."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsed.config import require
from streamsed.errors import StreamsedError
from training.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Options:
    """What the command line says: seeds, epochs that the members of a seed have in common, bootstrap resamples."""

    seeds: tuple[int, ...]
    start_epochs: int
    resamples: int = 1000


@dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes
    ----------
    recipe : str
        Whose settings all members have in common.
    seeds : tuple of int
        Of the members, unless the command line says others.
    start_epochs : int
        Of the training that the members of a seed have in common, likewise; 0: they have none.
    run : callable
        (recipe, run, options) -> (results for JSON, tables in Markdown).
    """

    recipe: str
    seeds: tuple[int, ...]
    start_epochs: int
    run: Callable[[Recipe, Path, Options], tuple[dict[str, Any], str]]


def main(study: Study, argv: Sequence[str] | None = None) -> int:
    """Run a study from the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        description="Train what is not trained yet, write results.json and tables.md to the run, print the tables."
    )
    parser.add_argument(
        "--run", type=Path, default=Path("runs") / study.recipe, help="folder of the members (%(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    parser.add_argument(
        "--seeds", default=",".join(map(str, study.seeds)), help="of the members (%(default)s)"
    )
    if study.start_epochs:
        parser.add_argument(
            "--start-epochs",
            type=int,
            default=study.start_epochs,
            help="of what all members of a seed begin with (%(default)s)",
        )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (%(default)s)")
    arguments = parser.parse_args(argv)
    try:
        texts = arguments.seeds.split(",")
        usable = all(text.strip().isdecimal() for text in texts) and len(set(texts)) == len(texts)
        require(usable, "--seeds", "different numbers with commas between", arguments.seeds)
        recipe = load_recipe(study.recipe, arguments.set)
        start_epochs = arguments.start_epochs if study.start_epochs else 0
        expected = "at least 1"
        require(start_epochs >= min(1, study.start_epochs), "--start-epochs", expected, start_epochs)
        options = Options(tuple(int(text) for text in texts), start_epochs, arguments.resamples)
        results, tables = study.run(recipe, arguments.run, options)
        arguments.run.mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=1, default=dataclasses.asdict)
        (arguments.run / "results.json").write_text(text + "\n")
        (arguments.run / "tables.md").write_text(tables)
        print(tables)
    except StreamsedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
