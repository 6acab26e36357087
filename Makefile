# SPDX-License-Identifier: Apache-2.0
# A thin face for Meson. `make help` lists what there is.

BUILD ?= build
MESON_OPTIONS ?=
.DEFAULT_GOAL := help
.PHONY: help deps build run test test-unit test-full test-vm sanitize bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the Debian packages that building and running need (root)
	@tools/install-packages.sh build

# A new file or folder is found by Meson only when it looks again.
build: deps ## build/sonde
	@mkdir -p $(BUILD)
	@for list in sources tests programs hooks; do tools/find-sources.sh $$list; done >$(BUILD)/files.new; \
	if [ ! -f $(BUILD)/build.ninja ]; then meson setup $(BUILD) $(MESON_OPTIONS) >$(BUILD)/setup.log || { cat $(BUILD)/setup.log; exit 1; }; \
	elif ! cmp -s $(BUILD)/files.new $(BUILD)/files; then meson setup --reconfigure $(BUILD) >$(BUILD)/setup.log || { cat $(BUILD)/setup.log; exit 1; }; fi; \
	mv $(BUILD)/files.new $(BUILD)/files
	@ninja -C $(BUILD) --quiet

run: build ## build, start the agent and show what happens on this machine until Ctrl-C (root)
	@tools/mount-kernel-filesystems.sh
	@exec $(BUILD)/sonde run --follow

test: build ## all tests (root: they cause real kernel events)
	@tools/install-packages.sh test
	@BUILD=$(BUILD) tests/run.sh

test-unit: build ## only the unit tests (no root needed)
	@meson test -C $(BUILD) --print-errorlogs

test-full: build ## every case of the tests that only take a sample (minutes; as root more of them)
	@SONDE_TEST_ALL=1 meson test -C $(BUILD) --print-errorlogs -t 10
	@[ "$$(id -u)" != 0 ] || SONDE_TEST_ALL=1 BUILD=$(BUILD) tests/run.sh tests/e2e/bounds_test.py

sanitize: ## the unit tests with ASan and UBSan, then with TSan
	@$(MAKE) --no-print-directory build BUILD=build-asan MESON_OPTIONS="-Db_sanitize=address,undefined -Doptimization=1 -Ddebug=true"
	@meson test -C build-asan --print-errorlogs -t 5
	@$(MAKE) --no-print-directory build BUILD=build-tsan \
		MESON_OPTIONS="-Db_sanitize=thread -Doptimization=1 -Ddebug=true -Dwerror=false"
	@meson test -C build-tsan --print-errorlogs -t 8

test-vm: build ## the programs on Debian's kernels 6.1 and 6.12, in emulation
	@tools/install-packages.sh vm
	@BUILD=$(BUILD) tests/vm/run.sh 6.1 6.12

bench: build ## measure: cost per event, next to other tools too, limits, memory, start (root)
	@tools/install-packages.sh test
	@tools/install-packages.sh bench
	@BUILD=$(BUILD) bench/run.sh

clean: ## remove what was built
	@rm -rf build build-*
