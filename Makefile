# make demo    build the environment, run the shipped studies, say where the reports are
# make test    the tests (parts whose program is not installed are skipped, with the reason)
# make check   style, types, and that generated files are current
# make docs    write the generated files again
# make golden  the numbers of tests/golden again, with R (Debian's packages; never needed to use or test)
PYTHON ?= python3
CORES  ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: demo test check docs lock golden agreement bench-mme bench-estimators clean

demo: $(VENV)/.ready
	$(BIN)/ketamine-outcomes demo --cores $(CORES)

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile

check: $(VENV)/.ready
	$(BIN)/ruff format --check src tests benchmarks docs/figures
	$(BIN)/ruff check src tests benchmarks docs/figures
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python -m ketamine_outcomes.study_docs --check

docs: $(VENV)/.ready
	$(BIN)/python -m ketamine_outcomes.study_docs

# Two dependencies ship as source only: their build tools come first, pinned like all else.
$(VENV)/.ready: requirements.lock requirements-build.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed; give one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements-build.lock
	$(PIP) --no-build-isolation -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

# Needs uv; versions and hashes only, no addresses.
lock:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 --group build --group dev pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 --group build -c requirements.lock -o requirements-build.lock

golden:
	bash tests/golden/r/regenerate.sh

# Digits of agreement with R, as the tests measure them, to docs/reference/estimators.
agreement: $(VENV)/.ready
	$(BIN)/python tests/golden/agreement.py

# The peers live in an environment of their own; see benchmarks/README.md.
bench-mme: $(VENV)/.ready benchmarks/.venv/.ready
	$(BIN)/python benchmarks/mme/run.py --rows 1e6 1e7

bench-estimators: $(VENV)/.ready benchmarks/.venv/.ready
	$(BIN)/python -m benchmarks.estimators.run

benchmarks/.venv/.ready: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean:
	rm -rf results/*/ .snakemake
