# Every target is what CI runs. `make setup` is made again whenever the locked requirements change.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

NEWEST := 3.13
OLDEST := 3.11
VENV := .venv
VENV_OLDEST := .venv-$(OLDEST)
BIN := $(VENV)/bin
# What needs no engine, no cluster, no browser and no built program; and of that, what takes no time either.
ALONE := not tools and not engine and not cluster and not browser and not extra
QUICK := $(ALONE) and not slow
TOOLCHAIN := $(BIN)/python -m toolchain
IMAGE ?= sf:dev
VERSION ?= unreleased
# Two at a time, which is what the smallest runner has. The tests of one file share what they start.
PARALLEL := -n 2 --dist loadfile

.PHONY: help setup demo test test-fast test-extra lint toolchain toolchain-extra golden image released bench bench-execute bench-flux bench-compose clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.done ## the virtual environment with sf in .venv/bin

$(VENV)/.done: requirements-dev.txt pyproject.toml
	./toolchain/venv.sh $(VENV) $(NEWEST)
	@touch $@

$(VENV_OLDEST)/.done: requirements-dev.txt pyproject.toml
	./toolchain/venv.sh $(VENV_OLDEST) $(OLDEST)
	@touch $@

demo: setup ## plan the example change of both modes and execute the compose one
	$(TOOLCHAIN) ensure packages
	$(TOOLCHAIN) run --any-engine --image busybox:1.36 -- ./examples/demo.sh

test: lint toolchain $(VENV_OLDEST)/.done ## everything, against real engines
	$(VENV_OLDEST)/bin/python -m pytest -q $(PARALLEL) -m '$(ALONE)'
	$(BIN)/python -m pytest -q $(PARALLEL) -m 'not extra'

test-extra: toolchain-extra ## against a real Gitea, which takes nine minutes to build
	$(BIN)/python -m pytest -q -m extra

test-fast: setup ## what needs no engine and no built tools, under a minute
	$(BIN)/python -m pytest -q $(PARALLEL) -m '$(QUICK)'

lint: setup ## formatting, style, types, architecture
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

toolchain: setup ## the real engines, built or found once, outside of the checkout
	$(TOOLCHAIN) ensure all

toolchain-extra: setup ## what is slow to build and optional
	$(TOOLCHAIN) ensure gitea

golden: toolchain ## write the golden files anew; read the difference before committing it
	$(BIN)/python -m pytest -q tests/golden tests/browser/test_pictures.py tests/unit/test_docs.py tests/cli/test_help.py \
		tests/flux/test_schema.py --update-golden

image: setup ## the container, as IMAGE; STANDINS=yes builds it where no registry is reached
	$(BIN)/python -m toolchain.image $(IMAGE) $(if $(STANDINS),--stand-ins) --version "$(VERSION)" \
		--revision "$$(git rev-parse HEAD)" $(if $(SOURCE),--source "$(SOURCE)")

released: ## name IMAGE, with its digest, in the action and the template; what a release's tag points at
	python3 -m toolchain.release "$(IMAGE)"

bench: toolchain ## what sf costs, as ratios that have to hold
	PATH="$$($(TOOLCHAIN) path):$$PATH" $(BIN)/python bench/startup.py
	PYTHONPATH=. $(BIN)/python bench/container.py

bench-execute: toolchain ## how long it takes until a change is live, as ratios that have to hold
	PATH="$$($(TOOLCHAIN) path):$$PATH" PYTHONPATH=. $(BIN)/python bench/execute.py

bench-flux: toolchain ## what a plan of a Flux repository costs, against others and as it grows; ten minutes
	PATH="$$($(TOOLCHAIN) path):$$PATH" $(BIN)/python bench/flux.py

bench-compose: toolchain ## what an estate of compose stacks costs, as ratios that have to hold
	PATH="$$($(TOOLCHAIN) path):$$PATH" PYTHONPATH=. $(BIN)/python bench/compose.py

clean: ## remove what was made inside the checkout
	rm -rf $(VENV) $(VENV_OLDEST) build dist sf-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
