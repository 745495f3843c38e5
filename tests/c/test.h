/* A test program in a page: TEST(name) { CHECK(...); } and one main that runs what its arguments name, or all. */
#ifndef TEST_H
#define TEST_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <remqtt/remqtt.h>

#ifdef __cplusplus
extern "C" {
#endif

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *test);
void test_fail(const char *file, int line, const char *what);

#define TEST(NAME)                                                                                           \
    static void NAME(void);                                                                                  \
    __attribute__((constructor)) static void register_##NAME(void)                                           \
    {                                                                                                        \
        static struct test test = { #NAME, NAME, NULL };                                                     \
        test_register(&test);                                                                                \
    }                                                                                                        \
    static void NAME(void)

/* Notes a failure and goes on. */
#define CHECK(WHAT) ((WHAT) ? (void)0 : test_fail(__FILE__, __LINE__, #WHAT))
/* Notes a failure with the status that came instead. */
#define CHECK_STATUS(CALL, WANTED) test_status(__FILE__, __LINE__, #CALL, CALL, WANTED)
#define CHECK_OK(CALL) CHECK_STATUS(CALL, REMQTT_OK)
/* The folder for what the tests of this program write. It goes when the program ends. */
const char *test_folder(void);
void test_status(const char *file, int line, const char *what, remqtt_status got, remqtt_status wanted);

enum { MINUTE_MS = 60000 };

#ifdef __cplusplus
}
#else
#include <stdatomic.h>
/* Something to wait for. Every wait ends after a minute and is then a failure, however slow the machine is. */
void event_add(atomic_uint *count, unsigned n);
int event_wait(atomic_uint *count, unsigned at_least);
#define CHECK_WAIT(COUNT, AT_LEAST) CHECK(event_wait(COUNT, AT_LEAST))
#endif

#endif
