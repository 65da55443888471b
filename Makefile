# Two commands for a newcomer: `make demo` and `make test`. Each makes .venv on first use and reuses it afterwards.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# For example PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for torch without CUDA.
PIP_ARGS ?=
# The node pack is tested in the ComfyUI of this folder, if it is there; what it needs is installed, all but torch.
COMFYUI_PATH ?= $(HOME)/ComfyUI
# `lineas demo` takes options: make demo ARGS="--help"
ARGS ?=

.PHONY: demo test

demo: $(VENV)/.demo-stamp
	$(BIN)/lineas demo $(ARGS)

test: $(VENV)/.test-stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

$(VENV)/.demo-stamp: EXTRAS := diffusers,evaluation
$(VENV)/.test-stamp: EXTRAS := test
$(VENV)/.%-stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e ".[$(EXTRAS)]"
	if test "$*" = test && test -f "$(COMFYUI_PATH)/requirements.txt"; then \
		grep -vE '^torch(vision|audio)?([^a-z]|$$)' "$(COMFYUI_PATH)/requirements.txt" > $(VENV)/comfyui.txt; \
		$(BIN)/python -m pip install -q $(PIP_ARGS) -r $(VENV)/comfyui.txt; \
	fi
	touch $@
