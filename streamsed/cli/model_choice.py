"""From ``--model``, ``--threshold``, ``--backend`` and ``--provider`` to loaded detectors."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from streamsed.config import require
from streamsed.errors import BundleError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from streamsed.bundle import AnyBundle
    from streamsed.detector import Detector
    from streamsed.emotion import EmotionDetector
    from streamsed.respiration import CycleDetector

DEFAULT_MODEL = "everyday"


def chosen_bundle(name: str | Path) -> AnyBundle:
    """Read a bundle; a name that is nearly that of a shipped one gets a suggestion.

    Raises
    ------
    BundleError
        If there is none of that name, or it cannot be used.
    """
    from streamsed.bundle import read_any_bundle, shipped_bundles

    try:
        return read_any_bundle(name)
    except BundleError as error:
        close = difflib.get_close_matches(str(name), list(shipped_bundles()), n=1)
        if close and close[0] != str(name):
            raise BundleError(f"{error}; did you mean {close[0]!r}?") from None
        raise


def load_detectors(arguments: Namespace) -> list[Detector | CycleDetector | EmotionDetector]:
    """Load what ``--model`` names, ``everyday`` if it names nothing, each with the options that concern its task."""
    from streamsed.detector import load

    bundles = [chosen_bundle(name) for name in arguments.model or [DEFAULT_MODEL]]
    check_task_options(arguments, [bundle.task for bundle in bundles])
    return [
        load(
            bundle.path,
            provider=arguments.provider,
            backend=arguments.backend,
            **task_options(arguments, bundle.task),
        )
        for bundle in bundles
    ]


# Options of one task alone: name in the arguments, and in ``load``.
_TASK_OPTIONS = {
    "respiratory_cycles": {"segmenter": "segmenter"},
    "dimensional_emotion": {"window": "window_seconds", "hop": "hop_seconds"},
}
_TASK_NAMES = {"respiratory_cycles": "respiratory cycles", "dimensional_emotion": "dimensional emotion"}


def check_task_options(arguments: Namespace, tasks: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if an option is given that no model of these tasks heeds."""
    for task, options in _TASK_OPTIONS.items():
        for option in options:
            value = getattr(arguments, option)
            expected = f"a model of {_TASK_NAMES[task]} (--model) for it"
            require(value is None or task in tasks, f"--{option}", expected, value)


def task_options(arguments: Namespace, task: str) -> dict[str, Any]:
    """Return what ``load`` is told for a model of that task."""
    return {name: getattr(arguments, option) for option, name in _TASK_OPTIONS.get(task, {}).items()}


def thresholds(
    choices: Sequence[tuple[str | None, float]], labels: Sequence[str]
) -> float | dict[str, float] | None:
    """Turn ``--threshold`` options into what ``listen`` takes; the last one wins.

    Raises
    ------
    ConfigError
        If a label is not the model's.
    """
    everywhere: float | None = None
    single: dict[str, float] = {}
    for label, value in choices:
        if label is None:
            everywhere = value
        else:
            close = difflib.get_close_matches(label, labels, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            require(label in labels, "threshold", f"a label among {', '.join(labels)}{hint}", label)
            single[label] = value
    if not single:
        return everywhere
    return {**({} if everywhere is None else dict.fromkeys(labels, everywhere)), **single}
