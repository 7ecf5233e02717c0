# salesforecast: `make run` and `make test` are all a newcomer needs; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

SOURCE ?= data/synthetic/synthetic_ecommerce_data.csv
ROWS ?= 60000

help: ## List the targets
	@awk -F ':.*## ' '/^[a-zA-Z0-9_-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- the environment -------------------------------------------------------------------

$(UV):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"salesforecast needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv==$(UV_VERSION)

# One lock serves every extra: it constrains what each target installs.
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable

$(VENV)/.run: $(UV) requirements.lock settings.ini setup.py
	@echo "Installing the locked dependencies into $(VENV) …"
	$(INSTALL) '.[train]'
	touch $@

$(VENV)/.dev: $(UV) requirements.lock settings.ini setup.py
	@echo "Installing the locked dependencies, with those of the tests, into $(VENV) …"
	$(INSTALL) '.[train,dev]'
	touch $@ $(VENV)/.run

install: $(VENV)/.run ## Install what training and predicting need
dev: $(VENV)/.dev ## Install what tests and notebooks need as well

lock: $(UV) ## Resolve the dependencies anew into requirements.lock
	$(UV) pip compile setup.py --all-extras --universal --python-version 3.11 --fork-strategy fewest --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements.lock

.PHONY: help install dev lock
