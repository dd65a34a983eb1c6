"""`python -m training STEP --recipe NAME [--run DIR] [--set section.key=value]...`."""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
from pathlib import Path

from streamsed.config import require
from training.command_line import run_command
from training.recipe import SOUND_EVENTS, load_recipe, recipe_task
from training.request import Request

# Packages of the tasks other than sound events: each has a module ``command`` with ``STEPS`` and ``run(request)``.
PACKAGES = {
    "lung_sounds": "lung",
    "cycle_segmentation": "segmentation",
    "emotion_study": "emotion",
    "dimensional_emotion": "emotion.voice",
}
STEPS = (
    "extract",
    "train",
    "calibrate",
    "tune",
    "tune-tags",
    "evaluate",
    "export",
    "repeat",
    "plot",
    "study",
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Extract the embeddings of a recipe, train, calibrate, tune, evaluate and export it.",
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--recipe", help="folder name below training/recipes; plot needs --run alone")
    parser.add_argument("--run", type=Path, help="folder of checkpoints and logs (default: runs/<recipe>)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    parser.add_argument(
        "--no-resume", action="store_true", help="train: begin anew although a checkpoint is there"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="folder of the bundle (default: <run>/bundle); plot: the picture (default: <run>/training.png)",
    )
    parser.add_argument(
        "--seeds",
        default="0,1,2",
        help="repeat: seeds that are trained, exported and evaluated (default: 0,1,2)",
    )
    parser.add_argument(
        "--best",
        type=int,
        default=0,
        metavar="N",
        help="repeat: also the mean of the N seeds that are best on validation, of a recipe that cannot be exported",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave unreadable files out; they are counted and named"
    )
    parser.add_argument("--force", action="store_true", help="export: replace a bundle that is there")
    arguments = parser.parse_args(argv)
    if arguments.recipe is None and (arguments.step != "plot" or arguments.run is None):
        parser.error("--recipe is needed" + (", or --run" if arguments.step == "plot" else ""))
    return run_command("error", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    if arguments.step == "plot":
        from training.plot import plot

        print(plot(arguments.run or Path("runs") / arguments.recipe, arguments.output))
        return
    skip_bad = ["data.skip_bad=true"] if arguments.skip_bad else []
    overrides = (*arguments.set, *skip_bad)
    run = arguments.run or Path("runs") / arguments.recipe
    request = Request(
        arguments.step,
        arguments.recipe,
        overrides,
        run,
        arguments.output or run / "bundle",
        not arguments.no_resume,
        arguments.force,
    )
    task = recipe_task(request.recipe)
    if task == SOUND_EVENTS:
        _sound_events(request, arguments.seeds, arguments.best)
    else:
        _other_task(task, request)


def _other_task(task: str, request: Request) -> None:
    known = [SOUND_EVENTS, *PACKAGES]
    require(task in PACKAGES, "task", f"one of {known}", task)
    command = importlib.import_module(f"training.{PACKAGES[task]}.command")
    steps = command.STEPS
    require(request.step in steps, "step", f"one of {list(steps)} for a recipe of {task}", request.step)
    command.run(request)


def _sound_events(request: Request, seeds: str, best: int) -> None:
    recipe = load_recipe(request.recipe, request.overrides)
    run, output = request.run, request.output
    if request.step == "extract":
        from training.fusion.extract import extract

        extract(recipe)
    elif request.step == "train":
        from training.train import train

        train(recipe, run, resume=request.resume)
    elif request.step == "export":
        from training.export import export

        if request.force and output.exists():
            shutil.rmtree(output)
        print(export(recipe, run, output).path)
    elif request.step == "calibrate":
        from training.calibrate import calibrate

        calibrate(recipe, run)
    elif request.step == "tune":
        from training.tune import tune

        tune(recipe, output)
    elif request.step == "tune-tags":
        from training.tune import tune_only_tags

        tune_only_tags(recipe, output)
    elif request.step == "repeat":
        from training.repeat import repeat, table

        summary = repeat(recipe, run, _seeds(seeds), best)
        print(table(summary))
        if best:
            print(f"\nseeds {summary['best']['seeds']}, best on validation:\n\n{table(summary['best'])}")
    elif recipe.offline_only:
        from training.offline import evaluate_offline

        print(json.dumps(evaluate_offline(recipe, run), indent=2))
    else:
        from training.evaluate import evaluate

        evaluate(recipe, output, run)


def _seeds(text: str) -> list[int]:
    parts = text.split(",")
    require(all(part.strip().isdecimal() for part in parts), "--seeds", "numbers with commas between", text)
    return [int(part) for part in parts]


if __name__ == "__main__":
    sys.exit(main())
