"""The command line: ``python -m training.data.adapters``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from streamsed.cli.console import INPUT
from training.command_line import run_command
from training.data.adapters.entries import ReadOptions
from training.data.adapters.labels import load_label_map
from training.data.adapters.layouts import LAYOUTS, check_dataset, read_dataset
from training.data.adapters.summary import as_text

_EPILOG = """examples:
  python -m training.data.adapters tut-sound-events-2016 TUT-sound-events-2016-development --labels tut-open
  python -m training.data.adapters tut-joint tut --labels tut-open --check
  python -m training.data.adapters desed dcase/dataset --subsets train/weak,validation/validation --skip-bad
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    result = argparse.ArgumentParser(
        prog="python -m training.data.adapters",
        description="Say what a data set holds and what is wrong with it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("layout", metavar="LAYOUT", choices=LAYOUTS, help=f"one of {', '.join(LAYOUTS)}")
    result.add_argument("folder", metavar="FOLDER", help="its root")
    result.add_argument(
        "--labels", metavar="NAME|TOML", help="label map (labels as they are spelled, all of them targets)"
    )
    result.add_argument("--subsets", metavar="A,B", help="official parts to read (all)")
    result.add_argument(
        "--annotations", metavar="PATH", help="event annotations, for layouts that come without"
    )
    result.add_argument(
        "--check", action="store_true", help="decode every file to its end and list all problems"
    )
    result.add_argument("--skip-bad", action="store_true", help="leave unreadable files out; they are listed")
    result.add_argument(
        "--overrun",
        metavar="S",
        type=float,
        default=ReadOptions.overrun_seconds,
        help=f"how far annotations may reach beyond their audio ({ReadOptions.overrun_seconds})",
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code as the streamsed command line does."""
    settings = parser().parse_args(arguments)
    return run_command("adapters", lambda: _run(settings))


def _run(settings: argparse.Namespace) -> int:
    options = ReadOptions(
        labels=None if settings.labels is None else load_label_map(settings.labels),
        skip_bad=settings.skip_bad,
        decode=settings.check,
        overrun_seconds=settings.overrun,
        subsets=() if settings.subsets is None else tuple(settings.subsets.split(",")),
        annotations=None if settings.annotations is None else Path(settings.annotations),
    )
    read = check_dataset if settings.check else read_dataset
    dataset = read(settings.layout, settings.folder, options)
    print(as_text(dataset), end="")
    if dataset.problems:
        print(f"adapters: {settings.folder}: {len(dataset.problems)} problems", file=sys.stderr)
        return INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
