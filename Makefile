# Two commands for a newcomer: `make demo` and `make test`. Each makes .venv on first use and reuses it afterwards.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# For example PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for torch without CUDA.
PIP_ARGS ?=
# The node pack is tested in the ComfyUI of this folder, if it is there; what it needs is installed, all but torch.
COMFYUI_PATH ?= $(HOME)/ComfyUI
# `make test-comfyui` takes every ComfyUI at hand, one after the other: folders with a colon between them.
COMFYUI_PATHS ?= $(shell ls -d $(HOME)/ComfyUI $(HOME)/ComfyUI-[0-9]* 2>/dev/null | paste -sd:)
# `lineas demo` takes options: make demo ARGS="--help"
ARGS ?=

.PHONY: demo test check matrix check-oldest lint test-comfyui site package

demo: $(VENV)/.demo-stamp
	$(BIN)/lineas demo $(ARGS)

# One thread for each of the tests' processes: small models gain nothing from more. One ComfyUI, whose needs are here.
PYTEST := COMFYUI_PATHS="$(if $(wildcard $(COMFYUI_PATH)/main.py),$(COMFYUI_PATH),:)" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile
# The part that every change should pass: no model library beyond toys, no ComfyUI, no benchmark; within a minute.
FAST := tests/maps tests/maths tests/steering tests/modules tests/apply tests/fitting tests/export tests/pictures \
	tests/prompts tests/test_layers.py tests/test_errors.py tests/test_version.py

test: lint
	$(PYTEST)

check: lint
	$(PYTEST) -m "not slow" $(FAST)

# Every image model that docs/models.md lists, in diffusers and in ComfyUI.
MATRIX := tests/adapters/images/test_every_pipeline.py tests/comfyui_pack/test_default_sites.py \
	tests/comfyui_pack/test_every_architecture.py tests/comfyui_pack/test_export_transformers.py

matrix: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 $(MATRIX)

# The oldest versions that pyproject.toml allows, in an environment of their own. They need Python 3.10 or 3.11.
OLDEST := .venv-oldest
OLDEST_PYTHON ?= $(shell for name in python3.10 python3.11 $(PYTHON); do $$name -c '' 2>/dev/null && echo $$name && break; done)
OLDEST_RUN := OMP_NUM_THREADS=1 $(OLDEST)/bin

check-oldest: $(OLDEST)/.stamp
	$(OLDEST_RUN)/lineas demo --steps 2 --held-out 4 --seconds 30 --output $(OLDEST)/demo
	$(OLDEST_RUN)/python -m pytest -q -n auto --dist loadfile -m "not slow" $(FAST) $(OLDEST_TESTS)

# What depends most on the versions of the model libraries, beside the fast tests.
OLDEST_TESTS := tests/scenes tests/methods/test_trainer.py tests/adapters/language/test_loading.py

$(OLDEST)/.stamp: pyproject.toml tools/oldest.txt
	test -x $(OLDEST)/bin/python || $(OLDEST_PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install -q $(PIP_ARGS) -c tools/oldest.txt -e ".[diffusers,evaluation,gguf]" \
		pytest pytest-xdist hypothesis scipy
	touch $@

lint: $(VENV)/.test-stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The servers' tests start one ComfyUI after the other by themselves; the others need a process for each.
test-comfyui: $(VENV)/.test-stamp
	test -n "$(COMFYUI_PATHS)" || { echo "No ComfyUI in $(HOME); set COMFYUI_PATHS to their folders."; exit 1; }
	failed=; for folder in $(subst :, ,$(COMFYUI_PATHS)); do \
		echo "== $$folder"; $(COMFYUI_NEEDS) || failed="$$failed $$folder"; \
		COMFYUI_PATH="$$folder" $(BIN)/python -m pytest -q tests/comfyui_pack || failed="$$failed $$folder"; \
	done; \
	COMFYUI_PATHS="$(COMFYUI_PATHS)" $(BIN)/python -m pytest -q tests/comfyui_server || failed="$$failed servers"; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# What a ComfyUI in $$folder needs, torch and its companions as they are; torchaudio takes the torch that is there.
COMFYUI_NEEDS = grep -vE '^torch(vision|audio)?([^a-z]|$$)' "$$folder/requirements.txt" > $(VENV)/comfyui.txt && \
	$(BIN)/python -m pip install -q $(PIP_ARGS) -r $(VENV)/comfyui.txt && \
	{ $(BIN)/python -c "import torchaudio" 2>/dev/null || $(BIN)/python -m pip install -q --no-deps $(PIP_ARGS) torchaudio; }

# The documentation as a site in site/, with the reference of Python from the docstrings. A broken link is an error.
site: $(VENV)/.docs-stamp
	$(BIN)/python -m mkdocs build --strict

# Wheel and source in dist/. The wheel is at most 32 MB and passes the demo in an environment of its own.
PACKAGE_VENV := .venv-package
package: $(VENV)/.docs-stamp
	rm -rf dist build $(PACKAGE_VENV)
	$(BIN)/python -m build -q
	find dist -name "*.whl" -size +32768k | { ! grep .; }
	$(PYTHON) -m venv $(PACKAGE_VENV)
	$(PACKAGE_VENV)/bin/python -m pip install -q $(PIP_ARGS) "$$(ls dist/*.whl)[diffusers,evaluation]"
	cd $(PACKAGE_VENV) && bin/lineas demo --held-out 16 $(ARGS)

$(VENV)/.docs-stamp: EXTRAS := docs
$(VENV)/.demo-stamp: EXTRAS := diffusers,evaluation
$(VENV)/.test-stamp: EXTRAS := test
$(VENV)/.%-stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e ".[$(EXTRAS)]"
	if test "$*" = test && test -f "$(COMFYUI_PATH)/requirements.txt"; then \
		folder="$(COMFYUI_PATH)"; $(COMFYUI_NEEDS); \
	fi
	touch $@
