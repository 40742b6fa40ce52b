# Two commands do everything on a machine with Python 3.11 and make: `make demo` and `make test`.

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
CANDIDATES := $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python)
JOBS ?= 2
PYTEST_ARGS ?=
DATASET_DIR ?=
BENCH_ARGS ?=

DEMO := demo
PHANTOM := $(DEMO)/.phantom
DEMO_IMAGES ?= 8

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long check bench clean
.DELETE_ON_ERROR:

help: ## list the targets
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while read -r name text; do printf '  %-11s%s\n' "$$name" "$$text"; done

setup: $(INSTALLED) ## make .venv and install the package with its tools
	@echo "setup: $(VENV) is up to date"

$(INSTALLED): setup.cfg setup.py pyproject.toml constraints.txt
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	    echo "setup: making $(VENV)"; \
	    found=; \
	    for candidate in $(CANDIDATES); do \
	        if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	            found=$$candidate; break; \
	        fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "error: Python: 3.11 or newer is needed and none of '$(strip $(CANDIDATES))' is;" \
	             "install it, or name it: make PYTHON=/path/to/python3.11" >&2; \
	        exit 1; \
	    fi; \
	    "$$found" -m venv --clear $(VENV) || { \
	        echo "error: $$found: cannot make a virtual environment; install its venv module" \
	             "(on Debian and Ubuntu the package python3-venv)" >&2; \
	        exit 1; \
	    }; \
	}
	@echo "setup: installing the package and its tools (the first time about 5 GB, most of it torch)"
	@$(PY) -m pip install --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

$(PHANTOM): $(wildcard mcf_bundle/data/phantom/*.py) | $(INSTALLED)
	@echo "demo: writing a phantom cohort of 12 patients to $(DEMO)/phantom"
	@rm -rf $(DEMO)/phantom
	@$(PY) -m mcf_bundle phantom --output_dir $(DEMO)/phantom --patients 12 --seed 0
	@touch $@

demo: $(INSTALLED) $(PHANTOM) ## turn healthy phantom slices into tumor slices, print where the report is
	@echo "demo: making $(DEMO_IMAGES) tumor slices with the shipped weights"
	@$(PY) -m monai.bundle run --config_file bundles/mcf_diffusion/configs/inference.json \
	    --dataset_dir $(DEMO)/phantom --output_dir $(DEMO)/out --num_images $(DEMO_IMAGES) --seed 0 --overwrite True
	@echo "demo: done, the report is $(CURDIR)/$(DEMO)/out/report.html"

test: $(INSTALLED) ## run all tests on JOBS=2 processes; PYTEST_ARGS are added
	@echo "test: running the tests on $(JOBS) processes"
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-long: $(INSTALLED) ## kill generation and training again and again, some minutes
	@echo "test-long: running the long tests on one process"
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -m long -s tests/long $(PYTEST_ARGS)

check: $(INSTALLED) ## ruff, mypy, and the rules of the config files
	@echo "check: ruff"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@echo "check: mypy"
	@$(PY) -m mypy
	@echo "check: config files"
	@find bundles configs -name '*.json' -exec $(PY) -m pre_commit_hooks.check_json {} +
	@find bundles -name '*.json' -exec $(PY) -m pre_commit_hooks.pretty_format_json --no-sort-keys --indent 4 {} +
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -q tests/bundles/test_rules.py tests/bundles/test_configs.py

bench: $(INSTALLED) ## measure speed beside MONAI's, write benchmarks/results.json; DATASET_DIR for real slices
	@echo "bench: about 45 minutes on 2 cores"
	@$(PY) -m benchmarks $(if $(DATASET_DIR),--dataset_dir $(DATASET_DIR)) $(BENCH_ARGS)

clean: ## remove what the other targets made, except .venv
	@echo "clean: removing build output, caches and $(DEMO)/"
	@rm -rf build dist *.egg-info $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find mcf_bundle tests -name __pycache__ -type d -prune -exec rm -rf {} +
