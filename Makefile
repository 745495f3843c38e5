# make demo, make test, make check, make bench, make install. Logs of quiet steps are in target/logs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
PREFIX ?= /usr/local
BROKER ?=
ROUNDS ?= 5
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
PY := $(CURDIR)/.venv/bin/python
VENV := VIRTUAL_ENV="$(CURDIR)/.venv" PATH="$(CURDIR)/.venv/bin:$$PATH"
QUIET := tests/quiet.sh
export CARGO_TERM_COLOR ?= never

help:
	@echo 'make demo [BROKER=mqtt://host:port]   outages, remqtt beside paho-mqtt, one table'
	@echo 'make test                             every test'
	@echo 'make check                            every gate: format, lints, docs, licences, header'
	@echo 'make bench                            bench-drain, bench-clients, bench-store and bench-size'
	@echo 'make bench-recovery [ROWS=a,b REPEAT=20 CLIENTS=a,b ALARM=60]  outages beside the peers (root)'
	@echo 'make install [PREFIX= DESTDIR=]       libremqtt, headers, pkg-config file'
	@echo 'make deb                               Debian packages of the C library, in target/deb'
	@echo 'make crash [N=2000 SEED=1]             kill -9 of publishers and subscribers, with a table of what is lost'
	@echo 'make corrupt [N=100000 SEED=1]         files of a store that are damaged at random'
	@echo 'make sim-mutants                       seeded bugs, and how soon random stories find them'
	@echo 'make sim [N=100000 SEED=1]             random stories against the model'
	@echo 'make conformance                      the tests and examples of paho-mqtt, with remqtt in its place'
	@echo 'make check-surface [SURFACE=folder]    the public surface, against a record of that of paho-mqtt'
	@echo 'make fuzz [FUZZ_SECONDS=300]           every fuzz target (nightly, cargo-fuzz)'
	@echo 'make sanitize                          the C tests and every scenario under valgrind, ASan and UBSan'
	@echo 'make check-abi                         the C header, its symbols, layouts and ABI baseline'
	@echo 'make doxygen                           the reference of the C API, in target/doxygen/html'
	@echo 'make clean'

setup:
	@tests/setup.sh

# The two bindings, optimised: what the tests, the demo and the benchmarks use is what ships.
lib: setup
	@$(QUIET) build-c $(CARGO) build --release -p remqtt -p remqtt-ffi
	@ln -sf libremqtt.so $(TARGET)/release/$$(readelf -d $(TARGET)/release/libremqtt.so | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
python: setup
	@$(VENV) $(QUIET) build-python .venv/bin/maturin develop --release -m python/Cargo.toml

test: test-rust test-roads test-languages test-matrix test-python test-c test-crash test-readme
test-rust: setup
	@$(QUIET) test-rust $(CARGO) test --workspace --no-fail-fast
# What users see of bad certificates, and what a reconnect over TLS costs.
test-roads: setup
	@$(QUIET) test-roads $(CARGO) test -p remqtt --test tls -- --nocapture --test-threads 1 bad_certificates resumes
	@grep -hE '^\||^TLSv' $(TARGET)/logs/test-roads.log
# Looks for input that breaks what reads others' bytes: needs a nightly toolchain.
FUZZ_SECONDS ?= 300
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(QUIET) install-cargo-fuzz $(CARGO) install --locked cargo-fuzz
	@cd core/fuzz && targets=$$($(CARGO) fuzz list) && for target in $$targets; do \
	    echo "$$target:"; mkdir -p corpus/$$target && $(CARGO) +nightly fuzz run $$target corpus/$$target $$(ls -d seeds/$$target 2>/dev/null || true) -- -max_total_time=$(FUZZ_SECONDS) -verbosity=0 || exit 1; done; \
	    echo "$$(wc -w <<< "$$targets") targets, $(FUZZ_SECONDS) s each: no finding"
# Kills clients with kill -9, N of remqtt's and some of its peers', beside a broker that is restarted. Prints a table.
CRASH := $(TARGET)/crash
CRASH_C := gcc -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror
crash-programs: lib python
	@mkdir -p $(CRASH)
	@$(CRASH_C) tests/crash/child_remqtt.c -o $(CRASH)/child_remqtt $(LINK)
	@$(CRASH_C) tests/crash/child_paho.c -o $(CRASH)/child_paho -lpaho-mqtt3a
	@$(CRASH_C) ffi/examples/exactly_once.c -o $(CRASH)/exactly_once $(LINK) -lsqlite3
crash: N = 2000
crash: crash-programs
	@$(PY) tests/crash/crash.py $(CRASH) --kills $(N) --seed $(SEED)
test-crash: crash-programs
	@$(QUIET) test-crash $(PY) tests/crash/crash.py $(CRASH) --kills 60
	@sed -n '/^program /,$$p' $(TARGET)/logs/test-crash.log
# Files of a store that are damaged at random: N cases, from SEED on.
corrupt:
	@REMQTT_CORRUPTIONS=$(N) REMQTT_SEED=$(SEED) $(CARGO) test --release -p remqtt --lib random_damage -- --nocapture
# Seeded bugs, each in a copy of the engine, and the number of random stories after which one finds it.
sim-mutants:
	@python3 tests/mutants.py $(TARGET) $(CARGO)
# N random stories of outages, deaths and disks against the model, from SEED on.
N ?= 100000
SEED ?= 1
sim:
	@REMQTT_RUNS=$(N) REMQTT_SEED=$(SEED) $(CARGO) test --release -p remqtt-tests --test random -- --nocapture
# Every scenario over every transport in every language, with the bindings that ship. The table is printed, and what
# is not played.
SHIMS = REMQTT_SHIM_C=$(TARGET)/c/shim REMQTT_SHIM_PYTHON='$(PY) $(CURDIR)/tests/shims/shim.py'
shims: lib python
	@$(QUIET) build-shim $(MAKE) -C tests/c $(TARGET)/c/shim
test-languages: shims
	@$(SHIMS) $(QUIET) test-disks $(CARGO) test -p remqtt-tests --test disk_trouble -- --nocapture
	@$(SHIMS) $(QUIET) test-languages $(CARGO) test -p remqtt-tests --test languages -- --nocapture
	@sed -n '/^  row/,/^ skip/p; /^not played/p' $(TARGET)/logs/test-languages.log
# Every road to a real broker in every language, through resets and restarts. The matrix is printed.
test-matrix: shims
	@$(SHIMS) $(QUIET) test-matrix $(CARGO) test -p remqtt-tests --test roads -- --nocapture
	@sed -n '/^road /,/cells green/p' $(TARGET)/logs/test-matrix.log
test-python: python lib
	@REMQTT_LIBRARY=$(TARGET)/release/libremqtt.so $(QUIET) test-python $(PY) -m pytest -q tests/python
	@grep '^|' $(TARGET)/logs/test-python.log
# One wheel for every CPython from 3.9 on, and the whole suite with each that is on the machine.
test-pythons: setup
	@tests/pythons.sh $(TARGET)

test-c: lib
	@CARGO='$(CARGO)' $(QUIET) test-c $(MAKE) -C tests/c test
	@$(QUIET) valgrind $(MAKE) -C tests/c valgrind
# The same tests and every scenario under valgrind and with the sanitizers of gcc: half an hour. A row for each is printed.
sanitize: lib
	@$(QUIET) build-conductor $(CARGO) build -p remqtt-tests --bin conductor
	@$(MAKE) -C tests/c sanitize
# The C ABI: the header is the source's, clean in every language version by two compilers, with the symbols, the layout
# and the baseline that are committed. `make write-abi` renews the baseline where ffi/ABI.md allows it.
check-abi: lib
	@$(QUIET) header $(CARGO) test -p remqtt-ffi
	@$(QUIET) check-abi $(MAKE) -C tests/c headers symbols abi
	@grep -h '^abidiff: ' $(TARGET)/logs/check-abi.log
# The reference of the C API as HTML. A warning is an error.
doxygen: setup
	@mkdir -p $(TARGET)/doxygen
	@DOXYGEN_OUT=$(TARGET)/doxygen $(QUIET) doxygen doxygen ffi/docs/Doxyfile
write-abi: setup
	@$(MAKE) -C tests/c write-abi
test-readme: lib python
	@$(QUIET) test-readme $(PY) tests/readme.py $(TARGET)

# Needs a package index: the source distribution of paho-mqtt is fetched, and never part of this repository.
conformance: python
	@$(PY) tests/conformance/run.py $(TARGET)

# The record of the surface and the program that compares are kept in a folder beside the project.
SURFACE ?= ../shared
check-surface: python
	@if [ -f $(SURFACE)/check_surface.py ]; then \
	    $(PY) $(SURFACE)/check_surface.py --check $(SURFACE)/paho_surface.json remqtt; \
	else echo '== check-surface skipped: no $(SURFACE)/check_surface.py here'; fi

check: setup
	@$(QUIET) fmt $(CARGO) fmt --all --check
	@$(QUIET) clippy $(CARGO) clippy --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' $(QUIET) doc $(CARGO) doc --workspace --no-deps
	@$(QUIET) header $(CARGO) test -p remqtt-ffi --test header
	@$(MAKE) doxygen
	@$(QUIET) pure-engine tests/pure_engine.sh
	@$(QUIET) ruff .venv/bin/ruff check .
	@$(QUIET) ruff-format .venv/bin/ruff format --check .
	@$(QUIET) mypy $(PY) -m mypy tests/bench/*.py tests/bench/recovery/*.py tests/demo/*.py tests/readme.py tests/c/*.py
	@$(QUIET) mypy-crash $(PY) -m mypy tests/crash/*.py tests/mutants.py
	@$(QUIET) mypy-package $(PY) -m mypy python/remqtt
	@$(QUIET) mypy-conformance $(PY) -m mypy tests/conformance/run.py tests/conformance/examples.py tests/conformance/table.py
	@if [ -f python/remqtt/_native.abi3.so ]; then \
	    $(QUIET) stubtest $(PY) -m mypy.stubtest remqtt --ignore-missing-stub; \
	else echo '== stubtest skipped: no native module here (make python)'; fi
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(QUIET) deny $(CARGO) deny check bans licenses sources; \
	else echo '== deny skipped: no cargo-deny here (cargo install cargo-deny)'; fi

.PHONY: deb sanitize check-abi write-abi doxygen test-pythons bench-recovery crash crash-programs test-crash bench-size bench-store corrupt sim-mutants help setup lib python conformance check-surface shims test test-rust test-roads fuzz sim test-languages test-matrix test-python test-c test-readme check demo bench bench-drain bench-clients install clean

# The C subscriber is linked against the library of this tree, as any user's program would be.
LINK := -Iinclude -L$(TARGET)/release -lremqtt -Wl,-rpath,$(TARGET)/release

demo: lib python
	@$(QUIET) build-demo $(CARGO) build --release -p remqtt-demo
	@$(CC) -O2 -Wall -Wextra -o $(TARGET)/release/demo-subscriber tests/demo/subscriber.c $(LINK)
	@$(TARGET)/release/remqtt-demo $(if $(BROKER),--broker $(BROKER))

BENCH := $(TARGET)/bench
$(BENCH)/%_mosquitto: tests/bench/%_mosquitto.c $(wildcard tests/bench/*.h)
	@mkdir -p $(BENCH)
	@$(CC) -O2 -Wall -Wextra -o $@ $< -lmosquitto
$(BENCH)/%_paho_c: tests/bench/%_paho_c.c $(wildcard tests/bench/*.h)
	@mkdir -p $(BENCH)
	@$(CC) -O2 -Wall -Wextra -o $@ $< -lpaho-mqtt3a
$(BENCH)/%_paho_cs: tests/bench/%_paho_c.c $(wildcard tests/bench/*.h)
	@mkdir -p $(BENCH)
	@$(CC) -O2 -Wall -Wextra -o $@ $< -lpaho-mqtt3as
$(BENCH)/%_raw: tests/bench/%_raw.c $(wildcard tests/bench/*.h)
	@mkdir -p $(BENCH)
	@$(CC) -O2 -Wall -Wextra -o $@ $<
$(BENCH)/%_remqtt: tests/bench/%_remqtt.c $(wildcard tests/bench/*.h) | lib
	@mkdir -p $(BENCH)
	@$(CC) -O2 -Wall -Wextra -o $@ $< $(LINK)

bench: bench-drain bench-clients bench-store bench-size
bench-drain: python $(addprefix $(BENCH)/drain_,mosquitto raw remqtt)
	@$(PY) tests/bench/drain.py $(BENCH) --rounds $(ROUNDS)
# On the disk of this folder; elsewhere with PLACE=folder.
bench-store: lib $(addprefix $(BENCH)/,store_remqtt store_paho_c drain_remqtt)
	@$(PY) tests/bench/store.py $(BENCH) --rounds $(ROUNDS) $(if $(PLACE),--place $(PLACE))
bench-clients: python $(addprefix $(BENCH)/clients_,mosquitto paho_c remqtt)
	@$(QUIET) build-demo $(CARGO) build --release -p remqtt-demo
	@$(PY) tests/bench/clients.py $(BENCH) $(TARGET)/release/remqtt-demo

# Size on disk, and start and memory of a program with one client.
bench-size: lib $(addprefix $(BENCH)/clients_,mosquitto paho_c paho_cs remqtt)
	@$(PY) tests/bench/size.py $(BENCH)

# Outages of every kind, beside peers and a floor. The table and the plot are left in target/bench/recovery.
ROWS ?=
REPEAT ?= 20
CLIENTS ?=
ALARM ?= 60
RECOVERY := $(addprefix $(BENCH)/recovery_,floor mosquitto paho_c remqtt)
$(RECOVERY): $(BENCH)/recovery_%: tests/bench/recovery/client_%.c tests/bench/recovery/client.h | lib
	@mkdir -p $(BENCH)
	@$(CC) -O2 -Wall -Wextra -Wpedantic -o $@ $< $(if $(filter %_remqtt,$@),$(LINK)) \
	    $(if $(filter %_mosquitto,$@),-lmosquitto) $(if $(filter %_paho_c,$@),-lpaho-mqtt3as)
$(BENCH)/.plot: tests/bench/recovery/requirements.txt | python
	@mkdir -p $(BENCH)
	@.venv/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@
bench-recovery: python $(RECOVERY) $(BENCH)/.plot
	@$(QUIET) build-rumqttc $(CARGO) build --release -p remqtt-bench-rumqttc
	@ln -sf ../release/recovery-rumqttc $(BENCH)/recovery-rumqttc
	@$(PY) tests/bench/recovery/recovery.py $(BENCH) $(BENCH)/recovery --rows '$(ROWS)' --repeat $(REPEAT) \
	    --clients '$(CLIENTS)' --alarm $(ALARM)

install:
	@CARGO="$(CARGO)" PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" ffi/install.sh

# A Debian source package and its packages, in target/deb, and programs that are built against them. Needs debhelper.
deb:
	@command -v dh >/dev/null || { echo 'deb: debhelper is missing (apt install debhelper lintian)'; exit 1; }
	@$(QUIET) deb ffi/deb.sh $(TARGET)/deb
	@$(QUIET) deb-test tests/c/deb-test.sh $(TARGET)/deb

clean:
	rm -rf "$(TARGET)" .venv .pytest_cache .ruff_cache .mypy_cache python/dist
