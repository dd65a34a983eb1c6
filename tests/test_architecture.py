"""The floors of docs/architecture.md, kept by a machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
# A folder may include itself and lower floors.
CPP_FLOORS = {
    "testing": 0,
    "base": 1,
    "cuda": 2,
    "audio": 3,
    "frontend": 3,
    "post": 3,
    "pipeline": 4,
    "bindings": 5,
}
SOURCES = sorted(path for path in CSRC.rglob("*.*") if path.suffix in {".hpp", ".cpp", ".cu", ".cuh"})


def test_python_imports_go_downwards():
    lint_imports = Path(sys.executable).with_name("lint-imports")
    if not lint_imports.exists():
        pytest.skip("import-linter is not installed (extra: lint)")
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cpp_includes_go_downwards():
    wrong = []
    seen = 0
    for path in SOURCES:
        folder = path.relative_to(CSRC).parts[0]
        for included in re.findall(r'#include "([a-z_]+)/', path.read_text()):
            seen += 1
            allowed = included == folder or CPP_FLOORS[included] < CPP_FLOORS[folder]
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)} includes {included}/")
    assert seen > 50
    assert not wrong


def test_pybind11_stays_in_the_bindings():
    outside = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "pybind11" in path.read_text() and path.relative_to(CSRC).parts[0] != "bindings"
    ]
    assert not outside


def test_cuda_stays_in_its_folder_and_in_kernels():
    pattern = re.compile(r"\bcuda[A-Z]\w+\(|\bcuda\w+_t\b|<cuda|<<<")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        if path.relative_to(CSRC).parts[0] != "cuda"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not wrong


def test_the_core_neither_prints_nor_exits():
    pattern = re.compile(r"std::cout|std::cerr|\bprintf\(|\bexit\(|\babort\(|\bassert\(")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        if not path.stem.endswith("_test")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not wrong
