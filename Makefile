# Everything a newcomer needs is a target here; each sets up what it needs and is quick the second time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REFERENCE := .venv-reference
INFINITY := .venv-infinity
DEMO := .demo
GATE := .gate .venv-gate .venv-gate-older
JAVASCRIPT := tests/server/javascript
OLDER := .venv-clients/1.33.0 .venv-clients/0.36.2
WEB := tests/web
HOSTING := tests/server/hub tests/server/web tests/runtime/test_jobs.py tests/server/test_process.py tests/server/test_hostile.py
VENDORED := src/embedhub/server/web/static/vendor
CHROMIUM := /usr/bin/chromium

.DEFAULT_GOAL := help
.PHONY: help demo serve web test test-hosting test-clients test-web test-hub test-reference fuzz check format clean
.PHONY: bench bench-full bench-memory bench-search bench-serve bench-serve-long bench-hub bench-hub-memory bench-web

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# Compiling every file of 130 packages takes a third of the time, and tests import few of them.
$(VENV)/installed-check: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[check]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-map: pyproject.toml $(VENV)/installed-check
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[map]'
	@touch $@

$(REFERENCE)/installed: pyproject.toml
	$(PYTHON) -m venv $(REFERENCE)
	$(REFERENCE)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile torch==2.13.0
	$(REFERENCE)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[reference]'
	@touch $@

$(JAVASCRIPT)/node_modules/installed: $(JAVASCRIPT)/package.json $(JAVASCRIPT)/package-lock.json
	@node --version && npm --version || { echo "Node and npm are missing; for example: apt-get install nodejs npm" >&2; exit 1; }
	cd $(JAVASCRIPT) && npm ci --loglevel=error
	@touch $@

$(WEB)/node_modules/installed: $(WEB)/package.json $(WEB)/package-lock.json
	@npm --version > /dev/null || { echo "npm is missing; for example: apt-get install nodejs npm" >&2; exit 1; }
	cd $(WEB) && npm ci --loglevel=error
	@touch $@

$(CHROMIUM):
	@echo "$(CHROMIUM) is missing: apt-get install chromium" >&2; exit 1

demo: $(VENV)/installed ## Embed 13 questions, ask one, print the answers and the time each step took
	@$(BIN)/python examples/demo.py $(DEMO)

serve: $(VENV)/installed ## Run the server with everything that the site can do
	@npm --version > /dev/null 2>&1 && $(MAKE) --no-print-directory web || echo "Without npm and its packages the site goes without embedding in the browser." >&2
	$(BIN)/embedhub serve

web: $(BIN)/python ## Fetch the scripts by others that the site runs (needs npm; 35 MB)
	@$(BIN)/python web/vendor.py

test: $(VENV)/installed-check ## Run the self-contained suite, but for what `test-hosting` runs
	@$(BIN)/python -c "from embedhub.config import DEFAULT_MODEL, settings; from embedhub.models import find_model; find_model(DEFAULT_MODEL, settings=settings())"
	$(BIN)/python -m pytest -m "not reference and not clients and not web" -n 2 --dist loadfile $(HOSTING:%=--ignore=%)

test-hosting: $(VENV)/installed-check ## Whole servers, the Hub and the site with real clients, attackers and kill -9
	@$(BIN)/python -c "from embedhub.config import DEFAULT_MODEL, settings; from embedhub.models import find_model; find_model(DEFAULT_MODEL, settings=settings())"
	$(BIN)/python -m pytest -m "not reference and not clients and not web" -n 2 --dist loadfile $(HOSTING)

$(OLDER:=/installed): .venv-clients/%/installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check huggingface_hub==$* hf_xet
	@touch $@

test-clients: $(VENV)/installed-check $(JAVASCRIPT)/node_modules/installed $(OLDER:=/installed) ## Run clients in JavaScript and older ones in Python (needs Node, npm, curl and git-lfs)
	$(BIN)/python -m pytest -m clients

test-web: $(CHROMIUM) $(VENV)/installed-map $(WEB)/node_modules/installed web ## Look at the site in a browser (needs Chromium and npm)
	@$(BIN)/python -c "from embedhub.config import DEFAULT_MODEL, settings; from embedhub.models import find_model; find_model(DEFAULT_MODEL, settings=settings())"
	$(BIN)/python -m pytest tests/web

test-hub: $(VENV)/installed-check ## Run huggingface_hub's and datasets' own tests against the server
	$(BIN)/python -m tests.hub_gate.run

test-reference: $(REFERENCE)/installed ## Compare with torch, transformers and sentence-transformers
	$(REFERENCE)/bin/python -m pytest -m reference

fuzz: $(VENV)/installed-check ## Fuzz the server's API from its own document, for long (about 10 minutes)
	EMBEDHUB_FUZZ=10000 $(BIN)/python -m pytest tests/server/test_fuzz.py

check: $(VENV)/installed-check ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-check ## Put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(REFERENCE)/installed ## Measure beside sentence-transformers and fastembed (about 15 minutes)
	$(REFERENCE)/bin/python benchmarks/bench.py

bench-full: $(REFERENCE)/installed ## The same with the jobs of 100,000 and 1,000,000 rows (hours)
	$(REFERENCE)/bin/python benchmarks/bench.py --full --memory 10000 100000 1000000

bench-search: $(REFERENCE)/installed ## How long a question to a million rows takes, beside usearch's graph (about 15 minutes)
	$(REFERENCE)/bin/python benchmarks/search.py

bench-memory: $(VENV)/installed ## Whether a job's memory grows from 100,000 to 1,000,000 rows (about half an hour)
	$(BIN)/python benchmarks/memory.py

$(INFINITY)/installed:
	$(PYTHON) -m venv $(INFINITY)
	$(INFINITY)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(INFINITY)/bin/python -m pip install --quiet --disable-pip-version-check "infinity_emb[torch,server]==0.0.77" "click<8.2"
	@touch $@

bench-serve: $(VENV)/installed-check $(INFINITY)/installed ## Measure the server under load, beside Infinity (about 15 minutes; needs wrk)
	$(BIN)/python benchmarks/serve.py --infinity $(INFINITY)/bin/python

bench-serve-long: $(VENV)/installed-check ## The server's memory over 200,000 requests, and ten minutes of load
	$(BIN)/python benchmarks/serve.py --only-long --requests 20000 200000 --soak 600

bench-hub: $(VENV)/installed-check ## Measure the Hub beside nginx and git's own server (minutes; needs nginx and fcgiwrap)
	$(BIN)/python benchmarks/hub.py

bench-hub-memory: $(VENV)/installed-check ## The Hub's memory while 2 GB go through it by three clients (needs git-lfs)
	$(BIN)/python benchmarks/hub_memory.py

bench-web: $(CHROMIUM) $(VENV)/installed-check web ## How soon the site's pages are there, in a browser that has seen none (a minute; needs Chromium)
	$(BIN)/python benchmarks/pages.py

clean: ## Remove what the other targets made (models stay in EMBEDHUB_HOME)
	rm -rf $(VENV) $(REFERENCE) $(INFINITY) $(DEMO) $(GATE) .venv-clients $(JAVASCRIPT)/node_modules $(WEB)/node_modules $(VENDORED)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
