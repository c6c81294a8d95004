# One command a task; each installs first what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: install demo serve test faults audit lint bench bench-site reference clean

install: $(STAMP)

# Versions are pinned for the tests; setup.py has the ranges that users get.
$(STAMP): setup.py pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]' --constraint requirements/constraints.txt
	touch $@

demo: $(STAMP)
	$(BIN)/torchlurk demo

serve: $(STAMP)
	$(BIN)/torchlurk serve _site

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint chromium
	node --test tests/site/*.test.mjs
	$(BIN)/python -m pytest

# The long versions of tests/faults, with their figures into docs/reliability.md; tests run a shorter cut of each.
faults: $(STAMP) chromium
	$(BIN)/python -m tests.faults.long --write

# Known vulnerabilities of the pinned versions; fails too where the list of them cannot be reached.
audit:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet pip-audit
	$(VENV)-audit/bin/pip-audit --strict --disable-pip --no-deps --requirement requirements/constraints.txt

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[bench]' --constraint requirements/constraints.txt
	$(BIN)/python -m benchmarks

# How the page keeps its budgets, on the demo's site.
bench-site: $(STAMP) chromium
	$(BIN)/python -m benchmarks.site _site

# What the docstrings say, as a document.
reference: $(STAMP)
	$(BIN)/python docs/make_reference.py

# The browser of the tests: the system's own, from Debian.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { \
		SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends chromium; }

clean:
	rm -rf $(VENV) $(VENV)-audit build dist *.egg-info _site .pytest_cache .mypy_cache .ruff_cache .hypothesis
