# make demo   installs, runs the whole recipe on this machine's CPU, prints where to look
# make test   installs, runs the tests          make slow   the slower suites
# make check  lint, types, layers, sizes        make fmt    formats            make clean  removes what was made
SHELL := /bin/bash
BIN := .venv/bin
PACKAGES := flows r1data training schemas
CLEAN_ENV := env -i PATH="$$PATH" HOME="$$HOME" LANG=C.UTF-8 CI="$$CI" OMP_NUM_THREADS=1

.PHONY: help demo test check slow fmt clean install
.NOTPARALLEL:

help:
	@sed -n 's/^# //p' Makefile

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt constraints-cuda.txt setup/install.sh
	@setup/install.sh

demo: install
	@$(BIN)/python -m flows demo

test: install
	$(CLEAN_ENV) PYTHONHASHSEED=random $(BIN)/python -m pytest -q -m "not slow"

slow: install
	$(CLEAN_ENV) PYTHONHASHSEED=random $(BIN)/python -m pytest -q -m slow || [ $$? -eq 5 ]

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_architecture.py

fmt: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache lake .scratch .prefect
