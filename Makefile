# Start here: each target sets up .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo demo-study test test-slow lint clean

demo: $(VENV)/.installed  ## every stage on the embedded dataset, in minutes
	$(BIN)/nasgait run demo --out runs/demo

demo-study: $(VENV)/.installed  ## three seeds, compared with random and uniform architectures, in two hours
	$(BIN)/nasgait run demo-study --out runs/demo-study
ifdef WALK
	$(BIN)/nasgait run demo-study --out runs/walk-study name=walk-study \
	    data.store=data/walk-grew data.synth=null data.search_val=40 \
	    data.source.layout=grew data.source.root=$(WALK) \
	    evaluation.protocol=grew evaluation.gallery_ids=null $(if $(TRUTH),evaluation.truth=$(TRUTH))
endif

test: $(VENV)/.tested  ## the default tests, in minutes
	$(BIN)/python -m pytest

test-slow: $(VENV)/.tested  ## the tests marked slow
	$(BIN)/python -m pytest --slow -m slow

lint: $(VENV)/.tested  ## formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/.installed: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) -e '.[test]'
	touch $@

clean:  ## remove environments and caches, never runs/ or data/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
