# cgd-lightning: `make help` lists what can be made.

PYTHON ?= python3
BIN := .venv/bin
MNIST := data

.PHONY: help demo test fuzz lint docs tutorial bench clean

help:  ## list the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

demo: .venv/installed  ## train both networks on handwritten digits and show guided samples
	$(BIN)/cgd demo

test: .venv/installed-dev  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

fuzz: .venv/installed-dev  ## read 20,000 hostile files of every kind
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

lint: .venv/installed-dev  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: .venv/installed-docs  ## build the site into site/; a dead link or a missing name fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/installed  ## what noising, data, moving average and logging add to a training step; MNIST=folder with its files
	$(BIN)/python benchmarks/step_overhead.py --data.root $(MNIST)

tutorial: .venv/installed-dev  ## run docs/tutorial.ipynb and store what comes out in it
	$(BIN)/python benchmarks/tutorial.py

clean:  ## remove the virtual environment, runs and caches
	rm -rf .venv runs build dist site .cache *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev,tensorboard]'
	touch $@ .venv/installed .venv/installed-docs

.venv/installed-docs: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ .venv/installed
