/* What the C clients of bench-recovery share: `key=value` arguments and the lines that the runner reads.
 *
 * A line is `up T`, `down T`, `failed T` (an attempt), `subscribed T`, `message SEQ T`, `retained SEQ T`, or
 * `unknown T` (an option that the library does not have); T is CLOCK_MONOTONIC in nanoseconds. One write each, so that
 * lines of several threads never mix. */
#ifndef RECOVERY_CLIENT_H
#define RECOVERY_CLIENT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    char host[128], id[64], topic[128], profile[32], ca[256], set[256];
    int port, qos, version, filters, count, stall_ms;
} arguments;

static inline long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void line(const char *text, int length)
{
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        _exit(3);
}

static inline void say(const char *what)
{
    char text[64];
    line(text, snprintf(text, sizeof text, "%s %lld\n", what, now_ns()));
}

/* Messages begin with their number, eight bytes, the highest first. */
static inline void say_message(const void *payload, size_t length, int retained)
{
    const unsigned char *bytes = payload;
    unsigned long long number = 0;
    char text[80];
    if (length < 8)
        return;
    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    line(text,
         snprintf(text, sizeof text, "%s %llu %lld\n", retained ? "retained" : "message", number, now_ns()));
}

/* An application that is slow now and then: every hundredth message takes `stall_ms`. */
static inline void stall(const arguments *given)
{
    static int messages;
    if (given->stall_ms && ++messages % 100 == 0)
        usleep((useconds_t)given->stall_ms * 1000);
}

static inline void fail(const char *what, int code)
{
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
}

static inline void copy(char *to, size_t room, const char *value)
{
    if (strlen(value) >= room)
        fail("argument too long", (int)room);
    strcpy(to, value);
}

static inline int best(const arguments *given) { return strcmp(given->profile, "best") == 0; }

/* The number of the filters is part of their names: topic/0, topic/1, ... */
static inline void filter_of(const arguments *given, int number, char *text, size_t room)
{
    if (given->filters <= 1)
        snprintf(text, room, "%s", given->topic);
    else
        snprintf(text, room, "%s/%d", given->topic, number);
}

static inline void id_of(const arguments *given, int number, char *text, size_t room)
{
    if (given->count <= 1)
        snprintf(text, room, "%s", given->id);
    else
        snprintf(text, room, "%s-%d", given->id, number);
}

static inline arguments parse(int argc, char **argv)
{
    arguments given = {.qos = 1, .filters = 1, .count = 1};
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            fail("key=value expected", i);
        *value++ = '\0';
        const char *key = argv[i];
        const struct { const char *key; char *to; size_t room; } texts[] = {
            {"host", given.host, sizeof given.host},          {"id", given.id, sizeof given.id},
            {"topic", given.topic, sizeof given.topic},       {"ca", given.ca, sizeof given.ca},
            {"profile", given.profile, sizeof given.profile}, {"set", given.set, sizeof given.set},
        };
        const struct { const char *key; int *to; } numbers[] = {
            {"port", &given.port},       {"qos", &given.qos},     {"version", &given.version},
            {"filters", &given.filters}, {"count", &given.count}, {"stall", &given.stall_ms},
        };
        for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
            if (strcmp(key, texts[n].key) == 0)
                copy(texts[n].to, texts[n].room, value);
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
            if (strcmp(key, numbers[n].key) == 0)
                *numbers[n].to = atoi(value);
    }
    return given;
}

/* A client's main(): its arguments, as many clients as they ask for, and then whatever comes. */
static inline void run(int argc, char **argv, arguments *given, void (*open_client)(int number))
{
    *given = parse(argc, argv);
    for (int i = 0; i < given->count; i++)
        open_client(i);
    for (;;)
        pause();
}

#endif
