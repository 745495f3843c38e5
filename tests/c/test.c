#define _XOPEN_SOURCE 700
#include "test.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test *tests, **end = &tests;
static atomic_uint failures, refusals;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void test_register(struct test *test)
{
    *end = test;
    end = &test->next;
}

void test_fail(const char *file, int line, const char *what)
{
    atomic_fetch_add(&failures, 1);
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
}

void test_status(const char *file, int line, const char *what, remqtt_status got, remqtt_status wanted)
{
    char text[256] = "";
    if (got == wanted) {
        atomic_fetch_add(&refusals, wanted < 0);
        return;
    }
    test_fail(file, line, what);
    remqtt_last_error(text, sizeof text);
    fprintf(stderr, "    wanted %s, got %s (last error: %s)\n", remqtt_status_name(wanted),
            remqtt_status_name(got), text);
}

static char folder[] = "/tmp/remqtt-test-XXXXXX"; /* short: a Unix socket must fit below it */
static int has_folder;

const char *test_folder(void)
{
    if (!has_folder) {
        has_folder = mkdtemp(folder) != NULL;
        CHECK(has_folder);
    }
    return folder;
}

static int forget(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void event_add(atomic_uint *count, unsigned n)
{
    pthread_mutex_lock(&lock);
    atomic_fetch_add(count, n);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

int event_wait(atomic_uint *count, unsigned at_least)
{
    struct timespec deadline;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += MINUTE_MS / 1000;
    pthread_mutex_lock(&lock);
    while (atomic_load(count) < at_least && !late) {
        late = pthread_cond_timedwait(&changed, &lock, &deadline);
    }
    pthread_mutex_unlock(&lock);
    return atomic_load(count) >= at_least;
}

static int is_wanted(const struct test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(test->name, argv[i])) {
            return 1;
        }
    }
    return argc < 2;
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    unsigned passed = 0, failed = 0;
    for (struct test *test = tests; test; test = test->next) {
        if (!is_wanted(test, argc, argv)) {
            continue;
        }
        unsigned before = atomic_load(&failures);
        test->run();
        int ok = atomic_load(&failures) == before;
        printf("%s %s\n", ok ? "ok    " : "FAILED", test->name);
        fflush(stdout);
        passed += (unsigned)ok;
        failed += (unsigned)!ok;
    }
    /* Nothing of the library is left behind: no client, no thread, no byte. */
    if (remqtt_wind_down(MINUTE_MS) != REMQTT_OK) {
        printf("FAILED the_library_winds_down\n");
        failed++;
    }
    if (has_folder) {
        nftw(folder, forget, 8, FTW_DEPTH | FTW_PHYS);
    }
    printf("%s: %u passed, %u failed; %u calls that had to fail did\n", name ? name + 1 : argv[0], passed, failed,
           atomic_load(&refusals));
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
