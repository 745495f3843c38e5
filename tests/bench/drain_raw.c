/* The floor: reads and acknowledges with bare system calls and knows nothing else of MQTT. What the broker gives to this
 * program is all that it gives. drain_raw host port client-id count [5] */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static uint8_t in[1 << 18], out[1 << 18];
static uint64_t seen, wanted;

static void send_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t sent = write(fd, bytes, length);
        if (sent <= 0)
            fail("write", (int)sent);
        bytes += sent, length -= (size_t)sent;
    }
}

/* MQTT 5 opens the window with an explicit receive maximum; 3.1.1 has no word for it. */
static size_t connect_packet(const char *id, int version)
{
    static const uint8_t properties[] = {8, 0x21, 0xff, 0xff, 0x11, 0, 0, 0x0e, 0x10};
    size_t length = strlen(id), at = 0;
    const uint8_t head[] = {0, 4, 'M', 'Q', 'T', 'T', (uint8_t)version, 0, 0, 60};
    size_t extra = version == 5 ? sizeof properties : 0;
    out[at++] = 0x10;
    out[at++] = (uint8_t)(sizeof head + extra + 2 + length);
    memcpy(out + at, head, sizeof head), at += sizeof head;
    memcpy(out + at, properties, extra), at += extra;
    out[at++] = 0, out[at++] = (uint8_t)length;
    memcpy(out + at, id, length);
    return at + length;
}

/* Walks the whole packets in `in`, writes a PUBACK for each PUBLISH to `out`; returns the bytes used. */
static size_t walk(size_t filled, size_t *acks)
{
    size_t at = 0;
    *acks = 0;
    for (;;) {
        size_t length = 0, head = 1;
        do {
            if (at + head >= filled)
                return at;
            length |= (size_t)(in[at + head] & 127) << 7 * (head - 1);
        } while (in[at + head++] & 128);
        if (at + head + length > filled)
            return at;
        if (in[at] >> 4 == 3) {
            const uint8_t *id = in + at + head + 2 + (in[at + head] << 8 | in[at + head + 1]);
            const uint8_t ack[] = {0x40, 2, id[0], id[1]};
            memcpy(out + *acks, ack, 4), *acks += 4;
            seen++;
        }
        at += head + length;
    }
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    wanted = strtoull(argv[4], NULL, 10);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    double start = wall(), start_cpu = cpu();
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("connect", 1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    send_all(fd, out, connect_packet(argv[3], argc > 5 ? 5 : 4));
    for (size_t filled = 0; seen < wanted;) {
        ssize_t got = read(fd, in + filled, sizeof in - filled);
        if (got <= 0)
            fail("closed after", (int)seen);
        filled += (size_t)got;
        size_t acks, used = walk(filled, &acks);
        send_all(fd, out, acks);
        memmove(in, in + used, filled -= used);
    }
    drained(seen, start, start_cpu, wall(), cpu());
    return 0;
}
