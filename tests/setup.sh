#!/usr/bin/env bash
# Installs what the build, the tests and the demo need and what is not there yet. Quick when nothing is missing.
# Debian packages come from apt (root or sudo), Python packages go into .venv. Rust itself is expected: see rust-version.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

packages() {
    local missing=() package
    for package in mosquitto libmosquitto-dev libpaho-mqtt-dev libsqlite3-dev strace tinyproxy-bin microsocks openssl iproute2 valgrind gcc g++ clang pkg-config cmake abigail-tools doxygen libuv1-dev python3-venv python3-dev; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { say "missing: ${missing[*]}; install them as root"; exit 1; }
        root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${root[@]}" apt-get update -qq
    # A broker of its own service would hold port 1883; the tests start theirs on free ports.
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

venv() {
    local stamp=.venv/.requirements
    cmp -s tests/requirements.txt "$stamp" && return
    say 'preparing .venv'
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$stamp"
}

command -v cargo >/dev/null || { say 'cargo is missing: install Rust (rust-version in Cargo.toml or newer)'; exit 1; }
if command -v dpkg-query >/dev/null; then packages; else say 'no dpkg here: see the list in tests/setup.sh'; fi
venv
