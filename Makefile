# make help says what there is. Everything happens in .venv; nothing outside the checkout is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test fuzz check format bench dist constraints image release docs plugin clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "geolulc needs Python 3.11 or newer, found " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/test-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

install: $(VENV)/installed ## an environment in .venv with geolulc in it

demo: $(VENV)/installed ## build an example scene and map it with the shipped model
	$(BIN)/python examples/demo.py demo

test: $(VENV)/test-installed ## install what the tests need and pass them
	$(BIN)/python -m pytest -n auto

fuzz: $(VENV)/test-installed ## ten minutes of damaged inputs; ARGS="--kind zip --seed 7 --seconds 60", ARGS=--help
	$(BIN)/python tests/fuzz/fuzzing.py $(ARGS)

check: $(VENV)/test-installed ## lint, format, types, import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/test-installed ## mend what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/test-installed ## what there is to measure, and how
	@for f in benchmarks/*.py; do echo "$(BIN)/python $$f  $$($(BIN)/python -c "import ast,sys; print((ast.get_docstring(ast.parse(open('$$f').read())) or '').splitlines()[0])")"; done

dist: $(VENV)/test-installed ## wheel and sdist in dist/, checked in an environment of their own; ARGS=--complete
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/geolulc-*
	$(BIN)/python release/check_wheel.py dist $(ARGS)

constraints: $(VENV)/test-installed ## release/constraints.txt: the versions that the tests pass with
	$(BIN)/python release/constraints.py > release/constraints.txt

image: ## the container; ARGS="--build-arg TORCH_INDEX=…"
	docker build -t geolulc $(ARGS) .

release: check test docs dist plugin ## all that is published, and what is left to do by hand
	@sed -n '/^## Releasing/,/^## /p' CONTRIBUTING.md

docs: $(VENV)/test-installed ## the site in site/; broken links fail, nothing is fetched
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

plugin: ## the plugin for QGIS as dist/geolulc_plugin.zip
	$(PYTHON) qgis/make_zip.py dist

clean: ## remove the environment and the demo
	rm -rf $(VENV) demo
