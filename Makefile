# Rathaus-Hub. `make help` explains; the two commands that matter are `make run` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help pages fonts run test check docs contract generators house wheel sbom kubernetes image-check deploy-tools deploy-check bench bench-beside upgrade-drill bench-full bench-memory bench-start bench-pushes bench-uploads bench-scan uploads-full xta-full bench-portal portal-pictures bench-as4 bench-usage bench-scope bench-country bench-validate compare crash fuzz lock clean

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
$(VENV)/run.stamp: $(BIN)/uv requirements.lock deploy/build.lock pyproject.toml client/pyproject.toml
	$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock -r deploy/build.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable . --editable client
	@$(MAKE) --no-print-directory pages
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp tests/requirements.lock
	$(BIN)/uv pip install --quiet --require-hashes -r tests/requirements.lock
	@touch $@

pages: ## Fetch the look of the admin pages (KERN, htmx); they work without it, plainer.
	@if command -v npm >/dev/null; then npm ci --silent && npm run --silent vendor && $(MAKE) --no-print-directory fonts; \
	 else echo "npm is not installed: the admin pages keep their own plain look"; fi

# PDF is drawn with the fonts of the pages, which come packed for browsers; unpacked they are read seven times as fast.
FACES := fira-sans/FiraSans-Regular fira-sans/FiraSans-Bold noto-sans/NotoSans-Regular noto-sans/NotoSans-Bold
fonts:
	@mkdir -p hub/forms/fonts; if [ -x $(BIN)/fonttools ]; then for face in $(FACES); do \
	   [ -e hub/forms/fonts/$$(basename $$face).ttf ] || $(BIN)/fonttools ttLib.woff2 decompress \
	     -o hub/forms/fonts/$$(basename $$face).ttf node_modules/@kern-ux/native/dist/fonts/$$face.woff2 >/dev/null 2>&1 || exit 1; done; \
	 else echo "fonttools is not installed (make test): PDF is drawn with the fonts of the host"; fi

run: $(VENV)/run.stamp ## Start hub and demo specialist system, send demo applications, show what happens.
	@$(BIN)/hub run $(ARGS)

test: $(VENV)/test.stamp ## Run the whole test suite, in six processes: much of it waits.
	$(BIN)/pytest --numprocesses 6 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/test.stamp ## Run ruff, mypy --strict, the import contracts, and what lints openapi.yaml.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy client/examples/*.py
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory contract

# What lints the contract, and makes clients of it for tests.
TOOLS := tests/interop/generators
$(TOOLS)/node_modules/.package-lock.json: $(TOOLS)/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix $(TOOLS)
	@touch $@

contract: $(VENV)/test.stamp ## Read openapi.yaml strictly, and lint it (npm; without it, it is not linted).
	$(BIN)/python -c "from pathlib import Path; from hub.files.strict_yaml import load_yaml; load_yaml(Path('openapi.yaml').read_bytes())"
	@if command -v npm >/dev/null; then \
	   $(MAKE) --no-print-directory $(TOOLS)/node_modules/.package-lock.json && \
	   REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(TOOLS)/node_modules/.bin/redocly lint openapi.yaml; \
	 else echo "npm is not installed: openapi.yaml is read strictly, but not linted"; fi

docs: $(VENV)/test.stamp ## Build the manual into build/site; a warning or a dead link is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

house: $(VENV)/test.stamp ## Print the house in figures: files, their lengths, who imports whom (ARGS="CHECKOUT .": side by side).
	$(BIN)/python -m benchmarks.house $(ARGS)

# What a release is made of; the same checkout gives the same bytes.
wheel: $(VENV)/run.stamp ## Build both wheels into dist/, with the lock and what installs them (deploy/README.md).
	rm -rf dist
	$(BIN)/python -m hatchling build --clean --target wheel --directory dist
	cd client && ../$(BIN)/python -m hatchling build --target wheel --directory ../dist
	cp requirements.lock deploy/install.sh deploy/container/Containerfile deploy/container/health.py dist

sbom: wheel $(VENV)/deploy.stamp ## Write the bill of materials (CycloneDX) beside what `make wheel` made.
	$(VENV)/deploy/bin/cyclonedx-py requirements --output-reproducible --of JSON -o dist/rathaus-hub.cdx.json requirements.lock

# Programs that judge what lies in deploy/. They have nothing to do with the hub's own environment.
$(VENV)/deploy.stamp: $(BIN)/uv deploy/tools.lock
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/deploy
	$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/deploy/bin/python -r deploy/tools.lock
	@touch $@

HELM    := helm.sh/helm/v3/cmd/helm@v3.22.0
COMPOSE := github.com/compose-spec/compose-go/v2@v2.16.2
$(VENV)/deploy/bin/helm: | $(VENV)/deploy.stamp
	GOBIN=$(CURDIR)/$(VENV)/deploy/bin GOFLAGS=-trimpath go install $(HELM)

$(VENV)/deploy/compose-spec.json: | $(VENV)/deploy.stamp
	cp "$$(go mod download -json $(COMPOSE) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/schema/compose-spec.json" $@
	chmod u+w $@

# Debian keeps promtool in the package of a server that nobody wants to run here.
$(VENV)/deploy/bin/promtool: | $(VENV)/deploy.stamp
	cd $(VENV)/deploy && rm -f prometheus_*.deb && apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 -C bin ./usr/bin/promtool

deploy-tools: $(VENV)/deploy.stamp ## Get what judges deploy/: helm (built by Go, 3 min once), promtool, schemas; what cannot be had is left out.
	-@for each in bin/promtool compose-spec.json bin/helm; do [ -e $(VENV)/deploy/$$each ] || timeout 500 $(MAKE) --no-print-directory $(VENV)/deploy/$$each || echo "without $$each"; done

deploy-check: $(VENV)/test.stamp deploy-tools ## Judge chart, YAML, composition, alerts, dashboard, units, proxies (< 5 min).
	$(BIN)/pytest --numprocesses 2 --dist loadfile -ra tests/deploy

image-check: wheel ## Build the image without an engine and start it (as root, buildah, mmdebstrap; < 5 min).
	deploy/container/check.sh dist $(VENV)/image

kubernetes: $(VENV)/deploy/bin/helm ## Render the chart to deploy/kubernetes anew.
	{ sed -n '1,/^---/p' deploy/kubernetes/rathaus-hub.yaml | sed '$$d'; \
	  $< template rathaus-hub deploy/helm/rathaus-hub --kube-version 1.33 --namespace rathaus-hub --values deploy/kubernetes/values.yaml; } > $(VENV)/rendered.yaml
	mv $(VENV)/rendered.yaml deploy/kubernetes/rathaus-hub.yaml

bench: $(VENV)/test.stamp ## Measure accepted applications a second against the raw composite (bounded, < 2 min).
	$(BIN)/python -m benchmarks $(ARGS)

bench-beside: $(VENV)/test.stamp ## Measure what `make bench` does by turns with another build (ARGS="--base CHECKOUT"; nine pairs, < 30 min).
	$(BIN)/python -m benchmarks.beside $(ARGS)

bench-memory: $(VENV)/test.stamp ## Measure what a serving process holds after hostile and heavy input (ARGS="--base CHECKOUT": beside another build; < 3 min).
	$(BIN)/python -W ignore -m benchmarks.memory $(ARGS)

# What a user installs, and nothing that only tests need: what waits is measured with it.
$(VENV)/serving.stamp: $(BIN)/uv requirements.lock deploy/build.lock pyproject.toml client/pyproject.toml
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/serving
	$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/serving/bin/python -r requirements.lock -r deploy/build.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(VENV)/serving/bin/python --editable . --editable client
	@touch $@

bench-start: $(VENV)/test.stamp $(VENV)/serving.stamp ## Measure commands as whole processes, and what waiting ones hold and use (ARGS="--base CHECKOUT": beside another build; < 8 min).
	$(BIN)/python -W ignore -m benchmarks.commands --venv $(VENV)/serving $(ARGS)

bench-pushes: $(VENV)/test.stamp ## Measure applications accepted and delivered a second, and the CPU of one (ARGS="--base CHECKOUT": beside another build; < 4 min).
	$(BIN)/python -W ignore -m benchmarks.pushes $(ARGS)

bench-uploads: $(VENV)/test.stamp ## Measure resumable uploads of 370 MB beside a raw stream, and the memory they take (< 5 min).
	$(BIN)/python -W ignore -m benchmarks.uploads $(ARGS)

bench-scan: $(VENV)/test.stamp ## Measure what a scan for malware adds to an accept of 3.7 MB (clamd; < 3 min).
	$(BIN)/python -W ignore -m benchmarks.scanning $(ARGS)

uploads-full: $(VENV)/test.stamp ## Send 300 MB by clients of TUS that nobody here wrote, broken off five times (npm; < 5 min).
	UPLOAD_MEGABYTES=300 $(BIN)/pytest -q --numprocesses 0 --durations=0 tests/interop/test_upload_clients.py

xta-full: $(VENV)/test.stamp ## Send 300 MB to an XTA server that CXF makes of the standard's WSDL, and measure the memory it takes (JDK, Maven; < 2 min).
	XTA_MEGABYTES=300 $(BIN)/pytest -q -s --numprocesses 0 --durations=0 tests/interop/test_xta_servers.py

bench-portal: $(VENV)/test.stamp ## Measure what pages of the citizens' portal cost, and 200 people at once (< 3 min).
	$(BIN)/python -W ignore -m benchmarks.portal $(ARGS)

portal-pictures: $(VENV)/test.stamp ## Look at every page of the citizens' portal: pictures in tests/out, at both widths, light and dark; axe (< 2 min).
	PORTAL_PICTURES=full $(BIN)/pytest -q tests/browser/test_portal_in_a_browser.py -k every_page --timeout 600 $(ARGS)

bench-validate: $(VENV)/test.stamp $(VENV)/serving.stamp ## Measure hub validate with many files and a large one (ARGS="--base CHECKOUT": beside another build; < 5 min).
	$(BIN)/python -W ignore -m benchmarks.validate_many --venv $(VENV)/serving $(ARGS)

compare: $(VENV)/test.stamp ## Compare verdicts with those of Xerces, on 5,600 documents made from official schemas (a JDK, Xerces in Maven's local repository; < 15 min; ARGS="--random 1000": on schemas drawn by chance, < 5 min).
	$(BIN)/python -W ignore -m benchmarks.compare $(ARGS)

# What the hub is compared with, and what draws, stay out of the hub's own environment.
$(VENV)/yardstick.stamp: $(BIN)/uv benchmarks/full/requirements.lock
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/yardstick
	$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/yardstick/bin/python -r benchmarks/full/requirements.lock
	@touch $@

bench-country: $(VENV)/test.stamp $(VENV)/yardstick.stamp ## Measure a day of the whole country and what a hub for it needs (PostgreSQL, < 15 min; ARGS="--short").
	$(BIN)/python -W ignore -m benchmarks.country $(ARGS)

$(VENV)/as4.stamp: $(BIN)/uv benchmarks/as4.lock
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/as4
	$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/as4/bin/python -r benchmarks/as4.lock
	@touch $@

bench-as4: $(VENV)/test.stamp $(VENV)/as4.stamp ## Measure an accept beside what as4 takes to receive the same message (< 3 min).
	$(BIN)/python -W ignore -m benchmarks.as4 $(ARGS)

bench-usage: $(VENV)/test.stamp ## Measure the roll-up of a month (PostgreSQL; ARGS="--submissions 10000000" takes some 25 GB; a million < 5 min).
	$(BIN)/python -W ignore -m benchmarks.usage $(ARGS)

bench-scope: $(VENV)/test.stamp ## Measure what the filter of scopes costs on lists of a million submissions (PostgreSQL, < 5 min; ARGS="--submissions 10000000").
	$(BIN)/python -W ignore -m benchmarks.scope $(ARGS)

bench-full: $(VENV)/test.stamp $(VENV)/yardstick.stamp ## Measure queue, bulkheads, a sustained run, the price of proof, attachments of 500 MB (PostgreSQL, < 20 min).
	$(BIN)/python -W ignore -m benchmarks.full $(ARGS)

crash: $(VENV)/test.stamp ## Kill, stop, pause and fill up under load; account for every promise (ARGS=--short: 2 min).
	$(BIN)/python -W ignore -m benchmarks.crash $(ARGS)

upgrade-drill: $(VENV)/test.stamp ## Update two nodes in turns from each earlier release and back, under load (PostgreSQL, the history; < 8 min).
	$(BIN)/python -W ignore -m benchmarks.upgrade $(ARGS)

fuzz: $(VENV)/test.stamp ## Send every case that schemathesis derives from the contract's bounds; the suite sends a part.
	FUZZ_ALL=1 $(BIN)/pytest -q tests/api/test_contract_fuzzing.py -k bounds

lock: $(BIN)/uv ## Pin dependencies anew, with hashes.
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-package rathaus-hub-client --extra postgres --extra s3 --extra sftp --extra backup --extra schematron --extra otel --extra portal --extra timestamps pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-package rathaus-hub-client --extra postgres --extra s3 --extra sftp --extra backup --extra schematron --extra otel --extra portal --extra timestamps --extra build --extra docs --extra dev pyproject.toml -o tests/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --constraints tests/requirements.lock deploy/build.in -o deploy/build.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate deploy/tools.in -o deploy/tools.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate benchmarks/full/requirements.in -o benchmarks/full/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate benchmarks/as4.in -o benchmarks/as4.lock

generators: $(VENV)/test.stamp ## Make clients of openapi.yaml by five generators, compile them, and submit with each (JDK, Maven, npm).
	$(BIN)/pytest -q --numprocesses 0 --durations=0 tests/interop/generators

clean: ## Remove the virtual environment, caches and build products (not data).
	rm -rf $(VENV) build dist .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache benchmarks/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
