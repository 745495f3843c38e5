/* What the programs of bench-store share. */
#include "bench.h"

/* Bytes that this process made the system write to disks so far. */
static inline unsigned long long written(void)
{
    char line[100];
    unsigned long long bytes = 0;
    FILE *io = fopen("/proc/self/io", "r");
    while (io && fgets(line, sizeof line, io))
        sscanf(line, "write_bytes: %llu", &bytes);
    if (io)
        fclose(io);
    return bytes;
}

/* One line of what there is to tell. */
static inline void accepted(long messages, double seconds, unsigned long long bytes)
{
    printf("{\"messages\": %ld, \"seconds\": %.6f, \"written\": %llu}\n", messages, seconds, bytes);
    fflush(stdout);
}
