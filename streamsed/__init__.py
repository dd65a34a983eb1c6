"""streamsed: streaming sound event detection. Heavy libraries are imported when first needed, not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from streamsed.detector import Detector, DetectorStream, load
    from streamsed.emotion import EmotionDetector, EmotionStream
    from streamsed.respiration import CycleDetector, CycleStream
    from streamsed.service import DetectorPool, PoolLane, listen

# Name -> module that has it: the import of streamsed stays fast (numpy only), see tests/test_import_time.py.
_LAZY = {
    "load": "streamsed.detector",
    "Detector": "streamsed.detector",
    "DetectorStream": "streamsed.detector",
    "CycleDetector": "streamsed.respiration",
    "CycleStream": "streamsed.respiration",
    "EmotionDetector": "streamsed.emotion",
    "EmotionStream": "streamsed.emotion",
    "listen": "streamsed.service",
    "DetectorPool": "streamsed.service",
    "PoolLane": "streamsed.service",
}

__all__ = [
    "CycleDetector",
    "CycleStream",
    "Detector",
    "DetectorPool",
    "DetectorStream",
    "EmotionDetector",
    "EmotionStream",
    "PoolLane",
    "__version__",
    "listen",
    "load",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'streamsed' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(module), name)
