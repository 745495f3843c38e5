/* Connections that the application makes. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

enum { SLOTS = 64 };

/* A function that makes socket pairs or connects, and what it was asked. */
struct maker {
    atomic_uint calls, made, drops, waiting, connected;
    atomic_int ours[SLOTS], theirs; /* in the order of the calls; the other end of the last pair */
    uint16_t port;                  /* of a server on this machine; 0: a socket pair */
    int32_t answer;                 /* instead of a connection, if it is not 0 */
    int slow;                       /* one connection, made when its attempt has failed */
    remqtt_status cause;
    uint32_t delay_ms;
};

static int32_t make(void *user, remqtt_client *client, const remqtt_target *target)
{
    struct maker *maker = user;
    int pair[2] = { -1, -1 };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(maker->port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(client && target->size == sizeof *target && target->timeout_ms > 0);
    CHECK(target->port == 1234 && target->tls == 1 && target->host.len == 14);
    CHECK(!memcmp(target->host.ptr, "broker.example", 14));
    if (maker->answer) {
        return maker->answer;
    }
    unsigned call = atomic_fetch_add(&maker->calls, 1) % SLOTS;
    if (maker->slow && call > 0) {
        return REMQTT_E_CONNECT_FAILED;
    }
    if (maker->slow) {
        CHECK_WAIT(&maker->waiting, 1);
    }
    if (maker->port) {
        pair[0] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(pair[0], (struct sockaddr *)&address, sizeof address) == 0);
    } else {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        atomic_store(&maker->theirs, pair[1]);
    }
    atomic_store(&maker->ours[call], pair[0]);
    event_add(&maker->made, 1);
    return pair[0];
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct maker *maker = user;
    (void)client;
    if (event->state == REMQTT_STATE_WAITING && atomic_load(&maker->waiting) == 0) {
        maker->cause = event->cause;
        maker->delay_ms = event->next_delay_ms;
        event_add(&maker->waiting, 1);
    }
    if (event->state == REMQTT_STATE_CONNECTED) {
        event_add(&maker->connected, 1);
    }
}

static void on_drop(void *user)
{
    struct maker *maker = user;
    event_add(&maker->drops, 1);
}

static remqtt_client *client_by(struct maker *maker, const char *timeout_ms)
{
    remqtt_config *config = remqtt_config_new();
    CHECK_OK(remqtt_config_add_server(config, "mqtts://broker.example:1234"));
    CHECK_OK(remqtt_config_set(config, "protocol_version", "4"));
    CHECK_OK(remqtt_config_set(config, "connect_timeout", timeout_ms));
    CHECK_OK(remqtt_config_on_state(config, on_state, maker, NULL));
    CHECK_OK(remqtt_config_on_dial(config, make, maker, on_drop));
    return client_of(config);
}

static void finish(remqtt_client *client, struct maker *maker)
{
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    CHECK_WAIT(&maker->drops, 1);
}

/* Where a server is slow to answer, a second connection is made beside the first: one of them lives. */
static int lives_and_closes_on_exec(struct maker *maker)
{
    int found = 0;
    for (unsigned call = 0; call < SLOTS && call < atomic_load(&maker->made); call++) {
        found += fcntl(atomic_load(&maker->ours[call]), F_GETFD) == FD_CLOEXEC;
    }
    return found > 0;
}

TEST(each_connection_is_one_that_the_application_made)
{
    struct server server = { 0 };
    server_start(&server);
    struct maker maker = { .port = server.port };
    remqtt_client *client = client_by(&maker, "60000");
    for (unsigned connection = 1; connection <= 3; connection++) {
        CHECK_WAIT(&maker.connected, connection);
        CHECK(atomic_load(&maker.made) >= connection && atomic_load(&maker.drops) == 0);
        CHECK(lives_and_closes_on_exec(&maker));
        server_reset(&server);
    }
    finish(client, &maker);
    server_stop(&server);
}

static void refuse(int32_t answer, remqtt_status cause, uint32_t least_delay_ms)
{
    struct maker maker = { .answer = answer };
    remqtt_client *client = client_by(&maker, "60000");
    CHECK_WAIT(&maker.waiting, 1);
    CHECK_STATUS(maker.cause, cause);
    CHECK(maker.delay_ms >= least_delay_ms);
    finish(client, &maker);
}

TEST(why_there_is_no_connection_decides_when_the_next_attempt_follows)
{
    refuse(REMQTT_E_CONNECT_FAILED, REMQTT_E_CONNECT_FAILED, 0);
    refuse(REMQTT_E_CERTIFICATE_REFUSED, REMQTT_E_CERTIFICATE_REFUSED, 30000);
    refuse(-12345, REMQTT_E_CONNECT_FAILED, 0);
    refuse(1 << 20, REMQTT_E_CONNECT_FAILED, 0); /* no open descriptor */
}

TEST(a_connection_that_comes_too_late_is_closed)
{
    struct maker maker = { .slow = 1 };
    char byte;
    remqtt_client *client = client_by(&maker, "50");
    CHECK_WAIT(&maker.waiting, 1);
    CHECK_STATUS(maker.cause, REMQTT_E_CONNECT_TIMEOUT);
    finish(client, &maker); /* after the last call */
    CHECK(recv(atomic_load(&maker.theirs), &byte, 1, 0) == 0);
    close(atomic_load(&maker.theirs));
}

TEST(a_function_that_takes_long_holds_up_no_other_client)
{
    struct maker maker = { .slow = 1 };
    struct server server = { 0 };
    server_start(&server);
    remqtt_client *slow = client_by(&maker, "60000"), *quick = client_of(config_for(server.port));
    while (atomic_load(&maker.calls) == 0) {
        sched_yield();
    }
    CHECK_OK(remqtt_client_wait_state(quick, REMQTT_STATE_CONNECTED, MINUTE_MS));
    CHECK(atomic_load(&maker.made) == 0);
    event_add(&maker.waiting, 1);
    finish(slow, &maker);
    CHECK_OK(remqtt_client_close(quick, 0));
    remqtt_client_free(quick);
    server_stop(&server);
    close(atomic_load(&maker.theirs));
}
