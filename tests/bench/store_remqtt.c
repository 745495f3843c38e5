/* How fast publishes are accepted: store_remqtt LEVEL FILE COUNT SIZE. LEVEL is memory (no file), stored, fsynced, or
 * open: makes a file with COUNT publishes and times the next client's opening it. No server is needed. */
#include "store.h"

#include <semaphore.h>

#include <remqtt/remqtt.h>

#define WINDOW 1000

static sem_t window;

static void check(remqtt_status status, const char *what)
{
    if (status != REMQTT_OK)
        fail(what, status);
}

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    (void)user, (void)client;
    check(result->status, "publish");
    sem_post(&window);
}

static remqtt_client *make(const char *file)
{
    remqtt_config *config = remqtt_config_new();
    check(remqtt_config_add_server(config, "mqtt://127.0.0.1:1"), "server");
    check(remqtt_config_set(config, "client_id", "bench-store"), "client id");
    check(remqtt_config_set(config, "store", file), "store");
    remqtt_client *client = NULL;
    check(remqtt_client_new(config, &client), "client");
    remqtt_config_free(config);
    return client;
}

static void publish(remqtt_client *client, int level, long count, size_t size)
{
    char *payload = calloc(1, size);
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    options.level = (uint8_t)level;
    options.done = level == REMQTT_LEVEL_FSYNCED ? on_done : NULL;
    for (long i = 0; i < count; i++) {
        if (options.done)
            sem_wait(&window);
        check(remqtt_client_publish(client, remqtt_str_of("bench/store"), remqtt_bytes_of(payload, size), &options,
                                    NULL),
              "publish");
    }
    for (int i = 0; options.done && i < WINDOW; i++)
        sem_wait(&window);
    free(payload);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    const char *mode = argv[1];
    int level = !strcmp(mode, "memory") ? 0 : !strcmp(mode, "stored") ? REMQTT_LEVEL_STORED : REMQTT_LEVEL_FSYNCED;
    long count = atol(argv[3]);
    sem_init(&window, 0, WINDOW);
    remqtt_client *client = make(level ? argv[2] : "");
    unsigned long long before = written();
    double start = wall();
    publish(client, level, count, (size_t)atol(argv[4]));
    double end = wall();
    check(remqtt_client_sync(client, 600000), "sync");
    unsigned long long bytes = written() - before;
    remqtt_client_close(client, 0); /* nobody takes what was published */
    remqtt_client_free(client);
    if (!strcmp(mode, "open")) {
        start = wall();
        client = make(argv[2]);
        end = wall();
        remqtt_client_close(client, 0); /* nobody takes what was published */
        remqtt_client_free(client);
    }
    accepted(count, end - start, bytes);
    return 0;
}
