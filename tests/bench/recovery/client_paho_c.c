/* bench-recovery: paho.mqtt.c, its asynchronous client with automatic reconnection.
 * best: waits of 1 s at most, keep alive 5 s, connect timeout 2 s, an explicit receive maximum on MQTT 5. */
#include "client.h"

#include <MQTTAsync.h>

static arguments given;

static void on_subscribed(void *context, MQTTAsync_successData *response)
{
    (void)context, (void)response;
    say("subscribed");
}

static void on_subscribed5(void *context, MQTTAsync_successData5 *response)
{
    (void)context, (void)response;
    say("subscribed");
}

/* It does not tell here whether the session was kept, so a program subscribes each time. */
static void on_connected(void *context, char *cause)
{
    MQTTAsync client = context;
    (void)cause;
    say("up");
    for (int i = 0; i < given.filters; i++) {
        char filter[160];
        MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
        filter_of(&given, i, filter, sizeof filter);
        if (given.version == 5)
            options.onSuccess5 = on_subscribed5;
        else
            options.onSuccess = on_subscribed;
        options.context = client;
        options.subscribeOptions.retainHandling = 1;
        MQTTAsync_subscribe(client, filter, given.qos, &options);
    }
}

static void on_lost(void *context, char *cause)
{
    (void)context, (void)cause;
    say("down");
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message)
{
    (void)context, (void)length;
    say_message(message->payload, (size_t)message->payloadlen, message->retained);
    stall(&given);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void on_failure(void *context, MQTTAsync_failureData *response)
{
    (void)context, (void)response;
    say("failed");
}

static void add_number(MQTTProperties *to, enum MQTTPropertyCodes code, unsigned value)
{
    MQTTProperty property = {.identifier = code};
    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM)
        property.value.integer2 = (unsigned short)value;
    else
        property.value.integer4 = value;
    MQTTProperties_add(to, &property);
}

static void open_client(int number)
{
    char url[200], id[80];
    MQTTAsync client;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_createOptions how = MQTTAsync_createOptions_initializer;
    snprintf(url, sizeof url, "%s://%s:%d", *given.ca ? "ssl" : "tcp", given.host, given.port);
    id_of(&given, number, id, sizeof id);
    how.MQTTVersion = given.version == 5 ? MQTTVERSION_5 : MQTTVERSION_DEFAULT;
    int code = MQTTAsync_createWithOptions(&client, url, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &how);
    if (code)
        fail("create", code);
    MQTTAsync_setCallbacks(client, client, on_lost, on_message, NULL);
    MQTTAsync_setConnected(client, client, on_connected);
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
    if (given.version == 5) {
        options = options5;
        options.cleanstart = 0;
        add_number(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, 3600);
        if (best(&given))
            add_number(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, 65535);
        options.connectProperties = &properties;
    } else {
        options.cleansession = 0;
        options.onFailure = on_failure;
    }
    options.context = client;
    options.automaticReconnect = 1;
    if (best(&given)) {
        options.minRetryInterval = options.maxRetryInterval = 1;
        options.keepAliveInterval = 5;
        options.connectTimeout = 2;
    }
    if (*given.ca) {
        tls.trustStore = given.ca;
        tls.verify = 1;
        options.ssl = &tls;
    }
    code = MQTTAsync_connect(client, &options);
    if (code)
        fail("connect", code);
}

int main(int argc, char **argv)
{
    run(argc, argv, &given, open_client);
}
