"""The command line as a whole: usage, start-up, the table of exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli import COMMAND, run

from streamsed.cli import main
from streamsed.cli.console import exit_code
from streamsed.errors import (
    BundleError,
    ConfigError,
    DeviceLost,
    DeviceNotFound,
    FormatError,
    OutputError,
    Overload,
    StateError,
)

COMMANDS = ["listen", "detect", "devices", "models", "inspect", "bundle", "latency", "evaluate", "doctor"]


def test_exit_codes_are_those_of_the_contract():
    kinds = [OutputError, ConfigError, DeviceNotFound, DeviceLost, BundleError, FormatError, Overload]
    assert [exit_code(kind("x")) for kind in kinds] == [1, 2, 3, 4, 5, 6, 7]
    assert exit_code(StateError("x")) == 1


def test_help_names_every_command():
    result = run("--help")
    assert result.returncode == 0
    assert all(f"    {command} " in result.stdout for command in COMMANDS)
    assert result.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"usage: streamsed {command}" in capsys.readouterr().out


def test_version(capsys):
    import streamsed

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"streamsed {streamsed.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: streamsed"),
        (["lisen"], "did you mean 'listen'?"),
        (["listen", "--devce", "3"], "did you mean --device?"),
        (["listen", "--input", "-", "--input", "-"], "--input: expected stdin (-) once"),
        (["listen", "--latency", "lo"], "expected one of low, balanced, high, got 'lo'; did you mean 'low'?"),
        (["listen", "--format", "xml"], "expected one of jsonl, text, tsv, audacity, rttm, vtt, got 'xml'"),
        (["listen", "--threshold", "dog"], "expected T or LABEL=T with a number T, got 'dog'"),
        (["listen", "--threshold", "dog=1.5"], "expected a threshold in (0, 1], got 1.5"),
        (["listen", "--threshold", "=0.5"], "expected T or LABEL=T"),
        (["listen", "--threshold", "nan"], "expected a threshold in (0, 1], got nan"),
        (["listen", "--duration", "0"], "expected seconds > 0, got '0'"),
        (["listen", "--duration", "inf"], "expected seconds > 0, got 'inf'"),
        (["listen", "--pre-roll", "-1"], "expected seconds >= 0, got '-1'"),
        (["listen", "--top-k", "1.5"], "expected an integer > 0, got '1.5'"),
        (["listen", "--dev", "0"], "unknown argument '--dev'"),
        (["listen", "--rate", "8000", "--input", "x.wav"], "a file knows its own"),
        (["detect"], "FILE|FOLDER"),
        (["detect", "x.wav", "-j", "0"], "expected an integer > 0, got '0'"),
        (["detect", "x.wav", "--model", "a", "--model", "b"], "--model: expected one model"),
        (["evaluate", "only-one"], "EST"),
    ],
)
def test_usage_errors_name_what_is_wrong(arguments, message, tiny_path, capsys):
    if arguments[:1] == ["listen"] and "--model" not in arguments:
        arguments = [*arguments, "--model", str(tiny_path)]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "command", [["listen", "--input", "x.wav"], ["detect", "x.wav"], ["inspect"], ["latency"]]
)
def test_an_unknown_model_lists_those_there_are(command, capsys):
    name = "everydya"
    arguments = [*command, name] if command == ["inspect"] else [*command, "--model", name]
    assert main(arguments) == 5
    message = capsys.readouterr().err
    assert "streamsed: bundle 'everydya': no such file or folder, nor shipped (shipped:" in message


@pytest.mark.parametrize(
    "arguments", [["--help"], ["models"], ["listen", "--help"], ["evaluate", "none", "none"]]
)
def test_heavy_libraries_are_not_imported_for_light_work(arguments):
    script = (
        "import sys\nfrom streamsed.cli import main\nmain(sys.argv[1:])\n"
        "heavy = {'onnxruntime', 'torch', 'sounddevice', 'soundfile', 'rich', 'scipy'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_the_console_script_and_the_module_are_the_same():
    from importlib.metadata import entry_points

    from streamsed.cli import entry_point

    (script,) = (point for point in entry_points(group="console_scripts") if point.name == "streamsed")
    assert script.load() is entry_point


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {' '.join(COMMAND)} --help | head -1"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == b""


def test_a_full_disk_is_an_error_for_listings_too(tiny_path):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [*COMMAND, "inspect", tiny_path], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_what_ends_a_command_is_said_although_another_thread_silences_descriptor_2():
    code = """
import os, sys
import streamsed.cli as cli
from streamsed.errors import DeviceLost

def run(argv):
    # What sounddevice does while PortAudio initialises.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    raise DeviceLost("device 'x' did not come back")

cli._run = run
cli.entry_point()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == "streamsed: device 'x' did not come back\n"
