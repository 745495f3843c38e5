#!/usr/bin/env bash
# deb.sh DIR: the Debian source package of this tree and the packages libremqtt0 and libremqtt-dev, in DIR.
# Needs debhelper. cargo may be any that is on the PATH, so build dependencies are not looked for among packages.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
packaged=$(dpkg-parsechangelog -l ffi/debian/changelog -S Version)
[ "${packaged%-*}" = "$version" ] || { echo "ffi/debian/changelog is about $packaged and not $version"; exit 1; }

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
tree=$dir/remqtt-$version
rm -rf "$dir"/remqtt* "$dir"/libremqtt*
mkdir "$tree"
git ls-files -z | tar --null -T - -c | tar -x -C "$tree"
tar -C "$dir" -czf "$dir/remqtt_$version.orig.tar.gz" "remqtt-$version"
cp -r ffi/debian "$tree/"

# debhelper gives the build a home of its own. What cargo made stays for the next package.
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
export CARGO_TARGET_DIR=$dir/build
cd "$tree"
dpkg-buildpackage --no-check-builddeps --unsigned-source --unsigned-changes
