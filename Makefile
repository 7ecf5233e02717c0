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
	$(INSTALL) '.[train,serve]'
	touch $@

$(VENV)/.dev: $(UV) requirements.lock settings.ini setup.py
	@echo "Installing the locked dependencies, with those of the tests, into $(VENV) …"
	$(INSTALL) '.[train,serve,dev]'
	touch $@ $(VENV)/.run

install: $(VENV)/.run ## Install what training and predicting need
dev: $(VENV)/.dev ## Install what tests and notebooks need as well

lock: $(UV) ## Resolve the dependencies anew into requirements.lock
	touch setup.py  # uv remembers what it read by this file's time, and settings.ini may have changed
	$(UV) pip compile setup.py --all-extras --universal --python-version 3.11 --fork-strategy fewest --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements.lock

# --- the product -------------------------------------------------------------------------

data/synthetic/synthetic_ecommerce_data.csv: | $(VENV)/.run
	salesforecast generate --rows $(ROWS) --out $@

run: train ## Install, make up sales if there are none, train, print the report and the forecast, and serve the API
	@$(MAKE) --no-print-directory serve

serve: $(VENV)/.run ## Serve the published version on http://localhost:5001 (API_PORT)
	salesforecast serve

train: $(VENV)/.run $(SOURCE) ## Train and publish: make train [SOURCE=sales.csv] [ARGS="--mapping export.yaml"]
	salesforecast train '$(SOURCE)' $(ARGS)

mlflow: $(VENV)/.run ## Open the record of all trainings on http://localhost:5000
	mlflow ui --port 5000 --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

bench: $(VENV)/.run ## Measure speed and size; writes benchmarks/results.json
	python -m benchmarks

REAL_DATA ?= $(SALESFORECAST_REAL_DATA)

bench-real: $(VENV)/.run ## Accuracy on public exports in REAL_DATA=folder; writes benchmarks/real_data.json
	@test -d '$(REAL_DATA)' || { echo "Name the folder that holds online_retail.csv.gz and complete_journey.csv.gz: make bench-real REAL_DATA=folder"; exit 1; }
	python -m benchmarks.real '$(REAL_DATA)'

# --- the gate ----------------------------------------------------------------------------

SUMS = find nbs salesforecast -type f \( -name '*.ipynb' -o -name '*.py' \) -not -path '*/.*' | sort | xargs sha256sum

# several test processes share the cores: one thread each
test test-slow: export OMP_NUM_THREADS := 1
test test-slow: export SALESFORECAST_THREADS := 1

test: $(VENV)/.dev ## Notebooks clean and exported, format, lint, types, tests, coverage of at least 90%
	before=$$($(SUMS))
	nbdev_clean && nbdev_export
	diff <(echo "$$before") <($(SUMS)) || { echo "Notebooks were not clean, or not exported: look at the files above and commit what nbdev_clean and nbdev_export made of them."; exit 1; }
	ruff format --check . && ruff check .
	mypy
	coverage erase
	coverage run $(BIN)/nbdev_test --n_workers 2
	coverage run -m pytest -m "not slow"
	coverage combine --quiet && coverage report

test-slow: $(VENV)/.dev ## The slow proofs
	pytest -m slow

test-all: test test-slow ## Everything that CI runs

format: $(VENV)/.dev ## Format notebooks and tests, export the library
	ruff format . && ruff check --fix . && nbdev_clean && nbdev_export

lab: $(VENV)/.dev ## Open JupyterLab with the environment
	jupyter lab nbs

readme: $(VENV)/.dev ## Make README.md from nbs/index.ipynb
	jupyter nbconvert --log-level ERROR --to markdown --stdout nbs/index.ipynb > README.md

pages: $(VENV)/.dev ## Prepare the pages of the docs in _proc, as far as Quarto is not needed
	python -c "from nbdev.quarto import proc_nbs; proc_nbs(force=True)"
	cp _quarto.yml _proc/

docs: pages ## Render the docs into _docs with Quarto
	@command -v quarto >/dev/null || $(UV) pip install --quiet --python $(BIN)/python quarto-cli >/dev/null 2>&1 || {
		echo "The pages stand in _proc, but were not rendered: Quarto is neither on PATH, nor can PyPI's quarto-cli fetch it."
		echo "Get it from https://quarto.org/docs/get-started, then run make docs again."
		exit 1
	}
	quarto render _proc

clean: ## Remove what can be made again (not data, not models)
	rm -rf _proc _docs build dist *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache

.PHONY: help install dev lock run serve train mlflow bench bench-real test test-slow test-all format lab readme pages docs clean
