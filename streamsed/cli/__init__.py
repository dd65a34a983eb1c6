"""The command line: ``streamsed COMMAND …``; one module per command, which imports what it needs when run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from streamsed.cli import bundle, detect, devices, doctor, evaluate, inspect, latency, listen, models
from streamsed.cli.console import FAILURE, USAGE, complain, exit_code, set_up_logging
from streamsed.cli.parser import Parser
from streamsed.errors import StreamsedError
from streamsed.sinks.text_sink import ReaderGone

_COMMANDS = (listen, detect, devices, models, inspect, bundle, latency, evaluate, doctor)

_EPILOG = """\
exit codes: 0 fine, 1 failure, 2 usage, 3 no usable device, 4 device lost, 5 model, 6 input, 7 overload under
--strict-realtime. Data goes to stdout, everything else to stderr.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except StreamsedError as error:
        complain(str(error))
        return exit_code(error)
    except (BrokenPipeError, ReaderGone):
        # `streamsed models | head -1`
        _silence_stdout()
        return 0
    except OSError as error:
        complain(str(error))
        _silence_stdout()
        return FAILURE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="streamsed",
        description="Streaming sound event detection: sound in, events out, with a stated latency.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"streamsed {_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in _COMMANDS:
        command.add_to(subparsers)
    try:
        arguments = parser.parse(argv)
    except SystemExit as end:
        # argparse has said what there is to say: help or a usage error.
        return end.code if isinstance(end.code, int) else USAGE
    set_up_logging()
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    code: int = arguments.run(arguments)
    return code


def _silence_stdout() -> None:
    """Keep Python from failing once more when it flushes stdout at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def entry_point() -> None:
    """Run as a program."""
    _need_standard_streams()
    sys.exit(main())


def _need_standard_streams() -> None:
    """Replace streams that were closed (``>&-``), lest the next file opened becomes stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    # A name that the terminal's encoding lacks must not end the program.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # sounddevice points descriptor 2 at nothing while PortAudio initialises, which a thread may still be at when there
    # is a lost device to be named: what we say has a descriptor of its own.
    encoding = sys.stderr.encoding
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=encoding, errors="backslashreplace")


def _version() -> str:
    from streamsed import __version__

    return __version__
