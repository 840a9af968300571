# cgd-lightning: `make help` lists what can be made.

PYTHON ?= python3
DEVICE ?= cuda
WHEELS :=
BIN := .venv/bin
MNIST := data

RUN := runs/diffusion
PAIR :=
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile
CASES := 20000
TESTED := tests/stored/diffusion.ckpt --classifier tests/stored/classifier.ckpt

.PHONY: help demo test test-slow fuzz lint docs tutorial bench gpu page test-page wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/'

demo: .venv/installed  ## train both networks on handwritten digits and show guided samples
	$(BIN)/cgd demo

test: .venv/installed-dev  ## run the tests, all but the slow ones
	$(PYTEST) -m "not slow"

test-slow: .venv/installed-dev  ## run the slow tests: of several processes, kills, graphs and large arrays
	$(PYTEST) -m slow

fuzz: .venv/installed-dev  ## read 20,000 hostile files of every kind, or as many as CASES says
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --cases $(CASES)

lint: .venv/installed-dev  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: .venv/installed-docs  ## build the site into site/; a dead link or a missing name fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/installed  ## what noising, data, moving average and logging add to a training step; MNIST=folder with its files
	$(BIN)/python benchmarks/step_overhead.py --data.root $(MNIST)

gpu:  ## with PYTHON as it is, without a network: the tests that want a GPU, then what it makes a second; DEVICE=cpu is smaller; WHEELS=folder with what PYTHON lacks
	$(PYTHON) benchmarks/wheels.py --wheels "$(WHEELS)" --into build/wheels
	export TESTS_ON_CUDA=1 PYTHONPATH=.:build/wheels; failed=0; \
	$(PYTHON) -m pytest -q -W ignore tests/gpu --device $(DEVICE) || failed=1; \
	$(PYTHON) benchmarks/gpu.py --device $(DEVICE) --deadline 300 --out runs/gpu || failed=1; \
	exit $$failed

tutorial: .venv/installed-dev  ## run docs/tutorial.ipynb and store what comes out in it
	$(BIN)/python benchmarks/tutorial.py

page: .venv/installed-onnx page/node_modules/.package-lock.json  ## build the page into page/dist, with the pair of RUN, by default that of the demo, or with the files of an export in PAIR=folder
	test -n "$(PAIR)" -o -e "$(RUN)" || $(BIN)/cgd demo
	rm -rf page/public/model
	mkdir -p page/public/model
	$(if $(PAIR),cp $(PAIR)/pair.onnx $(PAIR)/pair.json page/public/model/,$(BIN)/cgd export $(RUN) --to onnx --out page/public/model/pair.onnx)
	npm --prefix page run build

test-page: .venv/installed-dev page/node_modules/.package-lock.json  ## run the tests of the page, also in a browser
	npm --prefix page run lint
	npm --prefix page run build
	rm -rf page/tests/made
	OMP_NUM_THREADS=1 $(BIN)/python page/tests/vectors.py page/tests/made/vectors.json
	OMP_NUM_THREADS=1 $(BIN)/python page/tests/pixels.py $(TESTED) page/tests/made/pixels.json
	mkdir -p page/tests/made/model
	OMP_NUM_THREADS=1 $(BIN)/cgd export $(TESTED) --to onnx --out page/tests/made/model/pair.onnx
	OMP_NUM_THREADS=1 $(BIN)/python page/tests/told.py page/tests/made/told
	npm --prefix page test

wheel: .venv/installed page/node_modules/.package-lock.json  ## build the wheel into dist/, the page in it
	npm --prefix page run build
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove the virtual environment, runs and caches
	rm -rf .venv runs build dist site page/dist page/node_modules page/public/model page/tests/made .cache *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-onnx: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[onnx]'
	touch $@ .venv/installed

page/node_modules/.package-lock.json: page/package-lock.json
	@command -v npm > /dev/null || { echo "the page is built by npm, which is not there: install Node.js 20 or later" >&2; exit 1; }
	npm --prefix page ci
	touch $@

.venv/installed-dev: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev,tensorboard]'
	touch $@ .venv/installed .venv/installed-docs .venv/installed-onnx

.venv/installed-docs: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ .venv/installed
