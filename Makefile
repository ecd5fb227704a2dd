# Everything that one does with Snug, by name. `make help` lists it.
#
# SHELL is bash for pipefail; every target that builds runs scripts/setup first, which installs what is missing and prints the
# folder of the build tools.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The folder of cargo-leptos, wasm-bindgen and wasm-opt; asked for by the targets that need it.
BUILD = tools=$$(scripts/setup build) && export PATH="$$tools:$$PATH"
# The program for the container: one file, for this machine's kind of processor.
MUSL = $(shell uname -m)-unknown-linux-musl
STATIC = target/$(MUSL)/release/snug
# What the program is made of, folders too (something may go). While none of it is newer nothing is built: each build writes the
# browser's files anew, and a program that holds them would be compiled again for that.
SOURCES = $(shell find src style public migrations .cargo scripts/setup Cargo.toml Cargo.lock rust-toolchain.toml)
TEST = tools=$$(scripts/setup test) && export PATH="$$tools:$$PATH"

.PHONY: help
help: ## This list.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

.PHONY: run
run: release ## Build, and serve on http://127.0.0.1:3000.
	target/release/snug serve

.PHONY: watch
watch: ## Serve, and rebuild and reload at each change.
	$(BUILD) && cargo leptos watch

.PHONY: release
release: target/release/snug ## Build the program, with the browser's code inside: target/release/snug.
target/release/snug: $(SOURCES)
	$(BUILD) && cargo leptos build --release --precompress
	touch $@

.PHONY: static
static: $(STATIC) ## Build the program so that it needs nothing of a system, as the container has it.
$(STATIC): $(SOURCES)
	tools=$$(scripts/setup static) && export PATH="$$tools:$$PATH" && LEPTOS_BIN_TARGET_TRIPLE=$(MUSL) cargo leptos build --release --precompress
	touch $@

.PHONY: container
container: static ## Try what the container holds, in an empty root, as nobody.
	$(TEST) && SNUG_DEV_STATIC=$(STATIC) cargo test --features ssr --test container

.PHONY: lint
lint: ## Format and clippy, warnings denied, for the server and for the browser.
	$(BUILD) && cargo fmt --all --check
	cargo clippy --workspace --features ssr --all-targets -- -D warnings
	cargo clippy --lib --features hydrate --target wasm32-unknown-unknown -- -D warnings

.PHONY: unit
unit: ## Rust's tests, on SQLite and on a PostgreSQL that they start.
	$(TEST) && cargo test --features ssr

.PHONY: e2e
e2e: static ## The browser's tests, against the program that the container holds.
	cargo build --package bad-network
	$(TEST) && cd end2end && npx tsc && SNUG_DEV_BIN=$(CURDIR)/$(STATIC) npx playwright test

.PHONY: test
test: lint deny unit container e2e ## Everything that must hold.

.PHONY: deny
deny: ## What dependencies bring: licences, sources, and what is not wanted.
	tools=$$(scripts/setup deny) && export PATH="$$tools:$$PATH" && cargo deny check bans licenses sources

.PHONY: audit
audit: ## What has become known of dependencies by today; needs the network.
	tools=$$(scripts/setup deny) && export PATH="$$tools:$$PATH" && cargo deny check advisories

# Seconds for each parser.
FUZZ ?= 60

# Without a sanitizer: the parsers have no unsafe code, and are tried twice as often so. Of what was found, the least that leads
# everywhere stays in the corpus, which is kept in the repository.
FUZZ_ONE = cargo +nightly fuzz run --sanitizer none
.PHONY: fuzz
fuzz: ## Try each parser of what strangers send with whatever there is, 60 s each; FUZZ=… for other seconds.
	tools=$$(scripts/setup fuzz) && export PATH="$$tools:$$PATH" && cd fuzz && cargo +nightly fuzz build --sanitizer none
	tools=$$(scripts/setup fuzz) && export PATH="$$tools:$$PATH" && cd fuzz && for target in $$(cargo +nightly fuzz list); do \
	  $(FUZZ_ONE) $$target -- -max_total_time=$(FUZZ) -max_len=4096 -timeout=5 -print_final_stats=1 -verbosity=0; \
	  rm -rf least && mkdir least; \
	  $(FUZZ_ONE) $$target least corpus/$$target -- -set_cover_merge=1 -use_counters=0 -max_len=512 -verbosity=0; \
	  rm -r corpus/$$target && mv least corpus/$$target; \
	done

.PHONY: chaos
chaos: ## Kill the server under load, 20 times on each engine; stop it for 30 s; fill its disk; take its database away.
	$(TEST) && SNUG_DEV_CHAOS_ROUNDS=20 SNUG_DEV_CHAOS_STOP=30 cargo test --features ssr --test crash -- --nocapture

.PHONY: autobahn
autobahn: ## Try WebSocket by the Autobahn suite, which needs a Python 2.7.
	cargo test --features ssr --test autobahn -- --nocapture

.PHONY: bench
bench: release ## Measure: fan-out beside a bare peer, sends, sockets, a restart under a crowd, pages, history, start-up, hostile clients. SECTION=… for one.
	cargo bench --features ssr --bench load -- $(SECTION)

.PHONY: lighthouse
lighthouse: release ## Measure pages as people meet them: Lighthouse, bytes, turning to another room.
	$(TEST) && cd end2end/measure && { [ -d node_modules/lighthouse ] || npm install --silent --no-audit --no-fund --no-package-lock; }
	cd end2end && npx playwright test --config measure/playwright.config.ts

.PHONY: screenshots
screenshots: release ## Pictures of every page, in both themes and sizes, in end2end/screenshots.
	$(TEST) && cd end2end && npx playwright test --config screenshots.config.ts
