# Each target does its own set-up: a fresh Debian 12 with root, git, make and Python 3.11 with venv is enough.
# A target that is not a file says so beside itself, so that a target that does not exist fails.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help

.PHONY: help
help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

.PHONY: setup
setup: $(VENV)/.run  ## what running the mesh needs

# Compat: a plain path instead of an import hook, which costs every process 35 ms at its start.
$(VENV)/.run: requirements/run.txt pyproject.toml scripts/system-packages
	./scripts/system-packages run
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

.PHONY: setup-test
setup-test: $(VENV)/.test

$(VENV)/.test: $(VENV)/.run requirements/test.txt
	./scripts/system-packages test
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/test.txt
	@touch $@

# Its nodes are namespaces of their own: the machine's network is left alone.
.PHONY: demo
demo: setup  ## a mesh of two nodes on this machine, in seconds (root)
	@./scripts/demo

# Each of the two workers has a namespace of its own: tests of the kernel run side by side.
.PHONY: test
test: setup-test  ## the tests
	$(BIN)/python -m pytest -q --dist loadfile \
		--tx '2*popen//python=./scripts/private-namespace $(BIN)/python'

.PHONY: lint
lint: setup-test  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: fix
fix: setup-test  ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Needs root: the contestants run in namespaces of their own. BENCH='--rounds 3 --only bulk' is less.
.PHONY: bench
bench: setup-test  ## ours against Envoy on the same work: node proxies, then waypoints
	./scripts/private-namespace $(BIN)/python -m bench.run $(BENCH)
	./scripts/private-namespace $(BIN)/python -m bench.waypoint $(BENCH_WAYPOINT)
	./scripts/private-namespace $(BIN)/python -m bench.waypoint_routes

# Each target runs for FUZZ_SECONDS, longer for a search by hand.
FUZZ_SECONDS ?= 10
.PHONY: fuzz
fuzz: setup-test  ## garbage for every codec, FUZZ_SECONDS each
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m bench.fuzz

.PHONY: docs
docs: setup  ## write the pages that come from the code
	$(BIN)/python scripts/write-reference

.PHONY: proto
proto: setup-test  ## generate the messages' code from the .proto files
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. mesh/proto/*.proto sluice/lab/proto/*.proto

.PHONY: lock
lock: setup-test  ## resolve the dependencies anew
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml requirements/build.in -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --group test requirements/build.in -c requirements/run.txt -o requirements/test.txt

.PHONY: clean
clean:  ## forget the environment and every cache
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
