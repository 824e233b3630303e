# Two commands need no set-up: `make drill` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help drill test faults lint lock clean
SHELL := /bin/sh
PY := .venv/bin/python
BOOTSTRAP := sh tests/lab/bootstrap.sh
LOCKS := requirements/agent.txt requirements/operator.txt requirements/dev.txt

help: ## this list
	@awk -F ':.*## ' '/^[a-z.]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

.venv: .venv/.complete ## the Python environment, from the hashed locks
.venv/.complete: $(LOCKS) pyproject.toml tests/lab/bootstrap.sh
	@$(BOOTSTRAP) venv

drill: .venv/.complete ## rehearse the whole life in the lab (ARGS="--os bookworm --sudo-password --keep")
	@$(BOOTSTRAP) lab $(PY) -m tests.lab.drill $(ARGS)

test: .venv/.complete ## every test, two at a time (ARGS is handed to pytest)
	@$(BOOTSTRAP) lab $(PY) -m pytest -n 2 --dist loadgroup $(ARGS)

faults: .venv/.complete ## every long series of faults; writes docs/reliability.md (ARGS="--series kills")
	@$(BOOTSTRAP) lab $(PY) -m tests.faults $(ARGS)

lint: .venv/.complete ## style and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

lock: .venv/.complete ## write requirements/*.txt anew
	@cd requirements && for name in agent operator dev; do \
	  ../.venv/bin/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
	    --no-annotate --custom-compile-command "make lock" $$name.in -o $$name.txt || exit 1; done

clean: ## remove what make made here (Docker images of the lab stay)
	rm -rf .venv .cache drill build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
