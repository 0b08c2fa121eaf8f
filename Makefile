# Two commands need nothing else: `make repro` and `make test`. Each first installs what it needs into .venv, once.
PYTHON ?= python3
VENV := .venv

# The stages' commands say `python`, and both engines run them as they are: let it be the one of $(VENV).
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: repro test check-cuda test-slow bench lint clean

repro: $(VENV)/ready
	@ulfine preflight
	dvc repro
	@ulfine table

test: $(VENV)/tests-ready
	python -m pytest -n 2

# The CUDA path on a pretended device: needs gcc and torch's CUDA wheels, not a GPU.
check-cuda: $(VENV)/tests-ready
	python -m pytest -m slow tests/test_cuda.py

test-slow: $(VENV)/tests-ready
	python -m pytest -m slow

# Ratios and seconds of this machine into benchmarks/results.md; 15 minutes on 2 cores, after the artifacts are there.
bench: repro
	python -m benchmarks

lint: $(VENV)/tests-ready
	ruff check .
	ruff format --check .

ifeq ($(VENV),.venv)
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/tests-ready: $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
else # another environment, as an image has, is taken as it is
$(VENV)/ready $(VENV)/tests-ready: ;
endif

# What stages made, downloads among it, and what Snakemake remembers; results/, DVC's cache and .venv stay.
clean:
	rm -rf artifacts .snakemake .pytest_cache .ruff_cache
