"""From ``--model``, ``--threshold``, ``--backend`` and ``--provider`` to loaded detectors."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from streamsed.config import require
from streamsed.errors import BundleError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from streamsed.bundle import AnyBundle
    from streamsed.detector import Detector
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


def load_detectors(arguments: Namespace) -> list[Detector | CycleDetector]:
    """Load what ``--model`` names, ``everyday`` if it names nothing; ``--segmenter`` concerns those that have one."""
    from streamsed.bundle import CycleBundle
    from streamsed.detector import load

    bundles = [chosen_bundle(name) for name in arguments.model or [DEFAULT_MODEL]]
    segments = [isinstance(bundle, CycleBundle) for bundle in bundles]
    expected = "a model of respiratory cycles (--model) for it"
    require(arguments.segmenter is None or any(segments), "--segmenter", expected, arguments.segmenter)
    return [
        load(
            bundle.path,
            provider=arguments.provider,
            backend=arguments.backend,
            segmenter=arguments.segmenter if has_segmenter else None,
        )
        for bundle, has_segmenter in zip(bundles, segments, strict=True)
    ]


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
