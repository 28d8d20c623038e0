# Needs make and Python 3.11 or later. Everything else is installed into .venv, once.

.DEFAULT_GOAL := help
SHELL := /bin/sh
export UV_PYTHON_DOWNLOADS := never

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The newest Python that there is, that is new enough, and that really runs; `make PYTHON=…` overrides it.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo $$python && break; done)

# `make pins UPGRADE=` brings in what pyproject.toml has gained, and leaves the other pins as they are.
UPGRADE ?= --upgrade
COMPILE := $(BIN)/uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --no-annotate \
	--no-emit-index-url --custom-compile-command 'make pins'
TESTED := --extra emulator --extra openlineage --group test pyproject.toml

# In processes of their own: hypothesis draws by the constants of the modules that a process has loaded, too.
CAMPAIGNS := tests/faults/test_campaign.py tests/faults/test_server_campaign.py

.PHONY: help demo standalone test lint format types test-packaging test-matrix test-system test-browser bench mutate simulate \
	docs translations build pins clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Watch a DAG run a pipeline, on the FlowEngine emulator (a minute)
	@$(BIN)/python scripts/demo.py

standalone: $(READY) ## A whole Airflow with its web page, the example DAGs, and the FlowEngine emulator
	@$(BIN)/python scripts/standalone.py

test: lint types ## Lint, types and all tests but those with a target of their own (5 minutes)
	@$(BIN)/pytest -q -n 5 --dist worksteal $(foreach campaign,$(CAMPAIGNS),--ignore=$(campaign))
	@$(BIN)/pytest -q -n 2 --dist loadfile $(CAMPAIGNS)

lint: $(READY) ## Check style, format and spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell

format: $(READY) ## Fix style and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(READY) ## Check types
	@$(BIN)/mypy

simulate: $(READY) ## Play more random servers than `make test` does: CASES=100000, from SEED=0 on
	@$(BIN)/pytest -q -p no:cacheprovider tests/faults/test_server_campaign.py --cases=$(or $(CASES),100000) \
		--campaign-seed=$(or $(SEED),0)

test-packaging: $(READY) ## Build the wheel and install it beside the newest and the oldest Airflow
	@$(BIN)/pytest -q tests/packaging

test-matrix: $(READY) ## Run the tests on every supported Airflow and Python, and write docs/versions.md
	@$(BIN)/nox

test-system: $(READY) ## Kill real Airflow processes and see that no run is started twice or lost
	@tests/system/setup.sh
	@$(BIN)/pytest -q -n 8 tests/system

test-browser: $(READY) ## Use Airflow's web page as a user would
	@tests/browser/setup.sh
	@$(BIN)/pytest -q -n 2 --dist loadfile tests/browser

bench: $(READY) ## Measure beside other providers (PARTS=steps for one part)
	@$(BIN)/nox --session bench -- $(PARTS)

mutate: $(READY) ## Change the code in a thousand places, and see which change no test notices (half an hour)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group mutate
	@$(BIN)/mutmut run --max-children 2
	@$(BIN)/mutmut results

docs: $(READY) ## Build the documentation, English and Chinese, into docs/_build/html
	@for language in en:en zh_CN:zh; do \
		echo "Building docs/_build/html/$${language#*:} …"; \
		DOCS_LANGUAGE=$${language%:*} $(BIN)/sphinx-build -q -W --keep-going \
			-d docs/_build/$${language#*:} docs docs/_build/html/$${language#*:} || exit 1; done
	@cp docs/_root/index.html docs/_build/html/

translations: $(READY) ## Bring the Chinese catalogues up to date with the English pages
	@rm -rf docs/_build/gettext
	@$(BIN)/sphinx-build -q -b gettext docs docs/_build/gettext
	@cd docs/_build/gettext && rm -f project/changelog.pot sphinx.pot  # English, and kept by hand
	@cd docs && ../$(BIN)/sphinx-intl update -p _build/gettext -l zh_CN -d locale --no-obsolete --line-width 120

build: $(READY) ## Build the wheel and the source archive into dist
	@$(BIN)/uv build --quiet
	@ls dist

pins: $(READY) ## Pin the newest versions that pyproject.toml allows
	@$(COMPILE) --extra emulator --extra openlineage --group dev pyproject.toml -o requirements/dev.txt
	@$(COMPILE) --group bench pyproject.toml -o requirements/bench.txt
	@for group in system browser; do \
		$(COMPILE) --group $$group -c requirements/dev.txt pyproject.toml -o requirements/$$group.txt; done
	@for line in requirements/airflow-*.in; do $(COMPILE) $(TESTED) $$line -o $${line%.in}.txt; done
	@$(COMPILE) --resolution lowest-direct $(TESTED) -o requirements/lowest.txt

clean: ## Delete all that the other targets make
	@rm -rf $(VENV) .nox mutants .demo .standalone .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* htmlcov \
		build dist docs/_build
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo >&2 "make: there is no Python 3.11 or later with its venv module here" \
		"(on Debian: apt-get install python3-venv); name one with make PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing into $(VENV) …"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@
