# A target a job, no logic: what a stage does is in stages/, when it runs is in pipeline/.
#
#   make demo    one real distillation, end to end, with its report
#   make test    every check: lint, types, fast tests, one end-to-end run
#   make help    all targets

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Which Python .venv is made with; empty: the newest one here that is supported.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
GPU ?=
RECIPE ?= recipes/demo.toml
ARGS ?=
STAGES := corpus tokenizer teacher calibrate decode select scorer score measure filter dataset student baseline export \
	evaluate report

RUNTIME_LOCK := requirements/runtime.txt requirements/onmt.txt requirements/torch.txt pyproject.toml
BENCHES := bench-decode bench-score bench-store bench-train bench-reader bench-loss bench-scale bench-estimate
SETUP := $(VENV)/.setup$(if $(GPU),-gpu)

.PHONY: help setup setup-dev demo demo-says demo-full demo-teacher run tune plan estimate status verify metrics $(STAGES) \
	bench $(BENCHES) bench-quality bench-demo test test-fast lint types format lock docs clean

help:  ## List the targets.
	@sed -n 's/^\([a-z][a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 40
	@echo "STAGE                                   Run RECIPE up to it: $(STAGES)"
	@echo
	@echo "RECIPE=$(RECIPE)   ARGS='--set decode.beam_size=4 --scheduler tcp://...'"

# --- set-up ---------------------------------------------------------------------------------------

setup: $(SETUP)  ## Create .venv with the exact versions of requirements/ (GPU=1: with CUDA libraries).

setup-dev: $(SETUP) $(VENV)/.setup-dev  ## The same, and what the tests need.

$(BIN)/python:
	@bash requirements/setup.sh $(VENV) venv $(PYTHON)

$(VENV)/.setup: $(BIN)/python $(RUNTIME_LOCK)
	@bash requirements/setup.sh $(VENV) runtime
	@touch $@

$(VENV)/.setup-gpu: $(VENV)/.setup requirements/gpu.txt
	@bash requirements/setup.sh $(VENV) gpu
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup requirements/dev.txt
	@bash requirements/setup.sh $(VENV) dev
	@touch $@

lock:  ## Resolve requirements/*.in anew for all Pythons (ARGS=--upgrade).
	PYTHON=$$(bash requirements/find_python.sh $(PYTHON)) bash requirements/lock.sh $(ARGS)

# --- the main job ---------------------------------------------------------------------------------

demo: demo-says $(SETUP)  ## One real distillation on two cores in ten minutes; report in runs/demo/.
	$(BIN)/potstill run recipes/demo.toml $(ARGS)
	@echo "Open that page in a browser. The student translates, too:"
	@echo "  echo 'Turn on the light' | $(BIN)/potstill translate \$$($(BIN)/potstill path recipes/demo.toml export)"

demo-says:
	@echo "Installation, downloads and a distillation: about 5 minutes on two new cores (AMD EPYC, Zen 5),"
	@echo "10 on two old ones (Intel Xeon, 2 GHz, no bfloat16), more where others use them too."

demo-full: $(SETUP)  ## The same for 10,000 steps: half an hour to three, and it says beforehand which; runs/demo-full/.
	@echo "First a few steps of everything, to tell how long it will take on this machine: one to three minutes."
	$(BIN)/potstill estimate recipes/demo-full.toml --rows 500
	$(BIN)/potstill run recipes/demo-full.toml $(ARGS)

demo-teacher: $(SETUP)  ## Train the demo's teacher anew from recipes/demo-teacher.toml (about an hour).
	$(BIN)/potstill run recipes/demo-teacher.toml --until teacher $(ARGS)
	rm -rf recipes/teachers/en-de
	$(BIN)/potstill export-teacher recipes/demo-teacher.toml recipes/teachers/en-de

run: $(SETUP)  ## Run RECIPE to its report.
	$(BIN)/potstill run $(RECIPE) $(ARGS)

tune: $(SETUP)  ## Try RECIPE with other settings, as its section [tune] says.
	$(BIN)/potstill tune $(RECIPE) $(ARGS)

plan estimate status verify metrics: $(SETUP)  ## Ask about RECIPE: what would run, what it takes, what is there.
	$(BIN)/potstill $@ $(RECIPE) $(ARGS)

$(STAGES): $(SETUP)
	$(BIN)/potstill run $(RECIPE) --until $@ $(ARGS)

# --- benchmarks -----------------------------------------------------------------------------------

bench: $(BENCHES)  ## All benchmarks, side by side with their peers; figures in bench/results/.

bench-quality: $(SETUP)  ## One student trained in every way there is (hours, resumable); docs/quality.md.
	$(BIN)/python -m bench.quality $(ARGS)

bench-demo: setup-dev  ## make demo in a fresh clone of HEAD, from nothing to its report: minutes, and what it came to.
	$(BIN)/python -m bench.demo $(ARGS)
	$(BIN)/python -m bench.page

$(BENCHES): bench-%: setup-dev
	$(BIN)/python -m bench.$* $(ARGS)
	$(BIN)/python -m bench.page

# --- checks ---------------------------------------------------------------------------------------

test: setup-dev lint types  ## Lint, types, the fast tests and one tiny end-to-end run.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: setup-dev  ## The fast tests only: two minutes.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy data stages pipeline bench

format: setup-dev  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove .venv and caches; runs/ stays.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info

docs: setup-dev  ## Make docs/recipes.md anew from the code.
	$(BIN)/python -m pipeline.recipe.reference > docs/recipes.md
