# Every target prepares what it needs; nothing is assumed but python3, make and git.
.DEFAULT_GOAL := help
.PHONY: help rehearse test pytest test-fast prove check synth bench e2e machines clean format environments
SHELL := /bin/bash
UV ?= .tools/uv
DATA ?=
LABEL ?=
PRODUCT ?=
FAULTS ?=
BASE ?=
E2E ?=
# Only .tools/python fetches a Python, where the machine has none that fits.
export UV_PYTHON_DOWNLOADS := manual
# Compiled once when installed: otherwise every start of Python compiles the CDK again where bytecode is not written.
export UV_COMPILE_BYTECODE := 1
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# jsii caches its kernel per package digest: the second synth starts faster.
export JSII_RUNTIME_PACKAGE_CACHE := enabled
PYTEST := .venv/bin/python -m pytest --quiet --numprocesses=auto --dist=loadscope --no-loadscope-reorder
SEED_PROJECT := seed-code/layers/project
DEPLOYMENT_PROJECT := seed-code/layers/deployment

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

rehearse: environments  ## Walk the path of a model through five accounts on this machine (DATA=path LABEL=column: your own data; PRODUCT=train-x or all: other training products; FAULTS=1: with faults; YES=1: without a question)
	@.venv/bin/python -m rehearsal $(if $(DATA),--data '$(subst ','\'',$(DATA))') $(if $(LABEL),--label '$(subst ','\'',$(LABEL))') $(if $(PRODUCT),--product '$(PRODUCT)') $(if $(filter-out 0,$(FAULTS)),--faults) $(if $(filter-out 0,$(YES)),--yes)

# The checks leave a core free, so the tests begin at the same time.
test: environments  ## Run the checks and tests of every change: lint, types, templates, Lambdas, seed code, rehearsal
	@$(MAKE) --no-print-directory -s -j2 check pytest

pytest: environments
	@$(PYTEST) -m 'not prove' $(PYTEST_ARGS)

test-fast: .venv/.ready node_modules/.ready  ## Run the quick tests while you work: no lint, no types, nothing that stands up the organisation
	@$(PYTEST) -m 'not prove and not slow and not seed and not rehearsal' --ignore=tests/rehearsal --ignore=tests/seed_code --ignore=tests/proofs $(PYTEST_ARGS)

prove: environments .venv-checkov/.ready  ## Run what is exhaustive: proofs of isolation, mutants of policies, whole walks of many products
	@$(PYTEST) -m prove $(PYTEST_ARGS)

check: environments  ## Lint, format check, types, released files; what CI, pre-commit and people run
	@.venv/bin/ruff format --check --quiet . || (echo 'Run `make format` to format the files above.' && false)
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/portfolio verify

format: .venv/.ready  ## Format the code and apply safe lint fixes
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

synth: .venv/.ready node_modules/.ready  ## Synthesise the CDK app into cdk.out/
	@node_modules/.bin/cdk synth --quiet

bench: environments  ## Time synth, the steps of the rehearsal, a table and queries of Athena; prints medians over several runs (BASE=revision: and the ratio to it)
	@.venv/bin/python -m rehearsal.bench $(if $(BASE),--base '$(BASE)')
	@.venv-seed/bin/python seed-code/bench/tables.py
	@.venv/bin/python -m aws_emulator.tests.athena_bench
	@.venv/bin/python seed-code/bench/lake.py

ifdef ORGANIZATION
e2e: environments
	@.venv/bin/python -m tests.e2e.organization '$(ORGANIZATION)' $(E2E)
else
e2e: .venv/.ready .venv-e2e/.ready  ## Launch released templates in a real account, or walk a whole organisation (ORGANIZATION=file): costs money (tests/e2e/README.md)
	@.venv/bin/python -m tests.e2e.taskcat build/e2e/taskcat.yml
	@.venv-e2e/bin/taskcat test run --project-root products --input-file ../build/e2e/taskcat.yml --output-directory build/e2e $(E2E)
endif

machines:  ## Run `make rehearse` and `make test` on fresh Debian 12 and 13 machines (root and debootstrap needed)
	@tests/machines/debian.sh bookworm && tests/machines/debian.sh trixie

clean:  ## Remove everything that was generated, environments included
	@rm -rf .venv .venv-rehearsal .venv-seed .venv-deployment .venv-checkov .venv-e2e .tools node_modules cdk.out build .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed at the same time: they are independent, and most of the wait is the network.
environments:
	@$(MAKE) --no-print-directory -s -j5 .venv/.ready .venv-rehearsal/.ready .venv-seed/.ready .venv-deployment/.ready node_modules/.ready

.tools/uv: .ci/bootstrap.py
	@python3 .ci/bootstrap.py uv $@ && touch $@

.tools/python: .ci/bootstrap.py pyproject.toml | $(UV)
	@python3 .ci/bootstrap.py python $@ $(UV)

.venv/.ready: pyproject.toml uv.lock | .tools/python
	@echo 'installing .venv (CDK, tests, tools)'
	@$(UV) sync --quiet --frozen && touch $@

# Without the emulator itself, which is found in this folder: on the path it would show emulated functions all of it.
.venv-rehearsal/.ready: pyproject.toml uv.lock aws_emulator/pyproject.toml | .tools/python
	@echo 'installing .venv-rehearsal (the emulated organisation)'
	@UV_PROJECT_ENVIRONMENT=.venv-rehearsal $(UV) sync --quiet --frozen --only-group rehearsal --no-install-workspace && touch $@

.venv-seed/.ready: $(SEED_PROJECT)/pyproject.toml $(SEED_PROJECT)/uv.lock $(wildcard $(SEED_PROJECT)/vendor/*.whl) | .tools/python
	@echo 'installing .venv-seed (SageMaker SDK, XGBoost: the seed code)'
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venv-seed $(UV) sync --quiet --frozen --project $(SEED_PROJECT) && touch $@

.venv-deployment/.ready: $(DEPLOYMENT_PROJECT)/pyproject.toml $(DEPLOYMENT_PROJECT)/uv.lock | .tools/python
	@echo 'installing .venv-deployment (cfn-lint, boto3: the repositories that deploy)'
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venv-deployment $(UV) sync --quiet --frozen --project $(DEPLOYMENT_PROJECT) && touch $@

.venv-checkov/.ready: pyproject.toml uv.lock | .tools/python
	@echo 'installing .venv-checkov (checkov)'
	@UV_PROJECT_ENVIRONMENT=.venv-checkov $(UV) sync --quiet --frozen --only-group checkov && touch $@

.venv-e2e/.ready: pyproject.toml uv.lock | .tools/python
	@echo 'installing .venv-e2e (taskcat)'
	@UV_PROJECT_ENVIRONMENT=.venv-e2e $(UV) sync --quiet --frozen --only-group e2e && touch $@

node_modules/.ready: package-lock.json .venv/.ready
	@echo 'installing the CDK command line'
	@.venv/bin/npm ci --silent --no-audit --no-fund && touch $@
