# The environment is .venv, from constraints.txt. `make help` lists what there is.

# the first of these that is there and supported; or say which: make venv PYTHON=/path/to/python
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin

# where Python is told to keep no bytecode, as in many containers, each of the hundreds of processes
# of the tests spends as long on compiling what it imports as on all else
unexport PYTHONDONTWRITEBYTECODE

# tests that want whole data sets find them here, and skip without
ifneq ($(wildcard ../shared/tfds),)
export KERNEL_DISTILL_SHARED ?= $(abspath ../shared)
endif

.PHONY: help venv demo test test-slow lint docs tables notebooks constraints clean

help:
	@echo 'make demo         distil the handwritten digits of scikit-learn into runs/digits'
	@echo 'make test         the tests that a newcomer runs'
	@echo 'make test-slow    the others: wheel, other Pythons and versions of JAX, long runs'
	@echo 'make lint         style and types'
	@echo 'make docs         the site, in docs/_build'
	@echo 'make tables       the table of figures in README.md, from experiments/results'
	@echo 'make notebooks    run the notebooks and keep their outputs'
	@echo 'make venv         .venv with the project, its dependencies and those of its tests'
	@echo 'make constraints  constraints.txt with the newest versions that go together'
	@echo 'make clean        remove .venv, caches and builds; runs/ stays'

venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
	echo "kernel-distill needs Python 3.11, 3.12 or 3.13; found $$("$(or $(PYTHON),python3)" --version 2>&1)."; \
	echo 'Install one of them, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python'; \
	exit 1; } >&2
	@[ ! -e .venv ] || [ -e .venv/of-make ] || [ -e .venv/installed ] || { \
	echo 'There is a .venv that make has not made: move it away, or remove it.'; exit 1; } >&2
	$(PYTHON) -m venv --clear .venv
	touch .venv/of-make
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	touch $@

demo: venv
	$(BIN)/kernel-distill kip --dataset digits --out runs/digits --overwrite

# two processes, whatever the number of cores: each holds a TensorFlow and a JAX
test: venv
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# those that start Ray by themselves: they wait for things to happen in so many seconds
test-slow: venv
	$(BIN)/python -m pytest -m 'slow and not ray' --numprocesses 2 --dist loadfile
	$(BIN)/python -m pytest -m 'slow and ray'

# its own step, so that the tests' environment stays small; strict: a warning is an error
docs: .venv/documented
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -d .venv/doctrees docs docs/_build

.venv/documented: .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --constraint constraints.txt --editable '.[docs]'
	touch $@

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

tables: venv
	$(BIN)/python experiments/tables.py

notebooks: venv
	$(BIN)/python notebooks/run.py

# in an environment of its own, since .venv stands on the outcome; on the oldest Python, whose
# versions are there for the others too
constraints:
	$(PYTHON) -m venv --clear .venv-constraints
	.venv-constraints/bin/python -m pip install --disable-pip-version-check --quiet uv
	.venv-constraints/bin/uv pip compile --quiet --upgrade --python-version 3.11 --extra test --extra docs --no-annotate \
	--custom-compile-command 'make constraints' --output-file constraints.txt pyproject.toml
	rm -rf .venv-constraints

clean:
	rm -rf .venv .venv-* build dist docs/_build .pytest_cache .ruff_cache .mypy_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +
