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
PIP_AUDIT_VERSION := 2.10.1
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# keep compiled modules: without them every process compiles all it imports anew
export PYTHONDONTWRITEBYTECODE :=

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

$(VENV)/.run: $(UV) requirements.lock settings.ini setup.py Makefile
	@echo "Installing the locked dependencies into $(VENV) …"
	$(INSTALL) '.[train,serve,dashboard]'
	touch $@

$(VENV)/.dev: $(UV) requirements.lock settings.ini setup.py Makefile
	@echo "Installing the locked dependencies, with those of the tests, into $(VENV) …"
	$(INSTALL) '.[train,serve,dashboard,mlops,dask,dev]'
	touch $@ $(VENV)/.run

install: $(VENV)/.run ## Install what training and predicting need
dev: $(VENV)/.dev ## Install what tests and notebooks need as well

lock: $(UV) ## Resolve the dependencies again into requirements.lock
	touch setup.py  # uv remembers what it read by this file's time, and settings.ini may have changed
	$(UV) pip compile setup.py --extra all --extra peers --universal --python-version 3.11 --fork-strategy fewest --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements.lock

# --- the product -------------------------------------------------------------------------

data/synthetic/synthetic_ecommerce_data.csv: | $(VENV)/.run
	salesforecast generate --rows $(ROWS) --out $@

run: train ## Install, generate synthetic sales if there are none, train, print the report, and serve API, dashboard and MLflow
	@exec salesforecast up

up: $(VENV)/.run ## Serve API, dashboard and MLflow for the published version, and print their addresses
	@exec salesforecast up

serve: $(VENV)/.run ## Serve the published version on http://localhost:5001 (API_PORT)
	salesforecast serve

dashboard: $(VENV)/.run ## Serve the dashboard on http://localhost:8501 (DASHBOARD_PORT); it uses the API at API_URL
	@exec salesforecast dashboard

train: $(VENV)/.run $(SOURCE) ## Train and publish: make train [SOURCE=sales.csv] [ARGS="--mapping export.yaml"]
	salesforecast train '$(SOURCE)' $(ARGS)

mlflow: $(VENV)/.run ## Open the record of all trainings on http://localhost:5000 (MLFLOW_PORT)
	mlflow ui --port "$${MLFLOW_PORT:-5000}" --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

demo-loop: $(VENV)/.dev ## Show the loop on synthetic sales: drift, alert, retraining, the gate, rollback
	python -m benchmarks.loop

# Debian's browser for whoever may install it; Playwright's own elsewhere
$(VENV)/.browser: | $(VENV)/.dev
	if command -v chromium >/dev/null; then :
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "Tests of the dashboard need a browser: installing Debian's chromium with apt-get …"
		apt-get update -qq
		apt-get install -y -qq chromium
	else playwright install chromium; fi
	touch $@

bench: $(VENV)/.browser ## Measure speed and size; writes benchmarks/results.json
	$(INSTALL) '.[train,peers]'
	python -m benchmarks

REAL_DATA ?= $(SALESFORECAST_REAL_DATA)

bench-real: $(VENV)/.run ## Measure accuracy on public exports in REAL_DATA=folder; writes benchmarks/real_data.json
	@test -d '$(REAL_DATA)' || { echo "Name the folder that holds online_retail.csv.gz and complete_journey.csv.gz: make bench-real REAL_DATA=folder"; exit 1; }
	python -m benchmarks.real '$(REAL_DATA)'

bench-demand: $(VENV)/.run ## Compare demand forecasts with other libraries and measure them at scale, REAL_DATA=folder; writes benchmarks/demand.json
	@test -d '$(REAL_DATA)' || { echo "Name the folder that holds online_retail.csv.gz and complete_journey.csv.gz: make bench-demand REAL_DATA=folder"; exit 1; }
	$(INSTALL) '.[train,peers]'
	python -m benchmarks.demand '$(REAL_DATA)'

bench-shops: $(VENV)/.run ## Compare accuracy, bias and coverage with other libraries on forty generated shops; writes benchmarks/shops.json
	$(INSTALL) '.[train,peers]'
	python -m benchmarks.shops

bench-monitoring: $(VENV)/.run ## Count false incidents and days until a change is found on generated shops; writes benchmarks/monitoring.json
	python -m benchmarks.monitoring

PEERS := .venv-peers
bench-faults: $(VENV)/.dev ## Inject faults into real and synthetic sales, and tell which monitoring, Evidently and NannyML find, REAL_DATA=folder
	@test -d '$(REAL_DATA)' || { echo "Name the folder that holds online_retail.csv.gz and complete_journey.csv.gz: make bench-faults REAL_DATA=folder"; exit 1; }
	python -m benchmarks.faults '$(REAL_DATA)' --tables $(PEERS)/tables
	$(UV) venv --quiet --clear $(PEERS)/evidently
	$(UV) pip install --quiet --python $(PEERS)/evidently/bin/python evidently==0.7.23 'pandas<3' pyarrow
	$(UV) venv --quiet --clear $(PEERS)/nannyml
	$(UV) pip install --quiet --python $(PEERS)/nannyml/bin/python nannyml==0.13.1 pyarrow
	for library in evidently nannyml; do $(PEERS)/$$library/bin/python benchmarks/faults_peers.py $(PEERS)/tables benchmarks/faults.json $$library || exit 1; done

# --- the gate ----------------------------------------------------------------------------

SUMS = find nbs salesforecast -type f \( -name '*.ipynb' -o -name '*.py' \) -not -path '*/.*' | sort | xargs sha256sum

# several test processes share the cores: one thread each, and whole files, whose tests share what they set up
PYTEST = pytest -n 2 --dist loadfile
test-code test-slow: export OMP_NUM_THREADS := 1
test-code test-slow: export SALESFORECAST_THREADS := 1

check: $(VENV)/.dev ## Check that notebooks are clean and exported, format, lint, import contracts, types (a minute)
	before=$$($(SUMS))
	nbdev_clean
	nbdev_export
	diff <(echo "$$before") <($(SUMS)) || { echo "Notebooks were not clean, or not exported: look at the files above and commit what nbdev_clean and nbdev_export made of them."; exit 1; }
	ruff format --check .
	ruff check .
	lint-imports --no-logo
	mypy

test: check test-code ## Run everything that a change must pass: check, the notebooks' and the other tests, coverage of at least 90%

test-code: $(VENV)/.dev $(VENV)/.browser
	coverage erase
	COVERAGE_PROCESS_START=pyproject.toml python tests/notebooks.py # what a notebook imports counts, not its own cells
	coverage run -m $(PYTEST) -m "not slow"
	coverage combine --quiet && coverage report

test-slow: $(VENV)/.dev $(VENV)/.browser ## Run the slow tests
	$(PYTEST) -m slow

test-all: test test-slow ## Run everything that CI runs

FLOORS := .venv-floors
test-floors: $(UV) ## Test with the lowest versions that settings.ini allows
	$(UV) venv --quiet --clear $(FLOORS)
	$(UV) pip install --quiet --python $(FLOORS)/bin/python --resolution lowest-direct --editable '.[train,serve]' 'pytest>=8.3'
	$(FLOORS)/bin/python -m pytest -q -p no:cacheprovider tests/floors.py

mutants: $(VENV)/.dev ## Change the code in a sample of modules, one place at a time, and list what no test notices
	python tests/mutants.py

notebooks: $(VENV)/.dev ## Run the notebooks and keep the outputs that have changed
	python tests/notebooks.py --write

format: $(VENV)/.dev ## Format notebooks and tests, export the library
	ruff format . && ruff check --fix . && nbdev_clean && nbdev_export

lab: $(VENV)/.dev ## Open JupyterLab with the environment
	jupyter lab nbs

screenshots: $(VENV)/.browser ## Take pictures of every tab in both themes, for the docs
	cd tests && python screenshots.py

readme: $(VENV)/.dev ## Make README.md from nbs/index.ipynb
	jupyter nbconvert --log-level ERROR --to markdown --stdout nbs/index.ipynb | sed -E "s#\]\((images|tutorials|how-to|explanations|reference)/#](nbs/\1/#g" > README.md

pages: $(VENV)/.dev ## Prepare the pages of the docs in _proc, without Quarto
	python -c "from nbdev.quarto import proc_nbs; proc_nbs(force=True)"
	python .ci/pages.py _proc

docs: pages ## Render the docs into _docs with Quarto, and check the rendered pages
	@command -v quarto >/dev/null || $(UV) pip install --quiet --python $(BIN)/python quarto-cli >/dev/null 2>&1 || {
		echo "The pages stand in _proc, but were not rendered: Quarto is neither on PATH, nor can PyPI's quarto-cli fetch it."
		echo "Get it from https://quarto.org/docs/get-started, then run make docs again."
		exit 1
	}
	quarto render _proc
	python .ci/rendered.py _docs

clean: ## Remove generated files (not data, not models)
	rm -rf _proc _docs build dist *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache

# --- in operation ------------------------------------------------------------------------

env-example: $(VENV)/.run ## Write .env.example from the settings
	python -c 'from salesforecast.core.settings import env_example; print(env_example(), end="")' > .env.example

smoke: $(VENV)/.run ## Check a deployed API: make smoke URL=https://… [DASHBOARD=https://…] [API_KEY=…]
	@test -n '$(URL)' || { echo "Name the API: make smoke URL=https://api.example.com [DASHBOARD=https://…] [API_KEY=…]"; exit 1; }
	@$(if $(API_KEY),SALESFORECAST_API_KEY='$(API_KEY)') python deploy/smoke.py '$(URL)' $(if $(DASHBOARD),--dashboard '$(DASHBOARD)')

backup: $(VENV)/.run ## Back up models, ledger and the MLflow store: make backup TO=folder
	@test -n '$(TO)' || { echo "Name a new folder: make backup TO=backups/today"; exit 1; }
	@python deploy/backup.py save '$(TO)'

restore: $(VENV)/.run ## Restore a backup: make restore FROM=folder
	@test -n '$(FROM)' || { echo "Name the folder of a backup: make restore FROM=backups/today"; exit 1; }
	@python deploy/backup.py restore '$(FROM)'

deploy-tools: ## Install the servers that make deploy-check starts (Debian, as root)
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		nginx-light redis-server prometheus postgresql openssl iproute2 curl

deploy-check: $(VENV)/.dev ## Check deploy/ and the workflows without a container engine
	pytest tests/test_deploy.py

images: ## Build the three images: make images [TAG=…]  (needs docker)
	for image in api dashboard trainer; do docker build -f deploy/Dockerfile --target $$image -t salesforecast-$$image:$(or $(TAG),latest) .; done

dist: $(UV) ## Build wheel and source archive into dist/
	$(UV) build --quiet --out-dir dist .

audit: $(VENV)/.dev ## Check the locked versions for known vulnerabilities
	$(UV) tool run pip-audit==$(PIP_AUDIT_VERSION) --require-hashes --disable-pip --requirement requirements.lock

.PHONY: check mutants notebooks test-code test-floors help install dev lock run serve train mlflow bench bench-real bench-demand bench-shops bench-monitoring bench-faults test test-slow test-all format lab \
	readme pages docs clean up dashboard demo-loop env-example smoke backup restore deploy-tools deploy-check \
	images dist audit screenshots
