/* Drains a queue with remqtt: drain_remqtt host port client-id count [store] */
#include "bench.h"

#include <semaphore.h>

#include <remqtt/remqtt.h>

static uint64_t seen, wanted;
static double end, end_cpu;
static sem_t done;

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)user, (void)client;
    if (number_of(remqtt_message_payload(message).ptr) != seen)
        fail("out of order or lost at", (int)seen);
    if (++seen == wanted) {
        end = wall(), end_cpu = cpu();
        sem_post(&done);
    }
    return 0;
}

static void check(remqtt_status status, const char *what)
{
    if (status != REMQTT_OK)
        fail(what, status);
}

int main(int argc, char **argv)
{
    char url[300];
    if (argc != 5 && argc != 6)
        return 2;
    wanted = strtoull(argv[4], NULL, 10);
    sem_init(&done, 0, 0);
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    remqtt_config *config = remqtt_config_new();
    check(remqtt_config_add_server(config, url), "server");
    check(remqtt_config_set(config, "client_id", argv[3]), "client id");
    if (argc == 6) {
        check(remqtt_config_set(config, "store", argv[5]), "store");
        check(remqtt_config_set(config, "acknowledge", "stored"), "acknowledge");
    }
    check(remqtt_config_on_message(config, on_message, NULL, NULL), "callback");
    remqtt_client *client = NULL;
    check(remqtt_client_new(config, &client), "client"); /* makes the file of a store: no part of a drain */
    double start = wall(), start_cpu = cpu();
    check(remqtt_client_start(client), "start");
    remqtt_config_free(config);
    sem_wait(&done);
    drained(seen, start, start_cpu, end, end_cpu);
    check(remqtt_client_close(client, 5000), "close");
    remqtt_client_free(client);
    return 0;
}
