# Every task in one command each. What is missing on the machine is installed by scripts/setup.
.DEFAULT_GOAL := help
PLUGINS := webhook discord slack
PLUGIN_DIR ?= /usr/lib/couic/plugins

.PHONY: help setup build build-static test-static check-targets plugins install-plugins test verify-kernels test-kernels lint deny docs demo demo-peering bench soak fuzz clean

export PATH := $(CURDIR)/.tools/bin:$(PATH):/usr/sbin:/sbin

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing: toolchain, bpf-linker, packages
	@scripts/setup

build: setup ## release binaries: couic, couicctl and couic-report in target/release
	cargo build --release --locked -p couic -p couicctl -p couic-report

STATIC := $(shell uname -m)-unknown-linux-musl

build-static: ## release binaries that need no library of the machine: couic, couicctl, couic-report and couic-plugin
	@scripts/setup static
	cargo build --release --locked --target $(STATIC) -p couic -p couicctl -p couic-report \
	  -p couic-plugin-host --bins
	@echo "in $${CARGO_TARGET_DIR:-target}/$(STATIC)/release"

test-static: ## the static build, tested end to end once (needs root)
	@scripts/setup static
	@scripts/test-static $(STATIC)

check-targets: ## type-check for the static build and for arm64
	@scripts/setup targets
	@scripts/check-targets

# A program has room for one exported plugin, so the symbol is behind a feature that only these files get.
plugins: setup ## release files of the notifiers: libcouic_plugin_*.so in target/release, checked as Couic would
	cargo build --release --locked $(PLUGINS:%=-p couic-plugin-%) --features "$(PLUGINS:%=couic-plugin-%/export)"
	cargo build --release --locked -p couic-plugin-host --bin couic-plugin
	@scripts/check-plugins $(PLUGINS)

install-plugins: plugins ## copy them to PLUGIN_DIR (/usr/lib/couic/plugins) below DESTDIR
	install -d -m 0755 "$(DESTDIR)$(PLUGIN_DIR)"
	for plugin in $(PLUGINS); do install -m 0644 target/release/libcouic_plugin_$$plugin.so "$(DESTDIR)$(PLUGIN_DIR)/" || exit 1; done

test: setup ## build everything, run every test; those with packets need root
	@scripts/test

verify-kernels: ## load every entry of the XDP program on Debian's kernels, emulated; KERNELS="6.1 6.12/arm64"
	@scripts/setup kernels $(KERNELS)
	@scripts/kernels verify $(KERNELS)

test-kernels: ## verdicts, packets, restarts on Debian's kernels, emulated; KERNELS as above, all without
	@scripts/setup kernels $(KERNELS)
	@scripts/kernels test $(KERNELS)

# The profile of the tests, so that build scripts, and with them the XDP program, are built once for both.
lint: setup ## rustfmt and clippy over the whole workspace, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --profile test --locked -- -D warnings

deny: ## licences, advisories and sources of the dependencies
	@scripts/setup ci
	@scripts/deny

docs: ## build the documents as a site, target/book, and check every link
	@scripts/setup docs
	@scripts/docs

demo: setup ## start the daemon between two namespaces, watch it drop pings and tell a chat (needs root)
	@scripts/demo

demo-peering: setup ## three instances that share rules: bans, deletions, a cut, a kill (needs root and nginx)
	@scripts/demo-peering

bench: setup ## measure against the figures to reach, as a table (needs root)
	@scripts/bench

soak: fuzz ## the long tests: fuzz, memory over SOAK_CHANGES (10,000,000), peering under chaos for SOAK_SECONDS (3600) (needs root)
	@scripts/soak

fuzz: ## fuzz the decoders, FUZZ_SECONDS (60) each
	@scripts/setup fuzz
	@scripts/fuzz

clean: ## remove what was built; installed tools stay
	cargo clean
	rm -rf fuzz/target
