/* bench-recovery: libmosquitto. best: keep alive 5 s (its smallest), an explicit receive maximum on MQTT 5. Its
 * delay is 1 s already, and 0 means 1. */
#include "client.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>

static arguments given;

static void subscribe(struct mosquitto *client)
{
    for (int i = 0; i < given.filters; i++) {
        char filter[160];
        filter_of(&given, i, filter, sizeof filter);
        mosquitto_subscribe(client, NULL, filter, given.qos);
    }
}

static void on_connect(struct mosquitto *client, void *user, int code, int flags)
{
    (void)user;
    if (code != 0) {
        say("failed");
        return;
    }
    say("up");
    if (!(flags & 1))
        subscribe(client);
}

static void on_disconnect(struct mosquitto *client, void *user, int code)
{
    (void)client, (void)user, (void)code;
    say("down");
}

static void on_subscribe(struct mosquitto *client, void *user, int mid, int count, const int *granted)
{
    (void)client, (void)user, (void)mid, (void)count, (void)granted;
    say("subscribed");
}

static void on_message(struct mosquitto *client, void *user, const struct mosquitto_message *message)
{
    (void)client, (void)user;
    say_message(message->payload, (size_t)message->payloadlen, message->retain);
    stall(&given);
}

static void open_client(int number)
{
    char id[80];
    mosquitto_property *properties = NULL;
    id_of(&given, number, id, sizeof id);
    struct mosquitto *client = mosquitto_new(id, false, NULL);
    if (given.version == 5) {
        mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
        mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 3600);
        if (best(&given))
            mosquitto_property_add_int16(&properties, MQTT_PROP_RECEIVE_MAXIMUM, 65535);
    }
    if (*given.ca)
        mosquitto_tls_set(client, given.ca, NULL, NULL, NULL, NULL);
    mosquitto_connect_with_flags_callback_set(client, on_connect);
    mosquitto_disconnect_callback_set(client, on_disconnect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_message_callback_set(client, on_message);
    int keepalive = best(&given) ? 5 : 60;
    int code = mosquitto_connect_bind_v5(client, given.host, given.port, keepalive, NULL, properties);
    if (!code)
        code = mosquitto_loop_start(client);
    if (code)
        fail(mosquitto_strerror(code), number);
    mosquitto_property_free_all(&properties);
}

int main(int argc, char **argv)
{
    mosquitto_lib_init();
    run(argc, argv, &given, open_client);
}
