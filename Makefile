# `make` and `make test` do everything on a machine with Python 3.11 to 3.13, make and git. `make help` lists the rest.
# A GPU environment, once built with LOCK=envs/gpu.txt, stays one.
LOCK ?= $(shell cmp -s envs/gpu.txt .venv/.rfbench-lock && echo envs/gpu.txt || echo envs/cpu.txt)
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: benchmark env test test-all fuzz lint lock schema record picture help

benchmark: env ## environment, embedded benchmark on synthetic data, tables (the default)
	PYTHONPATH=workflow$${PYTHONPATH:+:$$PYTHONPATH} snakemake --cores all --logger rfbench
	@echo "The report: reports/report.html, one file for any browser. Tables: reports/tables, figures: reports/figures."
	@echo "All are SYN: synthetic data, no ranking of operators."

env: ## only the environment, .venv
	@envs/install.sh $(LOCK) .venv

test: env ## environment and the tests that a person runs often (under 5 minutes)
	pytest -m "not slow" -n 2

test-all: env ## every test, the slow ones too
	pytest -n 2

fuzz: env ## search for inputs that break what they are held to, an hour long (a test's message says how to repeat it)
	@end=$$(($$(date +%s) + 3600)); while [ $$(date +%s) -lt $$end ]; do \
		RFBENCH_FUZZ=search pytest tests/fuzz -n 2 -q || exit 1; done

lint: env ## ruff, snakefmt, snakemake --lint and the layers of the house
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	lint-imports --no-cache

lock: ## renew the locks envs/*.txt from pyproject.toml (needs uv)
	envs/lock.sh

schema: env ## renew workflow/schemas/config.schema.json from workflow/rfbench/settings
	python -m rfbench.settings.schema

# FROM: the checkout that ran it. NAME: the folder of its results and reports, and of what is kept.
FROM ?= .
record: ## keep a finished experiment's numbers in results/measured: make record NAME=idrid_small [FROM=/another/checkout]
	@test -n "$(NAME)" || { echo 'record: which experiment? make record NAME=idrid_small'; exit 1; }
	@! grep -qE ',(missing|error),' $(FROM)/results/$(NAME)/metrics.csv || { echo 'record: $(NAME) is not finished'; exit 1; }
	mkdir -p results/measured/$(NAME)
	cp $(FROM)/results/$(NAME)/metrics.csv $(FROM)/results/$(NAME)/differences.csv $(FROM)/results/$(NAME)/profile.json \
		results/measured/$(NAME)
	cd $(FROM)/reports/$(NAME)/tables && \
		cp table*.md lesions.csv lesions.md power.csv power.md verdicts.csv verdicts.md claims.csv $(CURDIR)/results/measured/$(NAME)

picture: env ## renew what is drawn and written of the probe's recorded runs: docs/probe.svg, results/measured/probe*.md
	rfbench probe-report --config config/probe.yaml --table results/measured/probe.csv --picture docs/probe.svg
	for name in probe probe_since; do \
		rfbench probe-report --config config/$$name.yaml --table results/measured/$$name.csv --output build/$$name && \
		cp build/$$name/tables/probe.md results/measured/$$name.md || exit 1; done

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20
