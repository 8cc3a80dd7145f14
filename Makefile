# The factory's commands. `make` alone says what there is.
BIN = "$${CARGO_TARGET_DIR:-target}/release/image-factory"
# Where rustup puts cargo, and where a shell does not look that was open before.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# Most tests wait for other programs: twice as many as there are processors keep these busy.
TEST_THREADS := $(shell expr 2 '*' $$(nproc))

.DEFAULT_GOAL := help
.PHONY: help build build-images build-os create create-undo validate test test-failures \
	test-faults test-guest-network test-hostile test-os test-moments test-openstack \
	test-os-openstack test-lifecycle test-openstack-moments test-crash test-model \
	render-corpus sdk-corpus fuzz fuzz-guided audit check reference deps clean purge

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{ printf "  make %-22s %s\n", $$1, $$2 }'
	@printf '\n  make build-images bundle=NAME [ARGS="--keep-on-failure -v"]\n  make build-os os=NAME\n'

build-images: deps ## Build bundles: bundle=NAME, or bundle="A B"
	@test -n "$(bundle)" || { echo 'usage: make build-images bundle=NAME   (a directory under images/)' >&2; exit 2; }
	@setup/compile
	@exec $(BIN) build $(addprefix images/,$(bundle)) $(ARGS)

build-os: deps ## Build operating-system images: os=NAME
	@test -n "$(os)" || { echo 'usage: make build-os os=NAME   (a directory under os/)' >&2; exit 2; }
	@setup/compile
	@exec $(BIN) build $(addprefix os/,$(os)) $(ARGS)

build: ## Build the program alone: target/release/image-factory
	@setup/dependencies build
	@setup/compile

create: ## Create a factory server on your OpenStack: Heat stack, Jenkins; asks first (settings: setup/create)
	@setup/dependencies stack
	@setup/create

create-undo: ## Delete that server, its stack and its credential; asks first
	@setup/dependencies stack
	@setup/create undo

validate: ## Check every bundle of this tree (ARGS=--offline: run nothing for it)
	@setup/dependencies build
	@setup/compile
	@exec $(BIN) validate $(ARGS)

test: ## All tests, real virtual machines included (about a quarter of an hour)
	@setup/dependencies build run test
	cargo test --locked --lib --bins --tests -- --test-threads=$(TEST_THREADS)
	cargo test --locked --test vm -- --ignored --test-threads=2 main_job

test-crash: ## kill -9 at every event and ledger record of a build, then sweep; boot sectors for machines (some minutes)
	@setup/dependencies build run test
	cargo test --locked --test it -- --include-ignored --nocapture crash::

test-model: ## Random sequences of builds, faults, kills, prunes and sweeps beside a reference model: SECONDS=3600 (SEED=1)
	@setup/dependencies build run test
	FACTORY_MODEL_SEED=$(or $(SEED),$(shell date +%s)) FACTORY_MODEL_SECONDS=$(or $(SECONDS),3600) \
		cargo test --locked --lib -- --nocapture jobs::tests::model::all

test-failures: ## What goes wrong, done to real machines (about seven minutes)
	@setup/dependencies build run test
	cargo test --locked --test vm -- --ignored --test-threads=1 failures

test-hostile: ## A machine that streams and answers without end, by gigabytes (a few minutes)
	@setup/dependencies build run test
	cargo test --locked --test it hostile:: -- --ignored --nocapture --test-threads=1 --skip hostile::child

test-guest-network: ## What a hostile guest reaches of this machine (a minute)
	@setup/dependencies build run test
	cargo build --locked
	cargo test --locked --lib -- --ignored --nocapture --test-threads=1 guest_network

test-faults: ## Requests of an OpenStack build, failing in six ways (a minute)
	@setup/dependencies build test
	cargo test --locked --lib -- --ignored --nocapture each_request_of_a_build_may_fail_in_each_way

test-os: ## os/debian-12 with all its checks, and images that must not pass (about a quarter of an hour)
	@setup/dependencies build run test
	cargo test --locked --test vm -- --ignored --nocapture --test-threads=1 os_local

test-moments: ## kill -9 at twelve moments of a build, then sweep (about half an hour)
	@setup/dependencies build run test
	cargo test --locked --test vm -- --ignored --nocapture --test-threads=1 crash_points

test-openstack: ## OpenStack tests, on a devcloud it brings up on this machine (FACTORY_DEVCLOUD=yes)
	@test-tools/devcloud/up
	@setup/dependencies build run test
	cargo test --locked --test openstack -- --ignored --nocapture --test-threads=1 --skip crash_points --skip os_images --skip lifecycle

test-lifecycle: ## Rollback, prune and stale rebuilds on devcloud (about half an hour)
	@test-tools/devcloud/up
	@setup/dependencies build run test
	cargo test --locked --test openstack -- --ignored --nocapture --test-threads=1 lifecycle

test-os-openstack: ## The same as test-os, on devcloud
	@test-tools/devcloud/up
	@setup/dependencies build run test
	cargo test --locked --test openstack -- --ignored --nocapture --test-threads=1 os_images

test-openstack-moments: ## The same as test-moments, on devcloud
	@test-tools/devcloud/up
	@setup/dependencies build run test
	cargo test --locked --test openstack -- --ignored --nocapture --test-threads=1 crash_points

render-corpus: ## Render the corpus with ansible-playbook anew: OLDER=/usr/bin/ansible-playbook NEWER=/path/of/2.19/ansible-playbook [ALL=all]
	@test -n "$(NEWER)" || { echo 'usage: make render-corpus NEWER=VENV/bin/ansible-playbook   (pip install ansible-core==2.19.14)' >&2; exit 2; }
	python3 test-tools/render-corpus/generate.py $(or $(OLDER),/usr/bin/ansible-playbook) $(NEWER) $(ALL)

fuzz: ## The parsers of what strangers write, fed with changed files of fuzz/corpus: SECONDS=60 in all
	@setup/dependencies build run test
	FACTORY_FUZZ_SECONDS=$(or $(SECONDS),60) cargo test --locked --test it -- --nocapture --test-threads=1 fuzz::

fuzz-guided: ## The same by cargo-fuzz, with a nightly toolchain: SECONDS=600 for each, TARGETS="console ledger"
	@setup/dependencies build
	cargo build --locked
	FACTORY_PROGRAM=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/image-factory test-tools/fuzz-guided $(or $(SECONDS),600) $(TARGETS)

audit: ## Dependencies: bans, licences, sources; advisories if their database can be had (installs cargo-deny into target/)
	@setup/dependencies build
	@test-tools/audit

check: ## Formatting, linters, and a test for each promise of the documents
	@setup/dependencies build
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	test-tools/lint-shell
	test-tools/lint-docs
	test-tools/lint-promises

reference: ## Write CLI.md anew
	@setup/compile
	@$(BIN) reference > CLI.md

sdk-corpus: ## How openstacksdk reads clouds.yaml and OS_*, for the test that compares: write golden.jsonl anew (python3-venv)
	@test-tools/sdk-corpus/remake.sh

deps: ## Install what is missing on this machine (Debian, Ubuntu)
	@setup/dependencies build run

clean: ## Remove what builds wrote into this tree; images in the store stay
	@home="$${IMAGE_FACTORY_HOME:-$${XDG_DATA_HOME:-$$HOME/.local/share}/image-factory}"; \
	if ls -A "$$home/runs" 2>/dev/null | grep -qv '^\.'; then \
	echo "runs own things, or live; that is on record in $$home/runs, and stays: \`image-factory sweep\` tells"; fi
	rm -rf images/target os/target build.latest.log packer.latest.log
	cargo clean --quiet

purge: ## Also remove the image store of this user; asks first, and not while runs own anything
	@dir="$${IMAGE_FACTORY_HOME:-$${XDG_DATA_HOME:-$$HOME/.local/share}/image-factory}"; \
	if ls -A "$$dir/runs" 2>/dev/null | grep -qv '^\.'; then \
	echo "nothing is removed: $$dir/runs tells what runs own; \`image-factory sweep\` first" >&2; exit 1; fi; \
	if [ -d "$$dir" ] && [ "$(YES)" != 1 ]; then \
	printf 'remove all images in %s, and what builds wrote into this tree? [y/N] ' "$$dir"; read -r answer; [ "$$answer" = y ] || exit 1; fi; \
	$(MAKE) --no-print-directory clean && \
	if [ -d "$$dir" ]; then rm -rf "$$dir"; else echo "no image store in $$dir"; fi
