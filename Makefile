# The menu: `make` prints it. Every target makes its own environment in .venv first (`make setup`);
# nothing needs to be activated. To use the same environment by hand: . .venv/bin/activate

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

HOST_PATH := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# The environment is made anew when what it is made of changes, or when the checkout has moved.
SETUP_KEY := $(shell { cat requirements/* setup.cfg pyproject.toml; \
    echo '$(CURDIR) $(PYTHON) $(HOROVOD_GPU)'; } | sha256sum | cut -c1-16)
READY := .venv/ready-$(SETUP_KEY)

AIRFLOW_READY := .venv-airflow/ready-$(shell { cat requirements/airflow.txt; \
    echo '$(CURDIR) $(PYTHON)'; } | sha256sum | cut -c1-16)

CODE := $(wildcard esmm_dist jobs dags benchmarks tests)
TESTS := $(wildcard tests/unit tests/architecture tests/integration)
# Much of a test is waiting: for a JVM, for ranks to meet. A file stays with one of the two processes.
PYTEST_ARGS ?=
# In the order of tests/conftest.py, the longest files first: xdist's own begins with many short tests.
TWO_AT_A_TIME := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## print this menu
	@echo 'usage: make TARGET'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: setup
setup: $(READY) ## check the prerequisites, make .venv (every other target does this by itself)

# $(error) ends in the one line that says what to install, where a failed recipe would add its own.
$(READY):
	@$(eval MISSING := $(shell PATH='$(HOST_PATH)' PYTHON='$(PYTHON)' requirements/prerequisites.sh 2>&1))
	@$(if $(MISSING),$(error $(MISSING)))
	@PATH='$(HOST_PATH)' requirements/setup.sh $@

.PHONY: demo
demo: setup ## real logs -> samples -> two training workers -> a report to open
	spark-submit jobs/build_samples.py
	horovodrun -np 2 python -m esmm_dist.train
	python -m esmm_dist.evaluate

.PHONY: airflow
airflow: setup $(AIRFLOW_READY) ## make .venv-airflow, the environment of the scheduler

$(AIRFLOW_READY):
	@PATH='$(HOST_PATH)' requirements/setup_airflow.sh $@

.PHONY: airflow-demo
airflow-demo: airflow ## four nights under a real Airflow: three models published, one refused
	python -m benchmarks.nightly

.PHONY: test
test: setup ## the whole test suite, two files at a time (PYTEST_ARGS='-k name' to choose)
	python -m pytest $(TESTS) $(TWO_AT_A_TIME) $(PYTEST_ARGS)

.PHONY: unit
unit: setup ## the unit tests alone: under a minute
	python -m pytest tests/unit $(PYTEST_ARGS)

.PHONY: check
check: lint types imports test ## lint, types, imports and test

.PHONY: lint
lint: setup ## style: flake8, and isort in check mode
	flake8 $(CODE)
	isort --check-only --diff --quiet $(CODE)

.PHONY: types
types: setup ## static types: mypy
	mypy $(CODE)

.PHONY: imports
imports: setup ## who may import whom: the contracts in setup.cfg
	lint-imports --no-logo

.PHONY: bench
bench: setup ## list the benchmarks, one script a claim
	@python -c 'import ast, sys; [print(f"  python -m {p[:-3].replace(chr(47), chr(46))}  {(ast.get_docstring(ast.parse(open(p).read())) or str()).partition(chr(10))[0]}") for p in sys.argv[1:]]' \
	    $(sort $(wildcard benchmarks/*.py))

.PHONY: figures
figures: setup ## make the figures of the README and the docs anew: hours (see CONTRIBUTING.md)
	for name in demo audit trees paper_protocol sharing_selection delays; do \
	    python -m benchmarks.$$name; \
	done

.PHONY: lock
lock: ## resolve requirements/lock.txt anew (UPGRADE=1 takes the newest versions)
	@PATH='$(HOST_PATH)' $(or $(PYTHON),python3.11) requirements/lock.py $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove .venv and what the tools left; keeps data/, runs/ and the cache of wheels
	rm -rf .venv .venv-airflow build dist ./*.egg-info .mypy_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf spark-warehouse metastore_db derby.log
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
