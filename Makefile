# The commands that people and CI use. Everything that is installed lies in .venv and in the user's cache.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)

.PHONY: help install lab lab-real demo check unit test test-all bench docs release lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

install: $(VENV)/.installed ## the project and what it needs, into .venv

lab: install ## build the parts of the control plane, Argo CD, Helm and promtool (first time 15-30 minutes, then seconds)
	$(BIN)/python -m tests.lab build

lab-real: lab ## also what real nodes run: kubelet, containerd, CoreDNS (root on Debian; first time 6 minutes)
	$(BIN)/python -m tests.lab build --real

demo: install ## a broken cluster, audited and repaired before your eyes (KEEP=1 leaves it up)
	$(BIN)/python -m tests.demo $(if $(KEEP),--keep)

check: install ## style, types and layers
	$(BIN)/ruff format --check operator tests
	$(BIN)/ruff check operator tests
	$(BIN)/mypy
	$(BIN)/lint-imports

# Three processes, each with a control plane of its own: most of a test of the cluster is waiting. The long ones first.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

unit: install ## every test that needs no cluster, in minutes
	$(PYTEST) -m "not lab and not slow"

test: check unit lab ## everything but the slow part, at most 25 minutes once the lab is built
	$(PYTEST) -m "lab and not slow"

test-all: check lab ## everything
	$(PYTEST)

bench: install lab ## the benchmarks, as ratios against a bare client in the same run
	$(BIN)/python -m tests.benchmarks

docs: install ## print what is generated from the code
	$(BIN)/kubectl-resilience explain --markdown > docs/rules.md
	$(BIN)/kubectl-resilience explain --bottlerocket > docs/bottlerocket.md
	$(BIN)/kubectl-resilience explain --crd > crds/resiliencepolicies.yaml

release: install ## what is published, into dist/: wheel, install.yaml, chart, SBOM and checksums
	$(BIN)/python -m tests.release dist

lock: install ## pin the dependencies anew, with hashes and without addresses
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		--strip-extras --allow-unsafe --extra operator --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		--strip-extras --allow-unsafe --extra operator --extra dev --output-file requirements-dev.lock pyproject.toml
