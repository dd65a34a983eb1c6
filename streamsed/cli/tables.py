"""Plain tables: the same on a terminal, in a file and through a pipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamsed.metrics import Calibration, Interval


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return aligned columns, the first ``left`` to the left and the others to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Return names and values, one pair a line."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in rows)


def figure(value: float, decimals: int = 3) -> str:
    """Return a number; ``-`` where there is none, ``inf`` where nothing was there to divide by."""
    if math.isnan(value):
        return "-"
    return "inf" if value > 1e6 else f"{value:.{decimals}f}"


def interval_text(interval: Interval, decimals: int = 3) -> str:
    """Return both ends; ``-`` where the interval is not defined."""
    if math.isnan(interval.low):
        return "-"
    return f"{figure(interval.low, decimals)}-{figure(interval.high, decimals)}"


def calibration_table(result: Calibration, what: str, things: str) -> str:
    """Return expected error and Brier score of ``what``, and a row per bin."""
    rows = [[figure(mean, 2), figure(rate, 2), str(number)] for mean, rate, number in result.bins]
    title = (
        f"calibration of {result.count} {what}: expected error {figure(result.expected_error)}, "
        f"Brier {figure(result.brier)}\n"
    )
    return title + table(["confidence", "hit rate", things], rows, left=0)
