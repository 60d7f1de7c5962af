# Homefeed. `make run` and `make test` do all set-up themselves.
.DEFAULT_GOAL := help
SHELL := /bin/bash
DATA ?= world
RECIPE ?=
ARGS ?=
VENV ?= .venv
BIN := $(VENV)/bin
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)
PYTEST := $(BIN)/python -m pytest
# Two processes, a file in one of them: most tests wait for servers and workers more than they
# compute. Those that take longest come first.
TWO := $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup run test check format bench clean

help: ## show these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'
	@echo "  make run DATA=../shared/data/deskdrop     the same on a real log"
	@echo "  make run DATA=my/folder RECIPE=base        your own log (docs/bring-your-own-data.md)"

setup: $(VENV)/.ready ## virtual environment, pinned dependencies, bytecode

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Homefeed needs Python 3.11 or 3.12; found: $$(python3 --version 2>&1). Install one, or name it: make run PYTHON=/path/to/python3.12"; exit 2; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (a few minutes, once)"
	@echo "  1/4 the environment"
	@$(PYTHON) -m venv $(VENV)
	@echo "  2/4 torch"
	@$(PIP) install -q --no-compile -c constraints.txt torch==2.13.0
	@echo "  3/4 all other libraries ($$(grep -c '==' constraints.txt) are pinned): the longest part"
	@$(PIP) install -q --no-compile -c constraints.txt -e '.[dev]'
	@echo "  4/4 bytecode"
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@$(BIN)/python -m compileall -q homefeed homefeed_cli components pipelines feature_repo serving
	@touch $@

run: $(VENV)/.ready ## the whole lifecycle: DATA=world (default) or a folder
	@$(BIN)/homefeed run --data "$(DATA)" $(if $(RECIPE),--recipe $(RECIPE)) $(ARGS)

test: $(VENV)/.ready ## lint, import contracts and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(if $(ARGS),$(PYTEST) $(ARGS),$(TWO) tests/integration tests/golden tests/unit)

check: $(VENV)/.ready ## the quick part: lint, import contracts, unit tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports
	$(TWO) tests/unit -m "not integration and not slow"

format: $(VENV)/.ready ## format and fix what can be fixed
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.ready ## the benchmarks of speed, one after the other
	@for b in check sequences train_step train_step_ranker embed features rank feed; do $(BIN)/python bench/$$b.py || exit 1; done

clean: ## remove the environment and everything local
	rm -rf $(VENV) .homefeed build *.egg-info
