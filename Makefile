# SPDX-License-Identifier: Apache-2.0
# Postern: thin names for what CMake presets, ctest, pytest and the scripts in tools/ do.
# `make help` lists the targets. `make run` and `make test` set the machine up by themselves.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := build
.PHONY: build run test test-az check asan tsan tsan-integration coverage fuzz soak bench install clean ci help setup

PREFIX  ?= /usr/local
ENGINE  ?= h1
SECONDS ?= 60
WERROR  ?= OFF
TESTS   ?=
SCENARIOS ?=

build:   ## release build; the executables are in build/bin/
	@tools/setup build
	@tools/build release -DPN_WERROR=$(WERROR)

run: build  ## builds, then does the main job with a sample backend, until Ctrl-C
	@exec build/bin/postern demo

test: build  ## unit and integration tests (TESTS="-k name" narrows the integration tests)
	@tools/setup test
	@tools/test build $(TESTS)

test-az: build  ## Debian's azure-cli against a Postern: login, rest, resource, identity, keyvault, apim
	@tools/setup build az
	@PN_BIN="$$PWD/build/bin" /usr/bin/python3 -B -m pytest tests/az -p no:cacheprovider -q $(TESTS)

check: build  ## layers, format, clang-tidy, cppcheck, banned calls, licence lines
	@tools/setup check
	@tools/check

asan:    ## unit and integration tests with AddressSanitizer and UBSan
	@tools/setup build test
	@tools/build asan
	@tools/test build/asan $(TESTS)

tsan-integration: ## unit tests and integration tests of the data plane with ThreadSanitizer
	@tools/setup build test
	@tools/build tsan
	@tools/test build/tsan --data-plane $(TESTS)

tsan:    ## unit tests with ThreadSanitizer
	@tools/setup build
	@tools/build tsan
	@ctest --test-dir build/tsan --output-on-failure

coverage: ## unit tests with coverage; a table of each room
	@tools/setup build check
	@tools/build coverage
	@tools/coverage build/coverage

fuzz:    ## one fuzzer: make fuzz ENGINE=h1 SECONDS=60
	@tools/setup build check
	@tools/build fuzz
	@tools/fuzz $(ENGINE) $(SECONDS)

soak: build  ## random clients and backends that leave, and swaps of certificates: make soak SECONDS=180
	@tools/setup test
	@PN_SOAK_SECONDS=$(SECONDS) PN_BIN="$$PWD/build/bin" /usr/bin/python3 -B -m pytest -q -s \
	    -p no:cacheprovider tests/integration/test_soak.py

bench: build  ## CPU time per request beside nginx and haproxy (SCENARIOS="S1 S7" chooses)
	@tools/setup bench
	@SCENARIOS="$(SCENARIOS)" /usr/bin/python3 bench/run.py

install: ## PREFIX=/usr/local, DESTDIR for packagers
	@tools/setup build
	@cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null && cmake --build build
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix $(PREFIX)

clean:   ## removes build/ and the npm packages
	@rm -rf build tests/integration/js/node_modules tests/portal/node_modules web/portal/node_modules

ci:      ## what the continuous integration runs
	@.ci/run

setup:   ## everything that any target needs, as root
	@tools/setup build test check bench

help:    ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26
