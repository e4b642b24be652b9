# The stack and its checks. `make` alone tells what there is.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
STACK := $(PYTHON) local-stack/stack.py
# The isolated stack of a test run; another name runs beside it.
TEST_STACK ?= test
CHECKED := backend-api event-consumer local-stack tests bench
export PYTHONPATH := $(CURDIR)/backend-api:$(CURDIR)/event-consumer

.PHONY: help
help: ## this list
	@echo "usage: make TARGET"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-9s %s\n", $$1, $$2 }'

.PHONY: up
up: ## start the whole stack without Docker, installing what is missing (PORT_OFFSET=100 moves all ports)
	@$(STACK) up

.PHONY: down
down: ## stop it gracefully; data stays
	@$(STACK) down

.PHONY: status
status: ## every program with state, pid and address
	@$(STACK) status

.PHONY: logs
logs: ## what the programs said last (ARGS="api -f" follows one)
	@$(STACK) logs $(ARGS)

.PHONY: reset
reset: ## stop the stack and delete its data
	@$(STACK) reset

.PHONY: test
test: ## all checks and tests on an isolated stack (ARGS="tests/domain -k money" runs only these, without the coverage gate)
	@tools=$$($(STACK) tools)
	$(if $(ARGS),,$(MAKE) --no-print-directory lint)
	trap '$(STACK) reset --name $(TEST_STACK) --yes' EXIT
	$(STACK) up --name $(TEST_STACK) --servers-only
	export $$($(STACK) env --name $(TEST_STACK))
	"$$tools/python" -m pytest $(or $(ARGS),--cov)

.PHONY: bench
bench: ## the hot paths beside their references, on an isolated stack
	@tools=$$($(STACK) tools)
	trap '$(STACK) reset --name bench --yes' EXIT
	$(STACK) up --name bench --servers-only
	"$$tools/python" -m bench $(ARGS)

.PHONY: lint
lint: ## style, types and the direction of imports
	@tools=$$($(STACK) tools)
	"$$tools/ruff" check
	"$$tools/ruff" format --check
	"$$tools/mypy" $(CHECKED)
	"$$tools/lint-imports"

.PHONY: format
format: ## put every Python file into the common form
	@tools=$$($(STACK) tools)
	"$$tools/ruff" check --fix
	"$$tools/ruff" format

.PHONY: lock
lock: ## choose dependency versions anew and write the hashed lock files
	@tools=$$($(STACK) tools)
	"$$tools/python" -m pip install --quiet uv
	lock() { # SOURCE TARGET [MORE...]
	  "$$tools/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header --output-file "$$2" "$$1" "$${@:3}"
	}
	lock backend-api/pyproject.toml backend-api/requirements.txt
	lock event-consumer/pyproject.toml event-consumer/requirements.txt
	lock local-stack/requirements.in local-stack/requirements.txt
	lock tests/requirements.in tests/requirements.txt \
	  --constraint backend-api/requirements.txt --constraint event-consumer/requirements.txt

.PHONY: openapi
openapi: ## write docs/openapi.json from the code
	@tools=$$($(STACK) tools)
	"$$tools/python" -m backend_api.cli openapi > docs/openapi.json
