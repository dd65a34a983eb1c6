"""Pytest plugin: the tests use the compiled core in the file $STREAMSED_CORE instead of the installed one.

``STREAMSED_CORE=build/emulated/... PYTHONPATH=tests python -m pytest -p chosen_core tests/test_lanes.py``
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path


def _load(path: Path) -> None:
    loader = importlib.machinery.ExtensionFileLoader("streamsed._core", str(path))
    spec = importlib.util.spec_from_file_location("streamsed._core", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # There before the package looks for it.
    sys.modules["streamsed._core"] = module
    loader.exec_module(module)
    importlib.import_module("streamsed")._core = module


_load(Path(os.environ["STREAMSED_CORE"]).resolve(strict=True))
