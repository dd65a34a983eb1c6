"""Numbers as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from streamsed.metrics import Interval


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_std(item: Sequence[float], factor: float = 1.0, digits: int | None = None) -> str:
    """Mean and standard deviation, multiplied by ``factor``: percent with one digit, others with two."""
    digits = (1 if factor == 100 else 2) if digits is None else digits
    mean, std = (value * factor for value in item)
    spread = "" if math.isnan(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"


def with_interval(item: Interval, factor: float = 1.0, digits: int | None = None) -> str:
    """Value and interval, multiplied by ``factor``."""
    digits = (1 if factor == 100 else 3) if digits is None else digits
    value, low, high = (number * factor for number in (item.value, item.low, item.high))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
