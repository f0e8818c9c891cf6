# A machine with Python 3.11 or newer and make is all these need; `make` alone lists them.
#
#   make demo PYTHON=python3.12     another interpreter
#   make demo DEMO_OUT=runs/again   another folder for the demo's run

PYTHON ?= python3
VENV ?= .venv
DEMO_OUT ?= runs/demo

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# One thread for each library while two test processes run: pools that wait for each other slow everything down.
TEST_THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help demo test lint bench docs clean

help:
	@echo 'make demo    train a small language model on the documentation and source of Python itself'
	@echo 'make test    check style, types and layers, and run all tests'
	@echo 'make lint    check style, types and layers only'
	@echo 'make bench   run all benchmarks (needs PyTorch and Transformers) and write docs/results.md'
	@echo 'make docs    bring the generated parts of docs/ up to date'
	@echo 'make clean   remove caches and build products (not .venv, not runs)'

demo: $(VENV)/.installed
	@if ls -d $(DEMO_OUT)/step-* > /dev/null 2>&1; then \
		echo "$(DEMO_OUT) holds a run already and is gone on with; to start anew: rm -r $(DEMO_OUT)"; \
		$(BIN)/tissu train --resume $(DEMO_OUT); \
	else \
		$(BIN)/tissu train --preset demo --out $(DEMO_OUT); \
	fi
	$(BIN)/tissu evaluate $(DEMO_OUT)/best --data builtin:python
	$(BIN)/tissu generate $(DEMO_OUT)/best --prompt 'def ' --num-samples 2
	$(BIN)/tissu generate $(DEMO_OUT)/best --prompt 'The ' --num-samples 2

test: lint
	$(TEST_THREADS) $(BIN)/python -m pytest -n 2 --dist worksteal --durations 10 --cov --cov-report=
	$(BIN)/coverage report --include 'quanta_tissu/tisslm/*,quanta_tissu/tissdb/*,quanta_tissu/knowledge/*,quanta_tissu/tisslang/*' --fail-under 90

lint: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# An idle machine, please: the figures are those of whatever else it does, too.
bench: $(VENV)/.installed-for-tests
	$(BIN)/python benchmarks/run_all.py

docs: $(VENV)/.installed-for-tests
	$(BIN)/python docs/generate.py

clean:
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { \
		echo 'error: there is no $(PYTHON); install Python 3.11 or newer, or name it: make PYTHON=/path/to/python ...'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1)"; \
		echo '  help: name a newer one: make PYTHON=python3.12 ...'; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo 'error: $(PYTHON) cannot make virtual environments'; \
		echo '  help: Debian and Ubuntu have them in a package of their own: apt install python3-venv'; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-for-tests: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[test]'
	@touch $(VENV)/.installed $@
