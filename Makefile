# Rathaus-Hub. `make help` explains; the two commands that matter are `make run` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help pages run test check house bench bench-full bench-memory bench-start bench-pushes crash fuzz lock clean

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

help: ## Show this help.
	@echo "Rathaus-Hub"
	@grep -E '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18
	@echo ""
	@echo '  ARGS="--once --data DIR --port N"  options for make run; ARGS="-k NAME" for make test'

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "uv==0.13.9" "setuptools==84.2.1"
	# The installer that came with the interpreter may be old; uv does its work from here on.
	$(BIN)/uv pip uninstall --quiet --python $(BIN)/python pip

# Each stamp is newer than what it was made from, so a second call takes no time.
$(VENV)/run.stamp: $(BIN)/uv requirements.lock pyproject.toml client/pyproject.toml
	$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable . --editable client
	@$(MAKE) --no-print-directory pages
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp tests/requirements.lock
	$(BIN)/uv pip install --quiet --require-hashes -r tests/requirements.lock
	@touch $@

pages: ## Fetch the look of the admin pages (KERN, htmx); they work without it, plainer.
	@if command -v npm >/dev/null; then npm ci --silent && npm run --silent vendor; \
	 else echo "npm is not installed: the admin pages keep their own plain look"; fi

run: $(VENV)/run.stamp ## Start hub and demo specialist system, send demo applications, show what happens.
	@$(BIN)/hub run $(ARGS)

test: $(VENV)/test.stamp ## Run the whole test suite, in four processes: much of it waits.
	$(BIN)/pytest --numprocesses 4 --dist loadfile $(ARGS)

check: $(VENV)/test.stamp ## Run ruff, mypy --strict and the import contracts.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy client/examples/*.py
	$(BIN)/lint-imports

house: $(VENV)/test.stamp ## Print the house in figures: files, their lengths, who imports whom (ARGS="CHECKOUT .": side by side).
	$(BIN)/python -m benchmarks.house $(ARGS)

bench: $(VENV)/test.stamp ## Measure accepted applications a second against the raw composite (bounded, < 2 min).
	$(BIN)/python -m benchmarks $(ARGS)

bench-memory: $(VENV)/test.stamp ## Measure what a serving process holds after hostile and heavy input (ARGS="--base CHECKOUT": beside another build; < 3 min).
	$(BIN)/python -W ignore -m benchmarks.memory $(ARGS)

# What a user installs, and nothing that only tests need: what waits is measured with it.
$(VENV)/serving.stamp: $(BIN)/uv requirements.lock pyproject.toml client/pyproject.toml
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/serving
	$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/serving/bin/python -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(VENV)/serving/bin/python --editable . --editable client
	@touch $@

bench-start: $(VENV)/test.stamp $(VENV)/serving.stamp ## Measure commands as whole processes, and what waiting ones hold and use (ARGS="--base CHECKOUT": beside another build; < 8 min).
	$(BIN)/python -W ignore -m benchmarks.commands --venv $(VENV)/serving $(ARGS)

bench-pushes: $(VENV)/test.stamp ## Measure applications accepted and delivered a second, and the CPU of one (ARGS="--base CHECKOUT": beside another build; < 4 min).
	$(BIN)/python -W ignore -m benchmarks.pushes $(ARGS)

# What the hub is compared with, and what draws, stay out of the hub's own environment.
$(VENV)/yardstick.stamp: $(BIN)/uv benchmarks/full/requirements.lock
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/yardstick
	$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/yardstick/bin/python -r benchmarks/full/requirements.lock
	@touch $@

bench-full: $(VENV)/test.stamp $(VENV)/yardstick.stamp ## Measure queue, bulkheads, a sustained run, the price of proof, attachments of 500 MB (PostgreSQL, < 20 min).
	$(BIN)/python -W ignore -m benchmarks.full $(ARGS)

crash: $(VENV)/test.stamp ## Kill, stop, pause and fill up under load; account for every promise (ARGS=--short: 90 s).
	$(BIN)/python -W ignore -m benchmarks.crash $(ARGS)

fuzz: $(VENV)/test.stamp ## Send every case that schemathesis derives from the contract's bounds; the suite sends a part.
	FUZZ_ALL=1 $(BIN)/pytest -q tests/api/test_contract_fuzzing.py -k bounds

lock: $(BIN)/uv ## Pin dependencies anew, with hashes.
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-package rathaus-hub-client --extra postgres --extra s3 --extra sftp --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-package rathaus-hub-client --extra postgres --extra s3 --extra sftp --extra schematron --extra otel --extra build --extra dev pyproject.toml -o tests/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate benchmarks/full/requirements.in -o benchmarks/full/requirements.lock

clean: ## Remove the virtual environment, caches and build products (not data).
	rm -rf $(VENV) build dist .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache benchmarks/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
