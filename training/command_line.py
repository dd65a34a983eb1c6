"""How every command of the trainings ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from streamsed.cli.console import exit_code
from streamsed.errors import StreamsedError


def run_command(name: str, action: Callable[[], int | None], interrupted: str = "") -> int:
    """Run a command and return its exit code, which is that of the streamsed command line.

    Parameters
    ----------
    name : str
        What errors begin with.
    action : callable
        Its exit code, or nothing where all went well.
    interrupted : str
        Said after Ctrl-C, when there is something to say.
    """
    try:
        return action() or 0
    except StreamsedError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        if interrupted:
            print(f"{name}: {interrupted}", file=sys.stderr)
        return 130
