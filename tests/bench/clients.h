/* clients_*: N connected clients in one process, and what they cost. */
#ifndef CLIENTS_H
#define CLIENTS_H

#include "bench.h"

#include <stdatomic.h>

/* Counted by the connect callbacks, and when the last of them came. */
static atomic_int connected;
static _Atomic double connected_at;

static inline void count_connected(void)
{
    atomic_store(&connected_at, wall());
    atomic_fetch_add(&connected, 1);
}

static inline void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* A number of a file in /proc/self, in its own unit; -1 if there is none. */
static inline long number_in(const char *path, const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            value = strtol(line + strlen(name) + 1, NULL, 10);
    fclose(file);
    return value;
}

static inline long status_of(const char *name) { return number_in("/proc/self/status", name); }

/* Waits until `wanted` clients are connected, or nothing has come for ten seconds. */
static inline void await_connected(int wanted)
{
    double quiet = wall();
    for (int before = -1; atomic_load(&connected) < wanted && wall() - quiet < 10; nap(0.02))
        if (atomic_load(&connected) != before)
            before = atomic_load(&connected), quiet = wall();
}

/* Lets everything settle, watches idle seconds, prints the line. `before` is VmRSS with no client; `argument` says how
 * many idle seconds, ten if NULL. */
static inline void tell(int wanted, long before, const char *argument)
{
    double seconds = argument ? atof(argument) : 10;
    await_connected(wanted);
    double connecting = cpu();
    nap(seconds * 0.3);
    double start = cpu(), started = wall();
    nap(seconds);
    double idle = (cpu() - start) / (wall() - started);
    printf("{\"connected\": %d, \"threads\": %ld, \"rss_kib\": %ld, \"idle_cpu\": %.6f, \"at\": %.6f, "
           "\"connecting_cpu\": %.6f, \"whole_rss_kib\": %ld, \"private_kib\": %ld}\n",
           atomic_load(&connected), status_of("Threads"), status_of("VmRSS") - before, idle,
           atomic_load(&connected_at), connecting, status_of("VmRSS"),
           number_in("/proc/self/smaps_rollup", "Private_Dirty"));
    fflush(stdout);
}

#endif
