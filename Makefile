# Works with every GNU make from 3.81 on, which macOS still ships.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Test processes that run side by side; the end-to-end tests, which share one stack, always run one after the other.
JOBS   ?= 2

.DEFAULT_GOAL := help

.PHONY: help venv run demo bench test test-unit test-e2e lint types imports migrations-check requirements ci clean

help:  ## Print this list
	@awk -F ':.*##' '/^[a-z][a-z0-9-]*:.*##/ { printf "  make %-18s%s\n", $$1, $$2 }' Makefile

venv: $(STAMP)  ## Make the virtual environment in .venv (PYTHON=python3.13 chooses the Python)

$(STAMP): requirements/dev.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	    echo "latchkey: $(PYTHON) was not found. Install Python 3.11 or newer, or say where it is: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "latchkey: Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) -V 2>&1). Choose another: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "latchkey: installing the packages into $(VENV); this takes a minute, once ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements/dev.txt
	@touch $(STAMP)

# exec: the process that make started is the supervisor itself, so a signal needs no shell to pass it on.
run: $(STAMP)  ## Start everything on this machine: http://127.0.0.1:8080 (settings: PORT, VAR_DIR, REDIS_URL ...)
	@exec $(BIN)/python -m deploy.local.run --with-parent

demo: $(STAMP)  ## Play the whole story against the running stack, or against one of its own
	@exec $(BIN)/python -m deploy.demo

bench: $(STAMP)  ## Measure the stack and print one table
	@exec $(BIN)/python -m deploy.bench

test: test-unit test-e2e  ## Run every test

test-unit: $(STAMP)  ## Run the tests that need no running stack
	$(BIN)/python -m pytest tests --ignore=tests/e2e -n $(JOBS)

# After the unit tests also under `make -j`: two at a time would measure each other.
test-e2e: $(STAMP) test-unit
	$(BIN)/python -m pytest tests/e2e

lint: $(STAMP)  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## Check types
	$(BIN)/mypy

imports: $(STAMP)  ## Check who may import whom
	$(BIN)/lint-imports

migrations-check: $(STAMP)  ## Check that migrations and models agree
	$(BIN)/python -m deploy.local.migrations_check

ci: lint types imports migrations-check test  ## Run what the build runs

requirements:  ## Resolve the pinned requirements anew from requirements/*.in
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && \
	$(PYTHON) -m venv "$$tools" && "$$tools/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	for name in auth otp notify dev; do \
	    echo "requirements/$$name.txt" && \
	    "$$tools/bin/uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	        "requirements/$$name.in" -o "requirements/$$name.txt" || exit 1; \
	done

clean:  ## Delete the virtual environment and everything in var: keys, databases, logs
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
