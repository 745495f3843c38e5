#!/usr/bin/env bash
# The engine names no runtime, no socket and no clock. Its own clippy.toml bans the calls; this guards the dependencies.
# rumqttc is the one exception: its codec is used, and it brings tokio along.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$(${CARGO:-cargo} tree -p remqtt-proto -e normal,build --prune rumqttc --prefix none --offline)
if grep -E '^(tokio|mio|socket2|async-std|smol)\b' <<<"$tree"; then
    echo 'remqtt-proto must not depend on the crates above' >&2
    exit 1
fi
echo "remqtt-proto is pure: $(wc -l <<<"$tree") crates outside rumqttc, no runtime among them"
