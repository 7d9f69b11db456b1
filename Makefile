# What people and CI type. `make` alone says what there is. Everything a target needs, it installs first.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

VENV     := .venv/bin
PYTEST   := $(VENV)/pytest
PARTS     = $(shell scripts/parts where)
# Many tests wait for a server or a clock: one worker more than there are processors, and what those take is used.
WORKERS  ?= $(shell expr $$(nproc) + 1)
# Every commit draws another share of the fault tests; the seed stands in pytest's header, so a run can be repeated.
SEED     ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo 1)
SHARE    ?= 0.06

.PHONY: help run test check static unit coverage faults endurance bench format lock setup parts programs ceph clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## The demonstration: a shop with its database, an off-site store, and drd in the foreground
	@scripts/parts demonstration
	@PATH="$(PARTS)/restic-newest:$(PARTS)/postgresql/bin:$(PARTS)/haproxy:$(CURDIR)/$(VENV):$$PATH" $(VENV)/drd demo run

test: setup parts programs ceph static coverage ## Everything CI runs: static checks, the core's coverage, all tests, a share of the fault tests
	$(PYTEST) -n $(WORKERS) -m "not endurance" --durations 40 --fault-share $(SHARE) --fault-seed $(SEED)

check: setup parts programs static unit ## The quick half: formatting, lint, types, layers and the unit tests

static:
	$(VENV)/ruff check .
	$(VENV)/ruff format --check --quiet .
	$(VENV)/mypy
	$(VENV)/lint-imports --no-logo

unit:
	$(PYTEST) -q -n $(WORKERS) -m "not slow and not system and not faults and not endurance"

coverage: setup ## Branch coverage of the pure core, which has to be whole
	$(VENV)/coverage run -m pytest -q --hypothesis-seed 1 -m "not slow and not faults" tests/core
	$(VENV)/coverage report

faults: setup parts programs ceph ## All fault tests: what happens when a part is killed, damaged or cut off
	@scripts/some-tests -m "faults and not endurance" --fault-seed $(SEED)

endurance: setup parts programs ## The long runs (many minutes)
	@scripts/some-tests -m endurance --timeout 7200

bench: setup parts ## Every measurement in bench/
	@scripts/bench

format: setup ## Puts imports and layout in order
	$(VENV)/ruff check --fix --quiet . || true
	$(VENV)/ruff format .

lock: setup ## Resolves requirements.lock anew, with hashes and without any index's name
	@scripts/lock

setup:
	@scripts/environment

parts: ## The programs that the tests run on, without root: restic, OpenSSH's server, PostgreSQL in two versions
	@scripts/parts
	@scripts/promtool > /dev/null

# Programs of Debian's that tests start and that a minimal machine may lack.
programs:
	@scripts/apt-install ssh=openssh-client systemd-analyze=systemd
	@[ "$$(id -u)" -ne 0 ] || scripts/apt-install systemd-nspawn=systemd-container ip=iproute2 iptables sudo # only root

ceph: # its S3 is the one with a real object lock that Debian has; without root it has to be there already
	@scripts/apt-install ceph-mon=ceph-mon ceph-osd=ceph-osd radosgw=radosgw ceph=ceph-common

clean: ## Removes all that these commands made; what apt installed stays
	@scripts/clean
