# The stack and its checks. `make` alone tells what there is.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
STACK := $(PYTHON) local-stack/stack.py
# The isolated stack of a test run; another name runs beside it.
TEST_STACK ?= test
# How compose is called here, and where its images are kept for other machines.
COMPOSE ?= docker compose
IMAGES ?= dist/sofipo-images.tar
CHECKED := backend-api event-consumer local-stack tests bench
export PYTHONPATH := $(CURDIR)/backend-api:$(CURDIR)/event-consumer

.PHONY: help
help: ## this list
	@echo "usage: make TARGET"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

.PHONY: up
up: ## start the whole stack without Docker, installing what is missing (PORT_OFFSET=100 moves all ports)
	@$(STACK) up

.PHONY: down
down: ## stop it gracefully; data stays
	@$(STACK) down

.PHONY: status
status: ## every program with state, pid and address
	@$(STACK) status

.PHONY: doctor
doctor: ## what is wrong with the running stack, and what to do about it
	@$(STACK) sofipo doctor

.PHONY: demo
demo: ## fill the running stack's empty database with an invented lender: 500 clients, 18 months (ARGS="--clients 50")
	@$(STACK) sofipo demo $(ARGS)

.PHONY: logs
logs: ## what the programs said last (ARGS="api -f" follows one)
	@$(STACK) logs $(ARGS)

.PHONY: reset
reset: ## stop the stack and delete its data
	@$(STACK) reset

# The suite runs in lanes side by side, each on a stack of its own: what mostly waits, for servers that are killed and
# started again, is told as it runs; what mostly computes gives way to it and is told at its end.
LANES := waiting engine calls
PYTEST_waiting := tests/chaos tests/consumer tests/e2e tests/relay
PYTEST_engine := tests/domain tests/engine tests/fuzz tests/browser
PYTEST_calls := tests $(patsubst %,--ignore=%,tests/compose $(PYTEST_waiting) $(PYTEST_engine))

.PHONY: test
test: ## all checks and tests on isolated stacks (ARGS="tests/domain -k money" runs only these, without the coverage gate)
ifdef ARGS
	@$(MAKE) --no-print-directory lane LANE="$(TEST_STACK)" PYTEST="$(ARGS)"
else
	@tools=$$($(STACK) tools)
	rm -f .coverage .coverage.*
	reports=$$(mktemp -d)
	$(MAKE) --no-print-directory lint > "$$reports/lint" 2>&1 & linted=$$!
	for lane in $(LANES); do $(STACK) up --name $(TEST_STACK)-$$lane --servers-only; done
	if ! wait $$linted; then
	  cat "$$reports/lint"
	  for lane in $(LANES); do $(STACK) reset --name $(TEST_STACK)-$$lane --yes; done
	  exit 1
	fi
	$(foreach lane,$(filter-out waiting,$(LANES)),\
	  nice $(MAKE) --no-print-directory lane LANE=$(TEST_STACK)-$(lane) PYTEST="$(PYTEST_$(lane))" \
	    > "$$reports/$(lane)" 2>&1 && touch "$$reports/$(lane).passed" &)
	$(MAKE) --no-print-directory lane LANE=$(TEST_STACK)-waiting PYTEST="$(PYTEST_waiting)" \
	  && touch "$$reports/waiting.passed" || true
	wait
	for lane in $(filter-out waiting,$(LANES)); do cat "$$reports/$$lane"; done
	passed=$$(ls "$$reports" | grep -c passed || true)
	rm -r "$$reports"
	test "$$passed" = $(words $(LANES))
	"$$tools/coverage" combine .coverage.$(TEST_STACK)-*
	"$$tools/coverage" report
endif

.PHONY: lane
lane:
	@tools=$$($(STACK) tools)
	trap '$(STACK) reset --name $(LANE) --yes' EXIT
	$(STACK) up --name $(LANE) --servers-only
	export $$($(STACK) env --name $(LANE))
	export COVERAGE_FILE=.coverage.$(LANE)
	"$$tools/python" -m pytest --durations=25 $(PYTEST) $(if $(ARGS),,--cov --cov-report= --cov-fail-under=0)

LONG := tests/domain tests/engine tests/api/test_login_defence.py tests/api/test_stuffing.py

.PHONY: test-full
test-full: ## the long runs: thousands of examples, hundreds of lives, reversals, kills and sign-ins (an hour or two)
	@export HYPOTHESIS_PROFILE=thorough ENGINE_LIVES=200 ENGINE_REVERSED_PAYMENTS=2000 END_OF_DAY_KILLS=50
	export LOGIN_TRIES=500 STUFFING_TRIES=10000 IMPORT_KILLS=20 IMPORT_LINES=100000
	$(MAKE) --no-print-directory test TEST_STACK=$(TEST_STACK)-full \
	  ARGS="$(or $(ARGS),$(LONG)) --timeout=7200 --durations=20"

.PHONY: fuzz
fuzz: ## 20 000 calls made up from the OpenAPI document, right and wrong ones, by every role (FUZZ_SEED repeats a run)
	@export FUZZ_CASES=$${FUZZ_CASES:-20000} FUZZ_SEED=$${FUZZ_SEED:-$$RANDOM}
	$(MAKE) --no-print-directory test TEST_STACK=$(TEST_STACK)-fuzz ARGS="$(or $(ARGS),tests/fuzz) --timeout=7200"

.PHONY: test-compose
test-compose: ## the deployment in containers: kills, lost volume, two of each, production (COMPOSE="docker compose")
	@tools=$$($(STACK) tools)
	COMPOSE="$(COMPOSE)" "$$tools/python" -m pytest --capture=no $(or $(ARGS),tests/compose)

.PHONY: images-save
images-save: ## build, pull and write every image of the compose file into one archive (IMAGES=dist/sofipo-images.tar)
	@images=$$($(COMPOSE) config | sed -n 's/^ *image: *//p' | sort -u)
	$(COMPOSE) build
	for image in $$images; do docker image inspect "$$image" > /dev/null 2>&1 || docker pull "$$image"; done
	mkdir -p "$$(dirname "$(IMAGES)")"
	docker save --output "$(IMAGES)" $$images
	echo "$(IMAGES) holds $$(wc -w <<< "$$images") images; there: make images-load && $(COMPOSE) up -d --no-build"

.PHONY: images-load
images-load: ## load that archive, on a machine that can neither build nor pull
	@docker load --input "$(IMAGES)"

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
openapi: ## write docs/openapi.json from the code, unless that breaks callers and no decision record says so
	@tools=$$($(STACK) tools)
	"$$tools/python" -m tests.support.openapi_export

.PHONY: asyncapi
asyncapi: ## bring docs/asyncapi.yaml up to date with the golden events
	@tools=$$($(STACK) tools)
	"$$tools/python" -m tests.support.asyncapi_export

.PHONY: er
er: ## draw docs/er-diagram.svg from the models (with Graphviz)
	@tools=$$($(STACK) tools)
	"$$tools/python" -m tests.support.er_export

.PHONY: postman
postman: ## write docs/postman/, the collection for Postman and its environments, from the code
	@tools=$$($(STACK) tools)
	PYTHONPATH="$$PYTHONPATH:$(CURDIR)/local-stack" "$$tools/python" -m tests.support.postman_export
