# make demo    installs everything into .venv and runs the main job on generated clips
# make test    installs everything into .venv and runs the tests
# make lint    checks style
# make docs    builds the documentation into output/docs, strictly
#
# DETECTRON2=<path or address>   installs Detectron2 from elsewhere
# PYTHON=<interpreter>           makes the environment with another Python (3.10 or newer)

PYTHON ?= python3
VENV ?= .venv
DETECTRON2_COMMIT := 02b5c4e295e990042a714712c21dc79b731e8833
DETECTRON2 ?= git+https://github.com/facebookresearch/detectron2.git@$(DETECTRON2_COMMIT)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint docs install clean

demo: install
	$(BIN)/pcsc demo

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: install
	$(BIN)/mkdocs build --strict --config-file docs/mkdocs.yml --site-dir $(CURDIR)/output/docs

# A Detectron2 that the interpreter has already is used, with the torch that it was built for.
$(BIN)/python:
	@if $(PYTHON) -c "import detectron2" 2>/dev/null; \
	then $(PYTHON) -m venv --system-site-packages $(VENV); \
	else $(PYTHON) -m venv $(VENV); fi

# torch and torchvision are named together, so that the index gives a pair that fits. Detectron2
# builds against this torch (hence no isolation) and needs pkg_resources (hence the setuptools).
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet "setuptools<81" wheel ninja "torch>=2.4" "torchvision>=0.19"
	$(PIP) install --quiet --editable ".[dev]"
	@touch $@

install: $(VENV)/.installed
	@if $(BIN)/python -c "import detectron2" 2>/dev/null; then :; \
	elif echo "Installing Detectron2 (this compiles for some minutes)" && \
		GIT_TERMINAL_PROMPT=0 $(PIP) install --quiet --no-build-isolation "$(DETECTRON2)" \
		> $(VENV)/detectron2.log 2>&1; then :; \
	else echo "SKIPPED: Detectron2 could not be installed (see $(VENV)/detectron2.log): what needs" \
		"it is left out; try again with make DETECTRON2=<path or address of its source>"; fi

clean:
	rm -rf $(VENV) output
