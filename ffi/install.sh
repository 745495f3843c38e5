#!/usr/bin/env bash
# Builds and installs libremqtt: PREFIX (default /usr/local), DESTDIR (staging), LIBDIR (default PREFIX/lib), CARGO.
# Shared and static library, headers, pkg-config file, CMake package. Version and SONAME come from the build.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
stage=${DESTDIR:-}
cargo=${CARGO:-cargo}
built=${CARGO_TARGET_DIR:-target}/release
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

$cargo build --release -p remqtt-ffi
soname=$(readelf -d "$built/libremqtt.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')

# What a static libremqtt needs of Linux (rustc --print native-static-libs); tests/c/install-test.sh links with it.
private='-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc'

# Where the headers are for who knows where the library is: an installation may be moved as a whole.
include=$(realpath -m --relative-to="$libdir" "$prefix/include")

install -d "$stage$libdir/pkgconfig" "$stage$libdir/cmake/remqtt" "$stage$prefix/include/remqtt"
install -m 755 "$built/libremqtt.so" "$stage$libdir/libremqtt.so.$version"
ln -sf "libremqtt.so.$version" "$stage$libdir/$soname"
ln -sf "$soname" "$stage$libdir/libremqtt.so"
install -m 644 "$built/libremqtt.a" "$stage$libdir/"
install -m 644 include/remqtt/*.h include/remqtt/*.hpp "$stage$prefix/include/remqtt/"

for template in remqtt.pc:pkgconfig remqttConfig.cmake:cmake/remqtt remqttConfigVersion.cmake:cmake/remqtt; do
    file=${template%%:*}
    sed -e "s|@PREFIX@|$prefix|g; s|@LIBDIR@|$libdir|g; s|@VERSION@|$version|g; s|@SONAME@|$soname|g" \
        -e "s|@PRIVATE@|$private|g; s|@INCLUDE@|$include|g" "ffi/$file.in" >"$stage$libdir/${template##*:}/$file"
    chmod 644 "$stage$libdir/${template##*:}/$file"
done
echo "libremqtt $version is in $stage$libdir"
