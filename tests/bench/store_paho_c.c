/* How fast paho.mqtt.c accepts publishes into its files: store_paho_c - DIRECTORY COUNT SIZE. It syncs none. */
#include "store.h"

#include <MQTTAsync.h>

static void check(int code, const char *what)
{
    if (code != MQTTASYNC_SUCCESS)
        fail(what, code);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    long count = atol(argv[3]);
    int size = atoi(argv[4]);
    char *payload = calloc(1, (size_t)size);
    MQTTAsync client;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.sendWhileDisconnected = create.allowDisconnectedSendAtAnyTime = 1;
    create.maxBufferedMessages = (int)count + 1;
    check(MQTTAsync_createWithOptions(&client, "tcp://127.0.0.1:1", "bench-store", MQTTCLIENT_PERSISTENCE_DEFAULT, argv[2],
                                      &create),
          "create");
    unsigned long long before = written();
    double start = wall();
    for (long i = 0; i < count; i++)
        check(MQTTAsync_send(client, "bench/store", size, payload, 1, 0, NULL), "send");
    accepted(count, wall() - start, written() - before);
    _exit(0);
}
