/* paho.mqtt.c with its file persistence: what sendMessage calls a success is accepted. See children.h. */
#include "children.h"

#include <MQTTAsync.h>

static volatile int connected;

static void on_connected(void *context, char *cause)
{
    (void)context;
    (void)cause;
    connected = 1;
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message)
{
    (void)context;
    (void)length;
    say(message->payload, (size_t)message->payloadlen, "");
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void must(const char *what, int code)
{
    if (code != MQTTASYNC_SUCCESS) {
        fail(what, code);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        return 2;
    }
    int subscriber = strcmp(argv[1], "subscriber") == 0, drain = argc > 6;
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%s", argv[2]);
    MQTTAsync client;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.sendWhileDisconnected = 1;
    create.allowDisconnectedSendAtAnyTime = 1;
    create.maxBufferedMessages = 1000000;
    must("create",
         MQTTAsync_createWithOptions(&client, url, argv[4], MQTTCLIENT_PERSISTENCE_DEFAULT, argv[3], &create));
    must("callbacks", MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL));
    must("connected", MQTTAsync_setConnected(client, NULL, on_connected));
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    options.cleansession = 0;
    options.automaticReconnect = 1;
    options.minRetryInterval = 1;
    options.maxInflight = 1000;
    must("connect", MQTTAsync_connect(client, &options));
    for (int waited = 0; (subscriber || drain) && !connected; waited++) {
        if (waited == 1000) {
            MQTTAsync_connect(client, &options);
            waited = 0;
        }
        pause_ms(1);
    }
    if (subscriber) {
        char filter[100];
        snprintf(filter, sizeof filter, "%s/#", argv[4]);
        must("subscribe", MQTTAsync_subscribe(client, filter, 2, NULL));
    }
    for (long number = atol(argv[5]); !subscriber && !drain; number += WINDOW) {
        for (long one = number; one < number + WINDOW; one++) {
            char payload[32];
            int length = snprintf(payload, sizeof payload, "%ld", one);
            if (MQTTAsync_send(client, argv[4], length, payload, (int)(1 + one % 2), 0, NULL) == MQTTASYNC_SUCCESS) {
                say(payload, (size_t)length, "");
            }
        }
        pause_ms(2);
    }
    for (;;) {
        pause();
    }
}
