#!/usr/bin/env bash
# Builds one wheel for the stable ABI and runs the whole Python suite with it, in every CPython from 3.9 to 3.13 that
# is on this machine: as python3.x on the PATH, or below PYENV_ROOT. usage: pythons.sh TARGET
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(realpath -m "$1")/pythons

rm -rf "$work/wheels"
.venv/bin/maturin build --release -q -m python/Cargo.toml -o "$work/wheels" || exit 1
wheel=$(ls "$work"/wheels/*-abi3-*.whl) || exit 1
echo "wheel: $(basename "$wheel"), $(stat -c %s "$wheel") bytes"

interpreter() {
    local found
    for found in "$(command -v "python$1")" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        # A shim of pyenv is there, and fails, where that version is not switched on.
        "$found" -c 'import ensurepip' 2>/dev/null && { echo "$found"; return; }
    done
}

failed=0 ran=0
for version in 3.9 3.10 3.11 3.12 3.13; do
    python=$(interpreter $version)
    [ -n "$python" ] || { echo "python $version: not on this machine"; continue; }
    venv=$work/$version
    "$python" -m venv --clear "$venv"
    grep -vE '^(maturin|ruff|mypy)' tests/requirements.txt >"$work/requirements.txt"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$work/requirements.txt" "$wheel" || exit 1
    "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/python >"$work/$version.log" 2>&1 || failed=1
    ran=1
    echo "python $("$python" -c 'import platform; print(platform.python_version())'): $(tail -1 "$work/$version.log")"
done
[ $ran = 1 ] || { echo "no CPython from 3.9 to 3.13 on this machine"; exit 1; }
exit $failed
