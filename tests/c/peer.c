#define _GNU_SOURCE /* accept4 */
#include "peer.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

int peer_listen(uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0);
    CHECK(listen(listener, 16) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    *port = ntohs(address.sin_port);
    return listener;
}

int peer_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static int read_all(int socket, uint8_t *into, size_t length)
{
    while (length) {
        ssize_t n = recv(socket, into, length, 0);
        if (n <= 0) {
            return 0;
        }
        into += n;
        length -= (size_t)n;
    }
    return 1;
}

struct packet peer_read(int socket)
{
    struct packet packet = { 0, 0, NULL };
    uint8_t byte, first;
    unsigned shift = 0;
    if (!read_all(socket, &first, 1)) {
        return packet;
    }
    do {
        if (!read_all(socket, &byte, 1)) {
            return packet;
        }
        packet.length |= (size_t)(byte & 127) << shift;
        shift += 7;
    } while (byte & 128);
    packet.body = malloc(packet.length + 1);
    packet.first = packet.body && read_all(socket, packet.body, packet.length) ? first : 0;
    return packet;
}

void peer_expect(int socket, uint8_t type)
{
    struct packet packet = peer_read(socket);
    if (packet.first >> 4 != type) {
        fprintf(stderr, "wanted a packet of type %u, got %u\n", type, packet.first >> 4);
        test_fail(__FILE__, __LINE__, "the packet that was wanted came");
    }
    free(packet.body);
}

void peer_send(int socket, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length) {
        ssize_t n = send(socket, at, length, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        at += n;
        length -= (size_t)n;
    }
}

struct packet peer_accept_connect(int listener, int *socket)
{
    struct packet connect = { 0, 0, NULL };
    while (connect.first == 0 && (*socket = peer_accept(listener)) >= 0) {
        connect = peer_read(*socket);
        if (connect.first == 0) {
            free(connect.body);
            close(*socket);
        }
    }
    CHECK(connect.first == 0x10);
    return connect;
}

int peer_accept_client(int listener, int session_present)
{
    int socket;
    free(peer_accept_connect(listener, &socket).body);
    PEER_SEND(socket, 0x20, 2, (uint8_t)session_present, 0);
    return socket;
}

/* However it is closed from now on, that resets it. */
static void end_with_reset(int socket)
{
    struct linger now = { 1, 0 };
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void peer_reset(int socket)
{
    end_with_reset(socket);
    close(socket);
}

static void echo(int socket, unsigned count, int gaps)
{
    for (unsigned n = 1; n <= count; n++) {
        uint8_t first = gaps ? (uint8_t)('0' + 2 * n) : 'h';
        PEER_SEND(socket, 0x32, 7, 0, 1, 'e', (uint8_t)(n >> 8), (uint8_t)n, first, gaps ? ' ' : 'i');
    }
}

/* Answers one packet; 0 when the connection is over. */
static int answer(struct server *server, int socket)
{
    struct packet packet = peer_read(socket);
    const uint8_t *body = packet.body;
    size_t topic;
    switch (packet.first >> 4) {
    case 1:
        event_add(&server->connections, 1);
        if (server->challenges) {
            PEER_SEND(socket, 0xF0, 6, 0x18, 4, 0x15, 0, 1, 'm');
        } else {
            PEER_SEND(socket, 0x20, 2, 0, 0);
        }
        break;
    case 15: PEER_SEND(socket, 0x20, 3, 0, 0, 0); break;
    case 3:
        event_add(&server->publishes, 1);
        if (server->hang_up_on_publish) {
            free(packet.body);
            return 0;
        }
        topic = (size_t)(body[0] << 8 | body[1]);
        if (packet.first & 6) {
            PEER_SEND(socket, packet.first & 4 ? 0x50 : 0x40, 2, body[2 + topic], body[3 + topic]);
        }
        break;
    case 4: event_add(&server->acknowledged, 1); break;
    case 6: PEER_SEND(socket, 0x70, 2, body[0], body[1]); break;
    case 8:
        PEER_SEND(socket, 0x90, 3, body[0], body[1], 1);
        event_add(&server->subscribes, 1);
        echo(socket, server->echo, server->gaps);
        break;
    case 10: PEER_SEND(socket, 0xB0, 2, body[0], body[1]); break;
    case 12: PEER_SEND(socket, 0xD0, 0); break;
    default: break;
    }
    free(packet.body);
    return packet.first != 0 && packet.first >> 4 != 14;
}

static void *serve(void *argument)
{
    struct server *server = argument;
    int socket;
    while ((socket = peer_accept(server->listener)) >= 0) {
        atomic_store(&server->socket, socket);
        while (answer(server, socket)) {
        }
        atomic_store(&server->socket, -1);
        close(socket);
    }
    return NULL;
}

void server_start(struct server *server)
{
    pthread_t thread;
    server->listener = peer_listen(&server->port);
    atomic_store(&server->socket, -1);
    CHECK(pthread_create(&thread, NULL, serve, server) == 0);
    server->thread = thread;
}

void server_stop(struct server *server)
{
    int socket = atomic_load(&server->socket);
    shutdown(server->listener, SHUT_RDWR);
    if (socket >= 0) {
        shutdown(socket, SHUT_RDWR);
    }
    pthread_join(server->thread, NULL);
    close(server->listener);
}

void server_reset(struct server *server)
{
    int socket = atomic_load(&server->socket);
    end_with_reset(socket);
    shutdown(socket, SHUT_RD); /* its thread sees the end, and closes it */
}

struct server *server_new(unsigned echo_count, uint16_t *port)
{
    struct server *server = calloc(1, sizeof *server);
    server->echo = echo_count;
    server_start(server);
    *port = server->port;
    return server;
}

void server_delete(struct server *server)
{
    server_stop(server);
    free(server);
}

remqtt_config *config_for(uint16_t port)
{
    char url[64];
    remqtt_config *config = remqtt_config_new();
    snprintf(url, sizeof url, "mqtt://127.0.0.1:%u", port);
    CHECK_OK(remqtt_config_add_server(config, url));
    CHECK_OK(remqtt_config_set(config, "protocol_version", "4"));
    CHECK_OK(remqtt_config_set(config, "detect_within", "0"));
    CHECK_OK(remqtt_config_set_reconnect(config, 1, 50));
    return config;
}

remqtt_client *client_of(remqtt_config *config)
{
    remqtt_client *client = NULL;
    CHECK_OK(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    CHECK_OK(remqtt_client_start(client));
    return client;
}
