/* Drains a queue with libmosquitto: drain_mosquitto host port client-id count */
#include "bench.h"

#include <mosquitto.h>

static uint64_t seen, wanted;
static double end, end_cpu;

static void on_message(struct mosquitto *client, void *user, const struct mosquitto_message *message)
{
    (void)user;
    if (number_of(message->payload) != seen)
        fail("out of order or lost at", (int)seen);
    if (++seen == wanted) {
        end = wall(), end_cpu = cpu();
        mosquitto_disconnect(client);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    wanted = strtoull(argv[4], NULL, 10);
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(argv[3], false, NULL);
    mosquitto_message_callback_set(client, on_message);
    double start = wall(), start_cpu = cpu();
    int code = mosquitto_connect(client, argv[1], atoi(argv[2]), 60);
    if (code)
        fail(mosquitto_strerror(code), code);
    mosquitto_loop_forever(client, -1, 1);
    if (seen != wanted)
        fail("lost", (int)(wanted - seen));
    drained(seen, start, start_cpu, end, end_cpu);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return 0;
}
