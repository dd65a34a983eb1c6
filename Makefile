# The two commands of the README, and nothing clever. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt constraints.txt $(shell find csrc -name '*.?pp' -o -name '*.cu*' -o -name CMakeLists.txt)

.PHONY: demo test test-python test-cpp test-cuda-emulated lint stubs bench clean

demo: $(VENV)/.runtime
	$(BIN)/streamsed listen --input docs/demo/scene.flac --realtime --model everyday --format text

test: test-python test-cpp

test-python: $(VENV)/.development
	$(BIN)/python -m pytest

# The C++ tests need GoogleTest; without it they are named as skipped rather than passed over in silence.
test-cpp: $(VENV)/.development
	@if [ -f /usr/include/gtest/gtest.h ] || [ -f /usr/local/include/gtest/gtest.h ]; then \
	  PATH="$(CURDIR)/$(BIN):$$PATH"; set -e; \
	  cmake --preset release; cmake --build --preset release; ctest --preset release; \
	else echo "SKIPPED the C++ tests: GoogleTest is not installed (Debian: libgtest-dev)"; fi

# The kernels for GPUs on the CPU: a core of its own that has them, quickly compiled, and the tests of lanes with it.
test-cuda-emulated: $(VENV)/.development
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/emulated/site -C build-dir=build/emulated \
	  -C cmake.define.STREAMSED_CUDA=EMULATED -C cmake.build-type=RelWithDebInfo \
	  -C cmake.define.CMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 .
	STREAMSED_CORE="$$(ls build/emulated/site/streamsed/_core*.so)" PYTHONPATH=tests \
	  $(BIN)/python -m pytest -p chosen_core tests/test_lanes.py tests/test_front_end_lanes.py

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	find csrc -name '*.?pp' -o -name '*.cu*' | xargs $(BIN)/clang-format --dry-run --Werror

# Rewrites the type stubs of the compiled core; tests/test_stubs.py compares them.
stubs: $(VENV)/.development
	$(BIN)/python tests/core_stubs.py --write

bench: $(VENV)/.development
	cd benchmarks && for script in bench_*.py; do ../$(BIN)/python $$script; done

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.runtime: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.development: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,video,emotion,test,bench,lint]'
	touch $@ $(VENV)/.runtime

clean:
	rm -rf build $(VENV)
