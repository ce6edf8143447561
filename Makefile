# Two commands set everything up: `make demo` and `make test`. The second time they start at once.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python

# Tests that need real cases look here and skip, saying so, where it does not exist.
export BRATS3D_TEST_DATA ?= $(wildcard $(abspath ../shared/data))

.PHONY: demo test lint tests check-peers clean

demo: $(VENV)/.base
	$(PY) -m brats3d.demo --out demo --force

test: lint tests

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

# Two processes, a file of tests at a time: what a file makes once is made once.
tests: $(VENV)/.test
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The scores against surface-distance, MedPy and MONAI, in an environment of their own.
check-peers:
	$(MAKE) VENV=.venv-peers .venv-peers/.bench
	.venv-peers/bin/python benchmarks/check_peers.py $(BRATS3D_TEST_DATA)/brats

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; found: $$($(PYTHON) --version). Say which with: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python has no venv with pip. On Debian and Ubuntu: apt install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: setup.cfg | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: setup.cfg | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.base

$(VENV)/.bench: setup.cfg | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) .venv-peers demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
