# Two commands do everything: `make demo` and `make test`. `make help` lists the others.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Each process of the tests has a server of its own. There is one more than the machine has cores, as tests wait a
# third of their time, for servers that start, end or are away: make test WORKERS=1
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(8, 1 + (os.cpu_count() or 1)))')
TESTS = $(BIN)/pytest -n $(or $(WORKERS),logical) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# uv takes a tenth of pip's time; pip does it where uv cannot be had, or does not know the index that pip is told of.
install = $(BIN)/uv pip install --quiet --python $(BIN)/python --editable $(1) 2>/dev/null || \
	$(BIN)/python -m pip install --quiet --no-compile --editable $(1)

.PHONY: help demo test test-slow test-all test-unit test-simulation test-corpus test-mysql test-stack lint check docs bench bench-full faults fuzz notebooks screenshots clean clean-demo

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

demo: $(VENV)/.installed ## write, register, populate and draw two synthetic sessions
	$(BIN)/vbn demo --folder demo

test: $(VENV)/.installed-test ## run the tests on the embedded server, without those that take long
	$(TESTS) -m "not slow" $(PYTEST)

test-slow: $(VENV)/.installed-test ## run those that take long: kills, hostile files, backups ...
	$(TESTS) -m "slow $(BUT)" $(PYTEST)

test-all: test test-slow ## run all tests on the embedded server

test-unit: $(VENV)/.installed-test ## run what is for after each change: no database, no simulated sessions, nothing slow
	$(TESTS) -m "not (database or simulation or slow)" $(PYTEST)

test-simulation: $(VENV)/.installed-test ## run the tests that count what statistics find in many simulated sessions
	$(TESTS) -m "simulation and not slow" $(PYTEST)

test-corpus: $(VENV)/.installed-test ## run the tests that read AllenSDK-written sessions and real tables (VBN_CORPUS ...)
	$(TESTS) -m corpus $(PYTEST)

test-mysql: $(VENV)/.installed-test ## run the database tests on MySQL (DJ_HOST ..., else Docker)
	$(TESTS) -m "database $(BUT)" --backend mysql

test-stack: $(VENV)/.installed-test ## build the images, run the lab's server and test it (needs Docker)
	$(BIN)/pytest -m stack tests/test_stack.py

lint: $(VENV)/.installed-dev ## style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy vbn schemas populate vbn_datajoint tests
	$(BIN)/lint-imports

check: lint test-all ## what must pass before a commit

docs: $(VENV)/.installed-docs ## build the documentation into site/; a broken link is an error
	$(BIN)/zensical build --clean --strict

bench: $(VENV)/.installed-test ## measure, minutes; other packages are installed for it into a cache folder
	$(BIN)/python -m benchmarks $(BENCH)

bench-full: $(VENV)/.installed-test ## measure a 2 GB session and a whole release; says what that needs
	$(BIN)/python -m benchmarks --full $(BENCH)

faults: $(VENV)/.installed-test ## inject faults, print what was found, and write docs/reliability.md
	$(BIN)/python -m benchmarks.faults --write $(FAULTS)

fuzz: $(VENV)/.installed-test ## import 300 files that were made to do harm
	$(BIN)/python -m benchmarks.fuzz $(FUZZ)

notebooks: $(VENV)/.installed-test demo ## run the notebooks on the demo and store what they show
	$(BIN)/python notebooks/execute.py demo

screenshots: $(VENV)/.installed-test demo ## take the pictures of the page and of what other tools draw, docs/img/{page,tools}_*.png
	$(BIN)/python docs/make_screenshots.py demo
	$(BIN)/python docs/make_tool_pictures.py demo

clean-demo: ## stop the demo's server and remove the demo
	-VBN_HOME=$(CURDIR)/demo $(BIN)/vbn down
	rm -rf demo

clean: ## remove the environment and caches
	rm -rf $(VENV) site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	-@$(BIN)/python -m pip install --quiet uv

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(call install,.)
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(call install,'.[test]')
	@touch $(VENV)/.installed $@

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(call install,'.[docs]')
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(call install,'.[dev]')
	@touch $(VENV)/.installed $(VENV)/.installed-test $(VENV)/.installed-docs $@
