#!/usr/bin/env bash
# run.sh ROOT LIBDIR DIR: programs outside the tree, against the libremqtt that is installed in ROOT/LIBDIR. Builds them
# in DIR by pkg-config and by CMake, shared and static, C and C++, and lets each publish and get back a message.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$1 libdir=$2 dir=$3
passed=0
mkdir -p "$dir"
# Nothing but what is in ROOT is found, also where its directories are those of the system.
export PKG_CONFIG_LIBDIR=$root$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
version=$(pkg-config --modversion remqtt)

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'user root\nlistener %s 127.0.0.1\nallow_anonymous true\nlog_dest none\n' "$port" >"$dir/mosquitto.conf"
PATH=$PATH:/usr/sbin setpriv --pdeathsig KILL -- mosquitto -c "$dir/mosquitto.conf" 2>/dev/null &
broker=$!
trap 'kill $broker 2>/dev/null' EXIT

check() { # PROGRAM: it loads what it was built for, and prints the version of the package
    local needed printed
    needed=$(readelf -d "$dir/$1" | sed -n 's/.*NEEDED.*\[\(libremqtt[^]]*\)\]/\1/p')
    printed=$(LD_LIBRARY_PATH=$root$libdir "$dir/$1" "mqtt://127.0.0.1:$port")
    case $1 in *shared*) wanted=libremqtt.so.0 ;; *) wanted= ;; esac
    [ "$printed" = "$version" ] && [ "$needed" = "$wanted" ] ||
        { echo "FAILED $1: printed $printed and not $version, needs ${needed:-no libremqtt}"; exit 1; }
    passed=$((passed + 1))
}

read -ra cflags <<<"$(pkg-config --cflags remqtt)"
read -ra shared <<<"$(pkg-config --libs remqtt)"
read -ra static <<<"$(pkg-config --static --libs remqtt)"
static=("${static[@]/#-lremqtt/-l:libremqtt.a}")
for kind in shared static; do
    declare -n libs=$kind
    cc "$here/consumer.c" -o "$dir/pkgconfig_$kind" "${cflags[@]}" "${libs[@]}"
    c++ -std=c++17 "$here/consumer.cpp" -o "$dir/pkgconfig_${kind}_cpp" "${cflags[@]}" "${libs[@]}"
    check pkgconfig_$kind
    check pkgconfig_${kind}_cpp
done

{ cmake -S "$here" -B "$dir" -DVERSION="$version" -DCMAKE_PREFIX_PATH="$root${libdir%/lib*}" \
    -DCMAKE_LIBRARY_ARCHITECTURE="$(basename "$libdir")" && cmake --build "$dir"; } >"$dir/cmake.log" 2>&1 ||
    { cat "$dir/cmake.log"; exit 1; }
for kind in shared static shared_cpp static_cpp; do check cmake_$kind; done
echo "consumers: $passed passed, 0 failed, in $libdir"
