"""Argument parsing with helpful refusals."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from streamsed.config import LATENCY_PROFILES

FORMAT_NAMES = ("jsonl", "text", "tsv", "audacity", "rttm", "vtt")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that suggests what may have been meant, and whose options cannot be abbreviated."""

    def __init__(self, **options: Any) -> None:
        # An abbreviation that works today would become ambiguous with the next option.
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            close = difflib.get_close_matches(str(value), choices, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise argparse.ArgumentError(action, f"expected one of {', '.join(choices)}, got {value!r}{hint}")

    def parse(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parse, and suggest the option that an unknown one resembles."""
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            parser = getattr(namespace, "parser", self)
            parser.refuse(unknown[0])
        return namespace

    def refuse(self, argument: str) -> NoReturn:
        """End with a usage error about an argument that no option takes."""
        close = difflib.get_close_matches(argument.split("=")[0], self._option_string_actions, n=1)
        hint = f"; did you mean {close[0]}?" if close and argument.startswith("-") else ""
        self.error(f"unknown argument {argument!r}{hint}")


def add_command(
    subparsers: Any, name: str, summary: str, run: Any, **options: Any
) -> argparse.ArgumentParser:
    """Add the parser of one command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=summary, description=options.pop("description", summary), **options
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_model_options(parser: argparse.ArgumentParser, latency: str = "balanced") -> None:
    """Add what chooses a model and where it computes."""
    parser.add_argument(
        "--model", action="append", metavar="NAME|PATH", help="shipped model or bundle (default: everyday)"
    )
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        type=threshold,
        metavar="T|LABEL=T",
        help="decision threshold of all labels or of one; may be repeated",
    )
    parser.add_argument(
        "--latency",
        choices=list(LATENCY_PROFILES),
        default=latency,
        help=f"delay against smoothing (default: {latency})",
    )
    parser.add_argument(
        "--provider", choices=["cpu", "cuda", "auto"], default="cpu", help="where it computes"
    )
    parser.add_argument(
        "--backend", choices=["onnx", "torchscript"], help="what computes (default: what the model has)"
    )
    parser.add_argument(
        "--segmenter",
        choices=["crnn", "envelope", "grid"],
        help="what finds respiratory cycles (default: the model's network, crnn)",
    )
    parser.add_argument(
        "--window",
        type=seconds,
        metavar="S",
        help="sound that a record of emotion is about (default: the model's; under 3 s it is less accurate)",
    )
    parser.add_argument(
        "--hop",
        type=seconds,
        metavar="S",
        help="from one record of emotion to the next (default: the model's)",
    )


def add_channel_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a channel."""
    parser.add_argument(
        "--channel",
        type=channel,
        metavar="N",
        help="which channel is heard, from 0 (default: the mean of all)",
    )


def channel(text: str) -> int:
    """Parse a channel number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a channel number from 0, got {text!r}")
    return int(text)


def threshold(text: str) -> tuple[str | None, float]:
    """Parse ``0.5`` or ``LABEL=0.7``."""
    label, equals, value = text.rpartition("=")
    if equals and not label:
        raise argparse.ArgumentTypeError(f"expected T or LABEL=T, got {text!r}")
    try:
        number = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected T or LABEL=T with a number T, got {text!r}") from None
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"expected a threshold in (0, 1], got {value}")
    return label or None, number


def seconds(text: str) -> float:
    """Parse a positive duration."""
    return _positive(text, float, "seconds > 0")


def count(text: str) -> int:
    """Parse a positive integer."""
    return int(_positive(text, int, "an integer > 0"))


def not_negative(text: str) -> float:
    """Parse a number that is not negative."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number >= 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"expected seconds >= 0, got {text!r}")
    return number


def _positive(text: str, kind: type[float], expected: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number
