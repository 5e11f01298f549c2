# make demo: the embedded demo to its finished report.  make test: the tests.
# make install LOCKED=1: exactly the packages of requirements.lock, checked by their hashes.
# make VENV=.venv-3.13 PYTHON=python3.13 test: the same with another Python, beside the first.
# make bench: how fast the engine is.  make faults: trainings killed again and again.
# make hostile: inputs as strangers, accidents and ill will make them.
# make docs: the documentation as a site.
PYTHON ?= python3
VENV := .venv
# Put the environment first, so that the pipeline's own shell lines find it too.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: install demo test check docs bench faults hostile lock audit sbom clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@command -v $(PYTHON) > /dev/null || \
		{ echo "error: there is no $(PYTHON); set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
ifdef LOCKED
	$(VENV)/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
else
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev,export]'
endif
	@touch $@

demo: install
	snakemake
	@echo "Open results/demo/report.html"

# The tests on a SLURM of their own follow one another; without SLURM they are skipped.
test: install
	python -m pytest --numprocesses auto --dist loadfile --ignore tests/cluster
	python -m pytest tests/cluster

# Training steps against the textbook's, and reconstruction in every runtime that is installed (OpenVINO
# is asked for by: pip install openvino), in turns; about twenty-five minutes on a quiet machine.
bench: install
	python -m benchmarks
	python -m benchmarks.inference

# The tests of faults at their full length: 50 kills of each kind of training at random instants, and
# about as many at places drawn between two file operations.
faults: install
	FAULT_KILLS=50 python -m pytest tests/faults

# The tests of hostile inputs at their full length: 2,000 drawn configurations, folders and files.
hostile: install
	HOSTILE_INPUTS=2000 python -m pytest tests/property/test_hostile_inputs.py

# The quality gates.
check: install
	ruff check .
	ruff format --check .
	codespell
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --site-dir $$(mktemp -d)

# The documentation as a site: site/index.html.
docs: install
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# Anew from pyproject.toml; what is known of holes in these packages; and their bill of materials
# (sbom.json, CycloneDX). They need uv, pip-audit and cyclonedx-bom; the first two ask the package index.
# Where that tells nothing of a package, as a mirror may, the audit fails: without --strict it would
# find no hole in it.
lock:
	uv pip compile pyproject.toml --extra dev --extra export --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock (to install: make install LOCKED=1)" \
		--quiet -o requirements.lock

audit:
	pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

sbom:
	cyclonedx-py requirements requirements.lock --output-reproducible --of JSON -o sbom.json

clean:
	rm -rf $(VENV) results/demo site
