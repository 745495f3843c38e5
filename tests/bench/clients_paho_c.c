/* clients_paho_c host port count [idle seconds]: paho.mqtt.c, its asynchronous client. */
#include "clients.h"

#include <MQTTAsync.h>

static void on_success(void *context, MQTTAsync_successData *response)
{
    (void)context, (void)response;
    count_connected();
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int count = atoi(argv[3]);
    char url[300];
    snprintf(url, sizeof url, "tcp://%s:%s", argv[1], argv[2]);
    long before = status_of("VmRSS");
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "paho-c-%d", i);
        MQTTAsync client;
        int code = MQTTAsync_create(&client, url, id, MQTTCLIENT_PERSISTENCE_NONE, NULL);
        MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
        options.keepAliveInterval = 60;
        options.automaticReconnect = 1;
        options.onSuccess = on_success;
        if (!code)
            code = MQTTAsync_connect(client, &options);
        if (code)
            fail("paho.mqtt.c", code);
    }
    tell(count, before, argv[4]);
    _exit(0);
}
