# One command per task. scripts/setup installs missing tools.
.DEFAULT_GOAL := help
PLUGINS := webhook discord slack
PLUGIN_DIR ?= /usr/lib/couic/plugins

.PHONY: help setup packages test-packages build man build-static test-static check-targets plugins install-plugins test verify-kernels test-kernels lint deny docs demo demo-couicmon demo-crowdsec demo-peering bench soak fuzz clean

export PATH := $(CURDIR)/.tools/bin:$(PATH):/usr/sbin:/sbin

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing: toolchain, bpf-linker, packages
	@scripts/setup

build: setup ## release binaries: couic, couicctl, couic-report, couicmon and couic-bouncer in target/release
	cargo build --release --locked -p couic -p couicctl -p couic-report -p couicmon -p couic-bouncer

man: setup ## man pages of all programs and configuration files: target/man/*.1, *.5, *.8
	cargo build --release --locked -p couic -p couicctl -p couic-report -p couicmon -p couic-bouncer
	install -d target/man
	$${CARGO_TARGET_DIR:-target}/release/couicctl man --all target/man

packages: ## deb, rpm, static archives and container images for x86-64 and arm64, in target/packages
	@scripts/packages

test-packages: ## install, upgrade under load, remove the packages on a Debian with systemd, in namespaces (needs root)
	@scripts/setup test-packages
	@scripts/test-packages

STATIC := $(shell uname -m)-unknown-linux-musl

build-static: ## statically linked release binaries: couic, couicctl, couic-report, couicmon, couic-bouncer and couic-plugin
	@scripts/setup static
	cargo build --release --locked --target $(STATIC) -p couic -p couicctl -p couic-report -p couicmon -p couic-bouncer \
	  -p couic-plugin-host --bins
	@echo "in $${CARGO_TARGET_DIR:-target}/$(STATIC)/release"

test-static: ## test the static build end to end (needs root)
	@scripts/setup static
	@scripts/test-static $(STATIC)

check-targets: ## type-check for the static build and for arm64
	@scripts/setup targets
	@scripts/check-targets

# A program can contain only one exported plugin, so the symbol is behind a feature that only these files enable.
plugins: setup ## release builds of the notifiers: libcouic_plugin_*.so in target/release, checked as by Couic
	cargo build --release --locked $(PLUGINS:%=-p couic-plugin-%) --features "$(PLUGINS:%=couic-plugin-%/export)"
	cargo build --release --locked -p couic-plugin-host --bin couic-plugin
	@scripts/check-plugins $(PLUGINS)

install-plugins: plugins ## copy them to PLUGIN_DIR (/usr/lib/couic/plugins) below DESTDIR
	install -d -m 0755 "$(DESTDIR)$(PLUGIN_DIR)"
	for plugin in $(PLUGINS); do install -m 0644 target/release/libcouic_plugin_$$plugin.so "$(DESTDIR)$(PLUGIN_DIR)/" || exit 1; done

test: setup ## build everything, run all tests; those with packets need root
	@scripts/test

verify-kernels: ## load every entry point of the XDP program on Debian's kernels, emulated; KERNELS="6.1 6.12/arm64"
	@scripts/setup kernels $(KERNELS)
	@scripts/kernels verify $(KERNELS)

test-kernels: ## test verdicts, packets and restarts on Debian's kernels, emulated; KERNELS as above, default all
	@scripts/setup kernels $(KERNELS)
	@scripts/kernels test $(KERNELS)

# The test profile, so that build scripts, and with them the XDP program, are built once for both.
lint: setup ## rustfmt and clippy over the whole workspace, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --profile test --locked -- -D warnings

deny: ## check licences, advisories and sources of the dependencies
	@scripts/setup ci
	@scripts/deny

docs: ## build the documents as a site, target/book, and check every link
	@scripts/setup docs
	@scripts/docs

demo: setup ## run the daemon between two namespaces: it drops pings and notifies a chat (needs root)
	@scripts/demo

demo-couicmon: setup ## run nginx with visitors, a scanner and a flooder: couicmon has the daemon drop the latter two (needs root and nginx)
	@scripts/demo-couicmon

demo-crowdsec: setup ## run Debian's CrowdSec: couic-bouncer has the daemon drop what it decides, through an outage and a kill (needs root and crowdsec)
	@scripts/demo-crowdsec

demo-peering: setup ## run three instances that share rules: bans, deletions, a partition, a kill (needs root and nginx)
	@scripts/demo-peering

bench: setup ## measure against the performance targets, as tables (needs root)
	@scripts/bench

soak: fuzz ## long tests: fuzz, memory over SOAK_CHANGES (10,000,000), peering with faults for SOAK_SECONDS (3600) (needs root)
	@scripts/soak

fuzz: ## fuzz the decoders, FUZZ_SECONDS (60) each
	@scripts/setup fuzz
	@scripts/fuzz

clean: ## remove build output; installed tools stay
	cargo clean
	rm -rf fuzz/target
