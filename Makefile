# imgclf-dagster. `make help` lists what there is.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Many tests wait for servers: a third worker on two cores finds something to do.
WORKERS ?= 3
# The fast ones compute all the time: a worker a core, each of which imports them all.
UNIT_WORKERS ?= logical
READY := $(VENV)/.ready

# With it, every process would compile all that it imports: twice the CPU time of a short one.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo up test test-unit check lint format docs bench mutation clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Make the virtual environment with the pinned versions

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "imgclf needs Python 3.11, 3.12 or 3.13; this is %s (make PYTHON=/path/to/python3.11)" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv -c constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[weights,aws,dev]'
	@touch $@

demo: $(READY)  ## Run the whole line on real handwritten digits, to a production endpoint
	@$(BIN)/imgclf demo

up: $(READY)  ## Start Dagster, the endpoints, the predictor and MLflow on this machine
	@$(BIN)/imgclf up

test: $(READY)  ## Run every test
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-unit: $(READY)  ## Run the fast tests
	$(BIN)/pytest -n $(UNIT_WORKERS) --dist worksteal tests/unit

check: $(READY)  ## Check style, types and imports quickly, before a commit
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lint: $(READY)  ## Check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin  # most laptops are Macs
	$(BIN)/lint-imports

format: $(READY)  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## Build the site of the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(READY)  ## Run the benchmarks and write docs/benchmarks.md
	$(BIN)/python -m benchmarks

mutation: $(READY)  ## Measure the mutation score of what decides (MODULE=assets.evaluation.gates: of one module)
	$(BIN)/mutmut run $(if $(MODULE),"$(MODULE).*")
	@$(BIN)/mutmut results --all true | awk '/not checked$$/ {next} \
	  {name = $$1; sub(/\.x[^.]*$$/, "", name); all[name]++} \
	  /: (killed|timeout)$$/ {killed[name]++; next} {print} \
	  END {for (name in all) \
	    printf "%s: %d of %d killed (%.1f %%)\n", name, killed[name], all[name], 100 * killed[name] / all[name]}'

clean:  ## Remove the virtual environment and caches (not .imgclf)
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache mutants
