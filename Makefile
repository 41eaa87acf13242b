# Two commands matter: `make demo` shows the service at work, `make test` runs everything that CI runs.
# Python 3.11 or newer and make are all that is needed; everything else goes into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# One more than the cores of a small machine: a third of the time tests wait, for servers, leases and the emulator.
PYTEST_WORKERS ?= 3
# Where PYTHONDONTWRITEBYTECODE is set, every start of a command would compile all of this again: a third of a short command.
COMPILE = $(BIN)/python -m compileall -q core events handlers infra

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test lint unit bench bench-all smoke lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

# A stamp per set of packages: nothing is installed again unless a lock file or the project itself changed.
$(VENV)/.runtime: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) on PATH: install Python 3.11+, or run make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(COMPILE)
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.runtime ## .venv with the package in it: .venv/bin/emailsched --help

install-dev: $(VENV)/.dev ## the same with everything that tests need

demo: $(VENV)/.runtime ## two synthetic orgs through the real server, from trigger to completion event
	$(BIN)/emailsched demo

lint: $(VENV)/.dev ## formatting, ruff, mypy strict, import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.dev ## all tests, without the linters
	$(COMPILE)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS)

test: lint unit ## everything that CI runs

bench: $(VENV)/.dev ## what planning costs by org size, against the figures checked in: make bench SIZES="663 25000"
	$(BIN)/python -m benchmarks.bench_plan $(SIZES)

bench-all: $(VENV)/.dev ## every benchmark of benchmarks/ at its default size
	@for program in benchmarks/bench_*.py; do $(BIN)/python -m benchmarks.$$(basename $$program .py) || exit 1; done

smoke: $(VENV)/.runtime ## try the real cloud, then clean up: make smoke BUCKET=... PROJECT=...
	@test -n "$(BUCKET)" && test -n "$(PROJECT)" || { echo "usage: make smoke BUCKET=<bucket> PROJECT=<project>"; exit 2; }
	$(BIN)/python -m handlers.smoke --bucket "$(BUCKET)" --project "$(PROJECT)"

lock: ## write the lock files anew from pyproject.toml
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet pip-tools
	$(VENV)-lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --allow-unsafe --no-header --output-file requirements.lock pyproject.toml
	$(VENV)-lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --allow-unsafe --no-header --extra test --constraint requirements.lock \
	  --output-file requirements-dev.lock pyproject.toml
	rm -rf $(VENV)-lock

clean: ## remove what make and the demo made
	rm -rf $(VENV) $(VENV)-lock var .pytest_cache .mypy_cache .ruff_cache .hypothesis
