#!/usr/bin/env bash
# install-test.sh ROOT DIR: installs libremqtt below DIR in two ways, and builds programs against each.
set -euo pipefail
root=$1 dir=$2
consumers=$root/tests/c/consumer/run.sh
rm -rf "$dir" && mkdir -p "$dir"
install() { "$root/ffi/install.sh" >"$dir/install.log" 2>&1 || { cat "$dir/install.log"; exit 1; }; }

PREFIX=$dir/prefix DESTDIR='' install
"$consumers" '' "$dir/prefix/lib" "$dir/prefix/build"

# As a distribution does it: staged, libraries in the directory of the architecture. Every file is there, and none
# speaks of the stage.
lib=/usr/lib/$(cc -print-multiarch)
PREFIX=/usr LIBDIR=$lib DESTDIR=$dir/stage install
(cd "$root/include/remqtt" && ls) | diff - <(ls "$dir/stage/usr/include/remqtt")
if grep -rq "$dir" "$dir/stage$lib/pkgconfig" "$dir/stage$lib/cmake"; then echo 'FAILED: DESTDIR in a file'; exit 1; fi
"$consumers" "$dir/stage" "$lib" "$dir/build"
rm -rf "$dir"
