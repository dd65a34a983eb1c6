"""The command line: ``python -m training.data.icbhi``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from training.command_line import run_command
from training.data.icbhi.check import signal_notes
from training.data.icbhi.read import TOLERANCE_SECONDS, read_icbhi
from training.data.icbhi.summary import as_text


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    result = argparse.ArgumentParser(
        prog="python -m training.data.icbhi", description="Respiratory sounds in the folder of ICBHI 2017."
    )
    commands = result.add_subparsers(metavar="COMMAND", required=True)
    summary = commands.add_parser("summary", help="say what a folder holds, and what leaks in its splits")
    summary.add_argument("root", metavar="ROOT", help="holds audio_and_txt_files, or the files themselves")
    summary.add_argument(
        "--skip-bad", action="store_true", help="leave unreadable recordings out; they are listed"
    )
    summary.add_argument(
        "--check", action="store_true", help="decode everything, and list silent and clipped recordings"
    )
    summary.add_argument(
        "--tolerance",
        metavar="S",
        type=float,
        default=TOLERANCE_SECONDS,
        help=f"how far cycles may reach into the next one or beyond their audio ({TOLERANCE_SECONDS})",
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code as the streamsed command line does."""
    settings = parser().parse_args(arguments)
    return run_command("icbhi", lambda: _run(settings))


def _run(settings: argparse.Namespace) -> None:
    data = read_icbhi(settings.root, settings.skip_bad, tolerance_seconds=settings.tolerance)
    signal = signal_notes(data.recordings) if settings.check else ()
    print(as_text(data, signal), end="")


if __name__ == "__main__":
    sys.exit(main())
