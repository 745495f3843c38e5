/* What the C programs of the benchmarks share. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static inline double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double wall(void) { return seconds_of(CLOCK_MONOTONIC); }
static inline double cpu(void) { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

static inline uint64_t number_of(const void *payload)
{
    const uint8_t *bytes = payload;
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

static inline void fail(const char *what, int code)
{
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
}

/* drain_*: what there is to tell. */
static inline void drained(uint64_t messages, double start, double start_cpu, double end, double end_cpu)
{
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n", (unsigned long long)messages,
           end - start, end_cpu - start_cpu);
}

#endif
