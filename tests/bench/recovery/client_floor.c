/* bench-recovery: the floor. Bare system calls and packets by hand, no policy: a closed connection is dialled again
 * at once, a refused one 5 ms later, which leaves the processor to others. What it needs is all that kernels and
 * broker need. It has no TLS, and notices no silence, unless the profile says so:
 *
 *     single   after 0.5 s of silence one blocking connect(), what a client without hedging can do at best
 *     hedge    after 0.5 s of silence a new SYN every 250 ms; the first that completes sends CONNECT
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

enum { SILENCE_MS = 500, SPACING_MS = 250, HEDGES = 256, ROOM = 1 << 18 };

static arguments given;
static unsigned char input[ROOM], output[ROOM];
static size_t filled, pending;
static unsigned char released[65536]; /* QoS 2 identifiers that wait for PUBREL: not delivered again */

static void put(const void *bytes, size_t length)
{
    if (pending + length > ROOM)
        fail("output", (int)length);
    memcpy(output + pending, bytes, length);
    pending += length;
}

static void put_head(int type, size_t length)
{
    unsigned char head[5] = {(unsigned char)type};
    size_t at = 1;
    do {
        head[at] = length & 127;
        length >>= 7;
        head[at++] |= length ? 128 : 0;
    } while (length);
    put(head, at);
}

static void put_text(const char *text)
{
    size_t length = strlen(text);
    put((unsigned char[]){(unsigned char)(length >> 8), (unsigned char)length}, 2);
    put(text, length);
}

static void put_connect(void)
{
    int five = given.version == 5;
    put_head(0x10, 10 + (five ? 9 : 0) + 2 + strlen(given.id));
    put_text("MQTT");
    put((unsigned char[]){five ? 5 : 4, 0, 0, 0}, 4);
    if (five) /* session expiry 3600 s, receive maximum 65535 */
        put((unsigned char[]){8, 0x11, 0, 0, 0x0e, 0x10, 0x21, 0xff, 0xff}, 9);
    put_text(given.id);
}

/* On MQTT 5 retain handling 1 is right for kept and lost sessions alike, so it goes with the CONNECT. */
static void put_subscribe(void)
{
    int five = given.version == 5;
    size_t length = 2 + (five ? 1 : 0);
    char filter[160];
    for (int i = 0; i < given.filters; i++) {
        filter_of(&given, i, filter, sizeof filter);
        length += 3 + strlen(filter);
    }
    put_head(0x82, length);
    put((unsigned char[]){0, 1, 0}, five ? 3 : 2);
    for (int i = 0; i < given.filters; i++) {
        filter_of(&given, i, filter, sizeof filter);
        put_text(filter);
        put((unsigned char[]){(unsigned char)(given.qos | (five ? 0x10 : 0))}, 1);
    }
}

static int flush(int link)
{
    for (size_t sent = 0; sent < pending;) {
        ssize_t more = send(link, output + sent, pending - sent, MSG_NOSIGNAL);
        if (more <= 0)
            return -1;
        sent += (size_t)more;
    }
    pending = 0;
    return 0;
}

static void on_publish(const unsigned char *packet, const unsigned char *body, const unsigned char *end)
{
    int qos = packet[0] >> 1 & 3;
    const unsigned char *at = body + 2 + (body[0] << 8 | body[1]);
    unsigned id = 0;
    if (qos) {
        id = (unsigned)at[0] << 8 | at[1];
        at += 2;
    }
    if (given.version == 5)
        at += 1 + *at; /* the broker adds none that are long */
    if (qos < 2 || !released[id])
        say_message(at, (size_t)(end - at), packet[0] & 1);
    if (qos == 1)
        put((unsigned char[]){0x40, 2, (unsigned char)(id >> 8), (unsigned char)id}, 4);
    if (qos == 2) {
        released[id] = 1;
        put((unsigned char[]){0x50, 2, (unsigned char)(id >> 8), (unsigned char)id}, 4);
    }
}

static int on_packet(const unsigned char *packet, const unsigned char *body, const unsigned char *end)
{
    switch (packet[0] >> 4) {
    case 2:
        if (body[1] != 0)
            return -1;
        say("up");
        if (!(body[0] & 1)) {
            memset(released, 0, sizeof released);
            if (given.version != 5)
                put_subscribe();
        }
        return 0;
    case 3:
        on_publish(packet, body, end);
        return 0;
    case 6:
        released[body[0] << 8 | body[1]] = 0;
        put((unsigned char[]){0x70, 2, body[0], body[1]}, 4);
        return 0;
    case 9:
        say("subscribed");
        return 0;
    case 14:
        return -1;
    default:
        return 0;
    }
}

/* Takes the whole packets out of `input`. */
static int parse_input(void)
{
    size_t start = 0;
    for (;;) {
        size_t at = start + 1, length = 0;
        int shift = 0, more = 1;
        while (more && at < filled) {
            length |= (size_t)(input[at] & 127) << shift;
            more = input[at++] >> 7;
            shift += 7;
        }
        if (more || at + length > filled)
            break;
        if (on_packet(input + start, input + at, input + at + length) < 0)
            return -1;
        start = at + length;
    }
    memmove(input, input + start, filled - start);
    filled -= start;
    return 0;
}

static int dial(int flags, int *link)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)given.port)};
    inet_pton(AF_INET, given.host, &to.sin_addr);
    *link = socket(AF_INET, SOCK_STREAM | flags, 0);
    setsockopt(*link, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return connect(*link, (struct sockaddr *)&to, sizeof to);
}

static int dial_one(void)
{
    int link;
    if (dial(0, &link) == 0)
        return link;
    close(link);
    say("failed");
    usleep(5000);
    return -1;
}

/* A new SYN every 250 ms; those before it stay in the race. */
static int dial_hedged(void)
{
    struct pollfd racing[HEDGES];
    int count = 0, winner = -1;
    while (winner < 0 && count < HEDGES) {
        int link;
        dial(SOCK_NONBLOCK, &link);
        racing[count++] = (struct pollfd){.fd = link, .events = POLLOUT};
        poll(racing, (nfds_t)count, SPACING_MS);
        for (int i = 0; i < count; i++) {
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(racing[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (racing[i].revents & POLLOUT && !error)
                winner = racing[i].fd;
        }
    }
    for (int i = 0; i < count; i++)
        if (racing[i].fd != winner)
            close(racing[i].fd);
    if (winner >= 0)
        fcntl(winner, F_SETFL, 0);
    return winner;
}

/* One connection, from CONNECT to its end. */
static void serve(int link, int impatient)
{
    filled = pending = 0;
    put_connect();
    if (given.version == 5)
        put_subscribe();
    int alive = flush(link) == 0;
    while (alive) {
        struct pollfd one = {.fd = link, .events = POLLIN};
        if (poll(&one, 1, impatient ? SILENCE_MS : -1) == 0)
            break;
        ssize_t got = recv(link, input + filled, ROOM - filled, 0);
        setsockopt(link, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
        alive = got > 0;
        if (alive) {
            filled += (size_t)got;
            alive = parse_input() == 0 && flush(link) == 0;
        }
    }
    say("down");
    close(link);
}

int main(int argc, char **argv)
{
    given = parse(argc, argv);
    int hedged = strcmp(given.profile, "hedge") == 0;
    int impatient = hedged || strcmp(given.profile, "single") == 0;
    for (;;) {
        int link = hedged ? dial_hedged() : dial_one();
        if (link >= 0)
            serve(link, impatient);
    }
}
