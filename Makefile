# make demo   installs, runs the whole recipe on this machine's CPU, prints where to look
# make test   installs, runs the tests          make slow   the slower suites
# make gpu    trainings of 138 M parameters on this machine's GPU, with their figures
# make check  lint, types, layers, sizes        make fmt    formats
# make up     starts Prefect with its database, workers and deployments here; make down ends them, data stays
# make deploy puts the deployments of prefect.yaml on the server of PREFECT_API_URL
# make clean  removes what was installed or cached; the lake stays
SHELL := /bin/bash
BIN := .venv/bin
PACKAGES := flows r1data training schemas
# Tests see no variable of the developer's, and strings hash differently each time; PYTHONHASHSEED=N repeats a run.
PYTEST = seed=$${PYTHONHASHSEED:-$$(shuf -i 1-4294967295 -n 1)}; echo "PYTHONHASHSEED=$$seed"; \
	env -i PATH="$$PATH" HOME="$$HOME" LANG=C.UTF-8 $${CI:+CI="$$CI"} OMP_NUM_THREADS=1 PYTHONHASHSEED=$$seed \
	$(BIN)/python -m pytest -q

.PHONY: help demo test check slow gpu fmt clean install up down deploy
.NOTPARALLEL:

help:
	@sed -n 's/^# make/make/p' Makefile

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt constraints-cuda.txt setup/install.sh
	@setup/install.sh

demo: install
	@$(BIN)/python -m flows demo

up down deploy: install
	@$(BIN)/python -m flows.ops $@

test: install
	@$(PYTEST) -m "not slow" -n 2

# Slow ones mostly wait for servers, those of one file on one worker. pytest ends with 5 where nothing is marked slow
slow: install
	@$(PYTEST) -m slow -n 2 --dist loadfile || [ $$? -eq 5 ]

gpu: install
	@$(PYTEST) -s -rs tests/training/test_gpu.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES) tests
	$(BIN)/lint-imports --no-logo
	@$(PYTEST) tests/test_architecture.py

fmt: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .scratch .prefect
