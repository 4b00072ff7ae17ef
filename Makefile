# Works with every GNU make from 3.81 on, which macOS still ships.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Two sets of packages in one environment: what running needs, and what tests, checks and measurements need too.
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.dev
# Test processes that run side by side; the end-to-end tests, which share one stack, always run one after the other.
JOBS   ?= 2

.DEFAULT_GOAL := help

.PHONY: help venv run demo bench bench-workers attack attack-mutations timing simulate-guessing simulate-pumping queues dead-letters keys up down scale-sms test test-unit test-e2e test-real test-texts test-faults reliability test-fuzz test-compose test-compose-files test-browser screenshots state-machine lint types imports migrations-check audit-sources audit-packages sbom requirements ci clean

help:  ## Print this list
	@awk -F ':.*##' '/^[a-z][a-z0-9-]*:.*##/ { printf "  make %-18s%s\n", $$1, $$2 }' Makefile

venv: $(DEV)  ## Install what tests and checks need into .venv, too (PYTHON=python3.13 chooses the Python)

$(STAMP): requirements/run.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	    echo "latchkey: $(PYTHON) was not found. Install Python 3.11 or newer, or say where it is: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "latchkey: Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) -V 2>&1). Choose another: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 2; }
	@exec $(PYTHON) -m deploy.local.install $(VENV) requirements/run.txt
	@touch $@

$(DEV): $(STAMP) requirements/dev.txt
	@exec $(BIN)/python -m deploy.local.install $(VENV) requirements/dev.txt
	@touch $@

# What single targets need besides: a browser's driver, the checkers of containers, of packages, a rival to measure.
$(VENV)/.bench $(VENV)/.compose $(VENV)/.browser $(VENV)/.audit: $(VENV)/.%: $(DEV) requirements/%.txt
	@exec $(BIN)/python -m deploy.local.install $(VENV) requirements/$*.txt
	@touch $@

# exec: the process that make started is the supervisor itself, so a signal needs no shell to pass it on.
run: $(STAMP)  ## Start everything on this machine: http://localhost:8080 (settings: PORT, VAR_DIR, REDIS_URL ...)
	@exec $(BIN)/python -m deploy.local.run --with-parent

demo: $(STAMP)  ## Play the whole story against the running stack, or against one of its own
	@exec $(BIN)/python -m deploy.demo

bench: $(VENV)/.bench  ## Measure the stack and its workers, and print two tables (20 minutes)
	@exec $(BIN)/python -m deploy.bench

bench-workers: $(VENV)/.bench  ## The workers alone
	@exec $(BIN)/python -m deploy.bench.workers

simulate-pumping: $(DEV)  ## Play 10,000 pumped SMS among honest ones against the guards, and print who was hurt
	@exec $(BIN)/python -m deploy.simulation.pumping

simulate-guessing: $(DEV)  ## Play guesses over 10,000 leaked passwords against the limits, beside docs/guessing.md (2 minutes)
	@exec $(BIN)/python -m deploy.simulation.guessing

timing: $(DEV)  ## Measure whether the time of a refusal tells what was wrong, and print one table
	@exec $(BIN)/python -m deploy.timing

attack: $(DEV)  ## Try every known way around a second factor on a stack of its own (ARGS="--base-url ...": on another)
	@exec $(BIN)/python -m deploy.attack $(ARGS)

attack-mutations: $(DEV)  ## Switch the guards off in copies, and see that each attack is then reported
	$(BIN)/python -m pytest tests/attack -n $(JOBS) --dist worksteal

queues: $(STAMP)  ## Show how deep the queues of the running stack are, and how old the oldest unsent code is
	@exec $(BIN)/python -m deploy.local.operate shared.queues

dead-letters: $(STAMP)  ## List messages that no task could act on; DO="show ID", "replay ID" or "drop --all"
	@exec $(BIN)/python -m deploy.local.operate shared.dead_letters $(or $(DO),list)

keys: $(STAMP)  ## Show the key lists and how many secrets each key holds; DO="rotate NAME" or "rewrap": docs/keys.md
	@exec $(BIN)/python -m deploy.keys $(or $(DO),status)

up: $(STAMP)  ## Start everything in containers, for a try (needs Docker; settings: PORT, VAR_DIR, BROKER ...)
	@exec $(BIN)/python -m deploy.compose up

down: $(STAMP)  ## Stop the containers; FORGET=1 deletes their data too
	@exec $(BIN)/python -m deploy.compose down $(if $(FORGET),--forget)

scale-sms: $(STAMP)  ## Have N workers send SMS codes: make scale-sms N=4
	@exec $(BIN)/python -m deploy.compose scale $(N)

test: test-unit test-e2e  ## Run every test

test-unit: $(DEV)  ## Run the tests that need no running stack
	$(BIN)/python -m pytest tests --ignore=tests/e2e --ignore=tests/real --ignore=tests/faults --ignore=tests/compose --ignore=tests/browser --ignore=tests/fuzz --ignore=tests/attack -n $(JOBS)

# After the unit tests also under `make -j`: two at a time would measure each other.
test-e2e: $(DEV) test-unit
	$(BIN)/python -m pytest tests/e2e -n $(JOBS) --dist loadfile

test-texts: $(DEV)  ## Check the texts of all languages: places, plural forms, room, segments of SMS
	$(BIN)/python -m pytest tests/unit/texts

# FUZZ_EXAMPLES=100 tries other and more requests with each run.
test-fuzz: $(DEV)  ## Fuzz the whole stack by its own API documents, and with hostile headers
	$(BIN)/python -m pytest tests/fuzz

# Servers that pip does not install (Debian: apt-get install postgresql rabbitmq-server redis-server), started on free
# ports and thrown away. CI is set because a server that is missing fails here, and says how to get it. Most of these tests
# wait for what a broker or a worker does by its own clock, so twice as many run side by side.
test-real: $(DEV)  ## Run the tests that need PostgreSQL, RabbitMQ and a Redis with TLS
	CI=true $(BIN)/python -m pytest tests/real --ignore=tests/real/whole_stack -n $$((2 * $(JOBS))) --dist worksteal
	CI=true $(BIN)/python -m pytest tests/real/whole_stack -n $(JOBS) --dist loadfile

# Needs what test-real needs, and libfaketime for the clocks.
test-faults: $(DEV)  ## Kill, cut and slow down each part under a steady load, and print what became of it
	CI=true $(BIN)/python -m pytest tests/faults --ignore=tests/faults/test_renewals.py -n $(JOBS) --dist loadfile
	CI=true $(BIN)/python -m pytest tests/faults/test_renewals.py

reliability: export RELIABILITY = docs/reliability.md
reliability: test-faults  ## The same, and write the figures into docs/reliability.md

# What needs no engine: the files, and the health checks that containers run.
test-compose-files: $(VENV)/.compose
	CI=true $(BIN)/python -m pytest tests/compose --ignore-glob='tests/compose/test_stack*'

test-compose: $(VENV)/.compose  ## Build the images, run the whole stack in containers, kill and scale it (needs Docker)
	COMPOSE_TESTS=1 $(BIN)/python -m pytest tests/compose

# Debian: apt-get install chromium zbar-tools oathtool fonts-noto-color-emoji
test-browser: $(VENV)/.browser  ## Walk through the pages in a real browser (it says what it needs)
	$(BIN)/python -m pytest tests/browser -n $(JOBS) --dist loadfile

screenshots: $(VENV)/.browser  ## Play the help page's steps, and make the README's pictures of them anew
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/browser/test_help_page.py

lint: $(DEV)  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Prints its seed; SEED=... begins where that search began.
state-machine: $(DEV)  ## Search for calls that break the limits: make state-machine MINUTES=10
	@exec $(BIN)/python -m tests.lockout --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED))

types: $(DEV)  ## Check types
	$(BIN)/mypy

imports: $(DEV)  ## Check who may import whom
	$(BIN)/lint-imports

migrations-check: $(STAMP)  ## Check that migrations and models agree
	$(BIN)/python -m deploy.local.migrations_check

ci: lint types imports audit-sources audit-packages migrations-check test  ## Run what the build runs

audit-sources: $(VENV)/.audit  ## Look for what bandit knows as dangerous
	$(BIN)/bandit -q -c pyproject.toml -r services shared deploy

audit-packages: $(VENV)/.audit  ## Ask whether a vulnerability is known of a pinned package
	@$(BIN)/python -m deploy.supplies.audit

sbom: $(VENV)/.audit  ## Write a CycloneDX list of what each image holds into var/sbom
	@$(BIN)/python -m deploy.supplies.sbom

requirements:  ## Resolve the pinned requirements anew from requirements/*.in
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && \
	$(PYTHON) -m venv "$$tools" && "$$tools/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	for name in auth otp notify image run dev compose browser audit bench; do \
	    echo "requirements/$$name.txt" && \
	    "$$tools/bin/uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	        "requirements/$$name.in" -o "requirements/$$name.txt" || exit 1; \
	done

clean:  ## Delete the virtual environment and everything in var: keys, databases, logs
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
