/* A scripted MQTT 3.1.1 server for one connection at a time, and a small one that answers by itself. */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>

#include <remqtt/remqtt.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The server below, for C++, which cannot read the rest. */
struct server *server_new(unsigned echo, uint16_t *port);
void server_delete(struct server *server);

#ifdef __cplusplus
}
#else
#include <stdatomic.h>

struct packet {
    uint8_t first; /* type and flags; 0 when the connection has ended */
    size_t length;
    uint8_t *body; /* malloc'd */
};

/* Listens on a free port of 127.0.0.1. No socket outlives an exec: a broker that inherits one keeps it open. */
int peer_listen(uint16_t *port);
int peer_accept(int listener);
/* Reads a packet; the caller frees its body. */
struct packet peer_read(int socket);
/* Reads a packet, checks its type (high four bits) and forgets it. */
void peer_expect(int socket, uint8_t type);
void peer_send(int socket, const void *bytes, size_t length);
#define PEER_SEND(SOCKET, ...)                                                                               \
    peer_send(SOCKET, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
/* The CONNECT of the next connection that sends one: on a slow machine a client opens a second way to its server, and
 * closes it without a word once the first is answered. */
struct packet peer_accept_connect(int listener, int *socket);
/* Accepts, takes CONNECT, answers CONNACK. */
int peer_accept_client(int listener, int session_present);
/* Closes with RST. */
void peer_reset(int socket);

/* A thread that serves any number of connections, one after the other, until server_stop. */
struct server {
    uint16_t port;
    int listener;
    atomic_int socket;
    unsigned long thread;
    atomic_uint connections, publishes, subscribes;
    unsigned echo; /* on SUBSCRIBE, this many messages of QoS 1 are sent */
    int hang_up_on_publish, gaps; /* each echoed message counts two further: one is missing */
    int challenges; /* speaks MQTT 5 until the CONNACK, which an AUTH comes before */
    atomic_uint acknowledged;
};

void server_start(struct server *server);
void server_stop(struct server *server);
/* Resets the connection of the moment: one that ends in order again and again is a takeover. */
void server_reset(struct server *server);

/* A config for MQTT 3.1.1 and one server on that port, quick to reconnect. However slow the server is to answer, it is
 * not taken for dead, and no second connection is made beside the first. */
remqtt_config *config_for(uint16_t port);
/* A started client of that config, which is freed. */
remqtt_client *client_of(remqtt_config *config);

#endif /* C */
#endif
