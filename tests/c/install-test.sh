#!/usr/bin/env bash
# install-test.sh ROOT DIR: installs libremqtt under DIR and builds programs against what was installed.
set -euo pipefail
root=$1 dir=$2
passed=0
rm -rf "$dir" && mkdir -p "$dir"
prefix=$dir/prefix
PREFIX=$prefix DESTDIR='' "$root/ffi/install.sh" >"$dir/install.log" 2>&1 || { cat "$dir/install.log"; exit 1; }
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig

# A program as a user's: it connects to a mosquitto, gets back what it publishes, and prints the version.
cat >"$dir/consumer.c" <<'C'
#include <stdio.h>
#include <remqtt/remqtt.h>
static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)client;
    *(volatile int *)user = remqtt_message_payload(message).len == 5;
    return 0;
}
int main(int argc, char **argv)
{
    volatile int came = 0;
    remqtt_config *config = remqtt_config_new();
    remqtt_client *client = NULL;
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    if (argc < 2) return 2;
    remqtt_config_add_server(config, argv[1]);
    remqtt_config_set(config, "dispatch", "poll");
    remqtt_config_on_message(config, on_message, (void *)&came, NULL);
    remqtt_status status = remqtt_client_new(config, &client);
    remqtt_config_free(config);
    wish.filter = remqtt_str_of("consumer");
    wish.qos = options.qos = 1;
    remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL);
    remqtt_client_publish(client, wish.filter, remqtt_bytes_of("hello", 5), &options, NULL);
    remqtt_client_start(client);
    for (int turns = 0; !came && turns < 600; turns++) remqtt_client_dispatch(client, 100, 0);
    remqtt_client_close(client, 1000);
    remqtt_client_free(client);
    puts(remqtt_version());
    return status != REMQTT_OK || !came || remqtt_abi_version() != REMQTT_ABI_VERSION;
}
C
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'user root\nlistener %s 127.0.0.1\nallow_anonymous true\nlog_dest none\n' "$port" >"$dir/mosquitto.conf"
PATH=$PATH:/usr/sbin setpriv --pdeathsig KILL -- mosquitto -c "$dir/mosquitto.conf" 2>/dev/null &
broker=$!
trap 'kill $broker 2>/dev/null' EXIT
server=mqtt://127.0.0.1:$port # where the programs go; they wait for it by themselves
check() { # NAME COMMAND...: the version that the program prints is the package's
    local name=$1 version; shift
    version=$("$@")
    [ "$version" = "$(pkg-config --modversion remqtt)" ] || { echo "FAILED $name: printed $version"; exit 1; }
    passed=$((passed + 1))
}

# shellcheck disable=SC2046 # the flags are words
cc "$dir/consumer.c" -o "$dir/shared" $(pkg-config --cflags --libs remqtt)
check shared env LD_LIBRARY_PATH="$prefix/lib" "$dir/shared" "$server"
readelf -d "$dir/shared" | grep -q 'NEEDED.*libremqtt.so.0'
static=$(pkg-config --static --libs remqtt)
# shellcheck disable=SC2086,SC2046
cc "$dir/consumer.c" -o "$dir/static" $(pkg-config --cflags remqtt) ${static/-lremqtt/-l:libremqtt.a}
check static "$dir/static" "$server"

if command -v cmake >/dev/null; then
    cat >"$dir/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(remqtt REQUIRED)
add_executable(cmake_shared consumer.c)
target_link_libraries(cmake_shared remqtt::remqtt)
add_executable(cmake_static consumer.c)
target_link_libraries(cmake_static remqtt::static)
CMAKE
    cmake -S "$dir" -B "$dir/cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$dir/cmake.log" 2>&1 || { cat "$dir/cmake.log"; exit 1; }
    cmake --build "$dir/cmake" >>"$dir/cmake.log" 2>&1 || { cat "$dir/cmake.log"; exit 1; }
    check cmake_shared "$dir/cmake/cmake_shared" "$server"
    check cmake_static "$dir/cmake/cmake_static" "$server"
fi

# A staged installation lands under DESTDIR and speaks of PREFIX alone.
PREFIX=/usr DESTDIR=$dir/stage "$root/ffi/install.sh" >>"$dir/install.log" 2>&1
for file in include/remqtt/remqtt.h include/remqtt/remqtt.hpp include/remqtt/client.hpp include/remqtt/values.hpp \
        lib/libremqtt.so.0 lib/libremqtt.a; do
    [ -e "$dir/stage/usr/$file" ] || { echo "FAILED: no $file in the stage"; exit 1; }
done
if grep -rq "$dir" "$dir/stage/usr/lib/pkgconfig" "$dir/stage/usr/lib/cmake"; then echo 'FAILED: DESTDIR in a file'; exit 1; fi
passed=$((passed + 1))
rm -rf "$dir"
echo "install: $passed passed, 0 failed"
