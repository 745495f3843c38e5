/* clients_*: N connected clients in one process, and what they cost. */
#ifndef CLIENTS_H
#define CLIENTS_H

#include "bench.h"

#include <stdatomic.h>

/* Counted by the connect callbacks. */
static atomic_int connected;

static inline void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* A number of /proc/self/status, in its own unit; -1 if there is none. */
static inline long status_of(const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file)
        return -1;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            value = strtol(line + strlen(name) + 1, NULL, 10);
    fclose(file);
    return value;
}

/* Waits until `wanted` clients are connected, or nothing has come for ten seconds. */
static inline void await_connected(int wanted)
{
    double quiet = wall();
    for (int before = -1; atomic_load(&connected) < wanted && wall() - quiet < 10; nap(0.02))
        if (atomic_load(&connected) != before)
            before = atomic_load(&connected), quiet = wall();
}

/* Lets everything settle, watches ten idle seconds, prints the line. `before` is VmRSS with no client. */
static inline void tell(int wanted, long before)
{
    await_connected(wanted);
    nap(3);
    double start = cpu(), started = wall();
    nap(10);
    double idle = (cpu() - start) / (wall() - started);
    printf("{\"connected\": %d, \"threads\": %ld, \"rss_kib\": %ld, \"idle_cpu\": %.6f}\n", atomic_load(&connected),
           status_of("Threads"), status_of("VmRSS") - before, idle);
    fflush(stdout);
}

#endif
