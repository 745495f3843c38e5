/* What the library can do, each with the bytes that show it. features.py says which test stands for what. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

/* What the functions of a client were told. */
struct told {
    atomic_uint connecting, connected, waiting, recovered, messages, done;
    uint32_t server, delay_ms, flags;
    uint8_t reason;
    size_t properties;
    char token[64];
    remqtt_message *kept;
};

/* Whether the list begins with a property of this number and value. */
static int begins_with(const remqtt_props *props, uint8_t id, char value)
{
    uint8_t found = 0;
    remqtt_bytes text = { NULL, 0 };
    return remqtt_props_get(props, 0, &found, NULL, NULL, &text) == REMQTT_OK && found == id && text.len == 1 &&
           text.ptr[0] == (uint8_t)value;
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct told *told = user;
    (void)client;
    switch (event->state) {
    case REMQTT_STATE_CONNECTING:
        told->server = event->server;
        event_add(&told->connecting, 1);
        break;
    case REMQTT_STATE_CONNECTED:
        told->properties += (size_t)begins_with(event->props, 0x1F, 'c');
        event_add(&told->connected, 1);
        break;
    case REMQTT_STATE_WAITING:
        told->delay_ms = event->next_delay_ms;
        event_add(&told->waiting, 1);
        break;
    default: break;
    }
}

static void on_recovered(void *user, remqtt_client *client, const remqtt_outage *outage)
{
    struct told *told = user;
    (void)client;
    CHECK(outage->number == 1);
    event_add(&told->recovered, 1);
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    struct told *told = user;
    remqtt_str token = remqtt_message_token(message);
    (void)client;
    told->flags = remqtt_message_flags(message);
    told->properties += (size_t)begins_with(remqtt_message_props(message), 0x26, 'v');
    snprintf(told->token, sizeof told->token, "%.*s", (int)token.len, token.ptr);
    if (!told->kept) {
        told->kept = remqtt_message_ref(message);
    }
    event_add(&told->messages, 1);
    return 0;
}

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    struct told *told = user;
    (void)client;
    told->reason = result->reason;
    told->properties += (size_t)begins_with(result->props, 0x1F, 'w');
    event_add(&told->done, 1);
}

static remqtt_config *config_of(struct told *told, uint16_t port)
{
    remqtt_config *config = config_for(port);
    CHECK_OK(remqtt_config_on_state(config, on_state, told, NULL));
    CHECK_OK(remqtt_config_on_message(config, on_message, told, NULL));
    return config;
}

static void finish(remqtt_client *client, struct told *told)
{
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    remqtt_message_free(told->kept);
}

/* Whether these bytes are somewhere in the packet, which is freed. */
static int contains(struct packet packet, const char *bytes, size_t length)
{
    int found = 0;
    for (size_t at = 0; !found && at + length <= packet.length; at++) {
        found = !memcmp(packet.body + at, bytes, length);
    }
    free(packet.body);
    return found;
}
#define CONTAINS(PACKET, TEXT) contains(PACKET, TEXT, sizeof(TEXT) - 1)

TEST(properties_of_mqtt_5_go_both_ways)
{
    struct told told = { 0 };
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_props *props = remqtt_props_new();
    remqtt_config *config = config_of(&told, port);
    CHECK_OK(remqtt_config_set(config, "protocol_version", "5"));
    CHECK_OK(remqtt_props_add_bytes(props, 0x26, remqtt_bytes_of("k", 1), remqtt_bytes_of("v", 1)));
    CHECK_OK(remqtt_config_set_connect_props(config, props));
    remqtt_client *client = client_of(config);
    int socket;
    CHECK(CONTAINS(peer_accept_connect(listener, &socket), "\x26\0\1k\0\1v"));
    PEER_SEND(socket, 0x20, 7, 0, 0, 4, 0x1F, 0, 1, 'c'); /* CONNACK with a reason string */
    PEER_SEND(socket, 0x30, 12, 0, 1, 'e', 7, 0x26, 0, 1, 'k', 0, 1, 'v', 'x');
    CHECK_WAIT(&told.messages, 1);

    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    options.props = props;
    options.done = on_done;
    options.user = &told;
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a"), remqtt_bytes_of("x", 1), &options, NULL));
    remqtt_props_free(props);
    CHECK(CONTAINS(peer_read(socket), "\x26\0\1k\0\1v"));
    PEER_SEND(socket, 0x40, 8, 0, 1, 0x10, 4, 0x1F, 0, 1, 'w'); /* PUBACK: nobody subscribes */
    CHECK_WAIT(&told.done, 1);
    CHECK(told.reason == 0x10 && told.properties == 3);
    finish(client, &told);
    close(socket);
    close(listener);
}

TEST(the_will_goes_with_the_connect)
{
    struct told told = { 0 };
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_config *config = config_of(&told, port);
    CHECK_OK(remqtt_config_set_will(config, remqtt_str_of("w"), remqtt_bytes_of("gone", 4), 1, 1, NULL));
    remqtt_client *client = client_of(config);
    int socket;
    struct packet connect = peer_accept_connect(listener, &socket);
    CHECK((connect.body[7] & 0x3C) == 0x2C); /* a will, QoS 1, retained */
    CHECK(CONTAINS(connect, "\0\1w\0\4gone"));
    finish(client, &told);
    close(socket);
    close(listener);
}

TEST(the_next_server_is_tried_where_one_refuses)
{
    struct told told = { 0 };
    struct server server = { 0 };
    char url[64];
    uint16_t nobody;
    close(peer_listen(&nobody));
    server_start(&server);
    remqtt_config *config = config_of(&told, nobody);
    snprintf(url, sizeof url, "mqtt://127.0.0.1:%u", server.port);
    CHECK_OK(remqtt_config_add_server(config, url));
    remqtt_client *client = client_of(config);
    CHECK_WAIT(&told.connected, 1);
    CHECK(told.server == 1);
    finish(client, &told);
    server_stop(&server);
}

TEST(a_proxy_is_asked_for_the_way)
{
    struct told told = { 0 };
    char url[64], request[512] = "";
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_config *config = remqtt_config_new();
    CHECK_OK(remqtt_config_set(config, "detect_within", "0"));
    snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    CHECK_OK(remqtt_config_set(config, "proxy", url));
    CHECK_OK(remqtt_config_set(config, "protocol_version", "4"));
    CHECK_OK(remqtt_config_add_server(config, "mqtt://broker.invalid:1234"));
    CHECK_OK(remqtt_config_on_state(config, on_state, &told, NULL));
    remqtt_client *client = client_of(config);
    int socket = peer_accept(listener);
    for (size_t length = 0; length + 1 < sizeof request && !strstr(request, "\r\n\r\n"); length++) {
        CHECK(recv(socket, request + length, 1, 0) == 1);
    }
    CHECK(strstr(request, "CONNECT broker.invalid:1234 HTTP/1.1\r\n") == request);
    const char *answer = "HTTP/1.1 200 OK\r\n\r\n";
    peer_send(socket, answer, strlen(answer));
    peer_expect(socket, 1);
    PEER_SEND(socket, 0x20, 2, 0, 0);
    CHECK_WAIT(&told.connected, 1);
    finish(client, &told);
    close(socket);
    close(listener);
}

static remqtt_config *stored(struct told *told, uint16_t port, const char *name)
{
    char path[64];
    remqtt_config *config = config_of(told, port);
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    CHECK_OK(remqtt_config_set(config, "store", path));
    return config;
}

TEST(a_publish_is_as_durable_as_its_level_says)
{
    struct told told = { 0 };
    size_t count = 0;
    remqtt_client *client = NULL, *forgetful = NULL;
    remqtt_token token, left;
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_config *config = stored(&told, 1, "levels"), *without = config_for(1);
    CHECK_OK(remqtt_client_new(config, &client));
    CHECK_OK(remqtt_client_new(without, &forgetful));
    const remqtt_str topic = remqtt_str_of("a");
    const remqtt_bytes payload = remqtt_bytes_of("x", 1);
    options.qos = 1;
    options.level = REMQTT_LEVEL_MEMORY;
    CHECK_OK(remqtt_client_publish(client, topic, payload, &options, NULL));
    options.level = REMQTT_LEVEL_STORED;
    CHECK_OK(remqtt_client_publish(client, topic, payload, &options, &left));
    CHECK_STATUS(remqtt_client_publish(forgetful, topic, payload, &options, NULL), REMQTT_E_INVALID_ARGUMENT);
    options.level = REMQTT_LEVEL_FSYNCED;
    CHECK_OK(remqtt_client_publish(client, topic, payload, &options, &token));
    CHECK_OK(remqtt_client_wait(client, token, MINUTE_MS)); /* complete, and no server was ever asked */
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    CHECK_OK(remqtt_client_new(config, &client));
    CHECK_OK(remqtt_client_pending(client, &token, 1, &count));
    CHECK(count == 2 && token == left); /* the stored and the fsynced one */
    remqtt_config_free(config);
    remqtt_config_free(without);
    CHECK_OK(remqtt_client_close(forgetful, 0));
    remqtt_client_free(forgetful);
    finish(client, &told);
}

TEST(a_stored_message_keeps_its_token_for_the_next_process)
{
    struct told told = { 0 }, again = { 0 };
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_client *client = NULL;
    remqtt_config *config = stored(&told, port, "tokens");
    CHECK_OK(remqtt_config_set(config, "acknowledge", "stored"));
    CHECK_OK(remqtt_config_set(config, "manual_ack", "true"));
    client = client_of(config);
    int socket = peer_accept_client(listener, 0);
    PEER_SEND(socket, 0x32, 6, 0, 1, 'e', 0, 7, 'x');
    peer_expect(socket, 4); /* PUBACK: it is durable, and the application has not finished with it */
    CHECK_WAIT(&told.messages, 1);
    CHECK(told.token[0] && !(told.flags & REMQTT_FLAG_REDELIVERED));
    finish(client, &told);
    close(socket);

    config = stored(&again, port, "tokens");
    CHECK_OK(remqtt_config_set(config, "acknowledge", "stored"));
    client = client_of(config);
    CHECK_WAIT(&again.messages, 1);
    CHECK((again.flags & REMQTT_FLAG_REDELIVERED) && !strcmp(again.token, told.token));
    finish(client, &again);
    close(listener);
}

TEST(with_manual_ack_a_message_waits_for_its_acknowledgement)
{
    struct told told = { 0 };
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_config *config = config_of(&told, port);
    CHECK_OK(remqtt_config_set(config, "manual_ack", "true"));
    remqtt_client *client = client_of(config);
    int socket = peer_accept_client(listener, 0);
    PEER_SEND(socket, 0x32, 6, 0, 1, 'e', 0, 7, 'x');
    CHECK_WAIT(&told.messages, 1);
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a"), remqtt_bytes_of("", 0), NULL, NULL));
    peer_expect(socket, 3); /* the callback has returned, and no PUBACK came */
    CHECK_OK(remqtt_message_ack(told.kept, 0));
    peer_expect(socket, 4);
    finish(client, &told);
    close(socket);
    close(listener);
}

/* A client that has ten minutes to wait for its next attempt. */
static remqtt_client *waiting_client(struct told *told, uint16_t port)
{
    remqtt_config *config = config_of(told, port);
    CHECK_OK(remqtt_config_set_reconnect(config, 600000, 600000));
    return client_of(config);
}

TEST(reconnect_now_ends_a_wait_that_the_server_asked_for)
{
    struct told told = { 0 };
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_client *client = waiting_client(&told, port);
    int socket = peer_accept(listener);
    peer_expect(socket, 1);
    PEER_SEND(socket, 0x20, 2, 0, 3); /* server unavailable */
    CHECK_WAIT(&told.waiting, 1);
    CHECK(told.delay_ms > 2 * MINUTE_MS);
    close(socket);
    CHECK_OK(remqtt_client_network_changed(client)); /* not for the way: the wait goes on */
    CHECK_OK(remqtt_client_reconnect_now(client));
    socket = peer_accept_client(listener, 0);
    CHECK_WAIT(&told.connected, 1);
    CHECK(atomic_load(&told.connecting) == 2);
    finish(client, &told);
    close(socket);
    close(listener);
}

TEST(network_changed_ends_a_wait_for_the_way)
{
    struct told told = { 0 };
    uint16_t nobody;
    close(peer_listen(&nobody));
    remqtt_client *client = waiting_client(&told, nobody);
    CHECK_WAIT(&told.waiting, 1);
    CHECK(told.delay_ms > 2 * MINUTE_MS && atomic_load(&told.connecting) == 1);
    CHECK_OK(remqtt_client_network_changed(client));
    CHECK_WAIT(&told.connecting, 2);
    finish(client, &told);
}

/* Dispatches whenever the descriptor says so, until there were so many connections. */
static void dispatch_until_connected(remqtt_client *client, struct told *told, int descriptor, unsigned connections)
{
    struct pollfd ready = { descriptor, POLLIN, 0 };
    while (atomic_load(&told->connected) < connections) {
        CHECK(poll(&ready, 1, MINUTE_MS) == 1);
        CHECK(remqtt_client_dispatch(client, 0, 0) >= 0);
    }
}

TEST(in_poll_mode_one_descriptor_serves_all_connections)
{
    struct told told = { 0 };
    struct server server = { 0 };
    server_start(&server);
    remqtt_config *config = config_of(&told, server.port);
    CHECK_OK(remqtt_config_set(config, "dispatch", "poll"));
    remqtt_client *client = client_of(config);
    int descriptor = remqtt_client_event_fd(client);
    for (unsigned connection = 1; connection <= 3; connection++) {
        dispatch_until_connected(client, &told, descriptor, connection);
        CHECK(remqtt_client_event_fd(client) == descriptor);
        server_reset(&server);
    }
    finish(client, &told);
    server_stop(&server);
}

TEST(an_outage_is_counted_and_told)
{
    struct told told = { 0 };
    struct server server = { 0 };
    char line[512] = "";
    uint64_t value = 0;
    remqtt_stats stats = REMQTT_STATS_INIT;
    remqtt_outage outage = REMQTT_OUTAGE_INIT;
    server_start(&server);
    remqtt_config *config = config_of(&told, server.port);
    CHECK_OK(remqtt_config_on_recovered(config, on_recovered, &told, NULL));
    remqtt_client *client = client_of(config);
    CHECK_WAIT(&told.connected, 1);
    shutdown(atomic_load(&server.socket), SHUT_RDWR);
    CHECK_WAIT(&told.recovered, 1);
    CHECK_OK(remqtt_client_stats(client, &stats));
    CHECK(stats.outages == 1 && stats.connections == 2);
    for (size_t index = 0; remqtt_stat_name(index); index++) {
        if (!strcmp(remqtt_stat_name(index), "connections")) {
            CHECK_OK(remqtt_client_stat(client, index, &value));
        }
    }
    CHECK(value == 2 && remqtt_client_outage_count(client) == 1);
    CHECK_OK(remqtt_client_outage(client, 0, &outage));
    CHECK(outage.cause == REMQTT_E_CONNECTION_LOST && outage.signal == REMQTT_SIGNAL_END && outage.attempts >= 1);
    CHECK(!strcmp(remqtt_mark_name(REMQTT_MARK_CONNACK), "Connack") && outage.marks_ns[REMQTT_MARK_CONNACK] >= 0);
    CHECK(remqtt_client_outage_text(client, 0, line, sizeof line) > 20 && line[20]);
    finish(client, &told);
    server_stop(&server);
}

TEST(what_is_passed_in_is_copied_before_the_call_returns)
{
    struct told told = { 0 };
    char topic[] = "topic", payload[] = "payload", key[] = "manual_ack", value[] = "true", id[] = "name";
    char will[] = "will", user[] = "user", filter[] = "filter", url[64];
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_config *config = remqtt_config_new();
    remqtt_client *client = NULL;
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    snprintf(url, sizeof url, "mqtt://127.0.0.1:%u", port);
    CHECK_OK(remqtt_config_add_server(config, url));
    CHECK_OK(remqtt_config_set(config, "protocol_version", "4"));
    CHECK_OK(remqtt_config_set(config, "detect_within", "0"));
    CHECK_OK(remqtt_config_set(config, key, value));
    CHECK_OK(remqtt_config_set_client_id(config, id, strlen(id)));
    CHECK_OK(remqtt_config_set_will(config, remqtt_str_of(will), remqtt_bytes_of(will, 4), 0, 0, NULL));
    CHECK_OK(remqtt_config_set_credentials(config, remqtt_str_of(user), remqtt_bytes_of(user, 4)));
    CHECK_OK(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    wish.filter = remqtt_str_of(filter);
    options.qos = 1;
    CHECK_OK(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of(topic), remqtt_bytes_of(payload, 7), &options, NULL));
    char *const passed[] = { topic, payload, key, value, id, will, user, filter, url };
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        memset(passed[i], '#', strlen(passed[i]));
    }
    memset(&options, 0xFF, sizeof options);
    memset(&wish, 0xFF, sizeof wish);
    CHECK_OK(remqtt_client_start(client));
    int socket = peer_accept(listener);
    CHECK(CONTAINS(peer_read(socket), "\0\4name\0\4will\0\4will\0\4user\0\4user"));
    PEER_SEND(socket, 0x20, 2, 0, 0);
    struct packet first = peer_read(socket), second = peer_read(socket);
    struct packet subscribe = first.first == 0x82 ? first : second, publish = first.first == 0x82 ? second : first;
    CHECK(CONTAINS(subscribe, "\0\6filter"));
    CHECK(publish.first == 0x32 && publish.length == 16 && !memcmp(publish.body, "\0\5topic", 7));
    CHECK(!memcmp(publish.body + 9, "payload", 7)); /* after the identifier */
    free(publish.body);
    finish(client, &told);
    close(socket);
    close(listener);
}
