/* What the C programs that are killed have in common: CHILD ROLE PORT FILE NAME FIRST [drain]. They say what they have
 * accepted (publishers) or handled (subscribers), a line each. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WINDOW 20

static inline void say(const char *text, size_t length, const char *more)
{
    char line[128];
    int count = snprintf(line, sizeof line, "%.*s%s\n", (int)length, text, more);
    if (write(1, line, (size_t)count) != count) {
        _exit(1);
    }
}

static inline void pause_ms(long ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

static inline void fail(const char *what, int code)
{
    fprintf(stderr, "%s: %d\n", what, code);
    _exit(1);
}
