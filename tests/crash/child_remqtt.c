/* remqtt: publishes at level fsynced, receives with acknowledge = stored. See children.h. */
#include "children.h"

#include <remqtt/remqtt.h>

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    (void)client;
    char number[32];
    int length = snprintf(number, sizeof number, "%ld", (long)(size_t)user);
    if (result->status == REMQTT_OK) {
        say(number, (size_t)length, "");
    }
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)user;
    (void)client;
    remqtt_bytes payload = remqtt_message_payload(message);
    int again = (remqtt_message_flags(message) & REMQTT_FLAG_REDELIVERED) != 0;
    say((const char *)payload.ptr, payload.len, again ? " again" : "");
    return 0;
}

static void must(const char *what, remqtt_status status)
{
    if (status != REMQTT_OK) {
        char why[300];
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "%s\n", why);
        fail(what, status);
    }
}

static void publish(remqtt_client *client, const char *topic, long number)
{
    char payload[32];
    int length = snprintf(payload, sizeof payload, "%ld", number);
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = (uint8_t)(1 + number % 2);
    options.level = REMQTT_LEVEL_FSYNCED;
    options.done = on_done;
    options.user = (void *)(size_t)number;
    must("publish", remqtt_client_publish(client, remqtt_str_of(topic), remqtt_bytes_of(payload, (size_t)length),
                                          &options, NULL));
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        return 2;
    }
    int subscriber = strcmp(argv[1], "subscriber") == 0, drain = argc > 6;
    char url[64];
    snprintf(url, sizeof url, "mqtt://127.0.0.1:%s", argv[2]);
    remqtt_config *config = remqtt_config_new();
    must("server", remqtt_config_add_server(config, url));
    must("client_id", remqtt_config_set(config, "client_id", argv[4]));
    must("store", remqtt_config_set(config, "store", argv[3]));
    must("version", remqtt_config_set(config, "protocol_version", "4"));
    if (subscriber) {
        must("acknowledge", remqtt_config_set(config, "acknowledge", "stored"));
        must("on_message", remqtt_config_on_message(config, on_message, NULL, NULL));
    }
    remqtt_client *client = NULL;
    must("new", remqtt_client_new(config, &client));
    if (subscriber) {
        remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
        char filter[100];
        snprintf(filter, sizeof filter, "%s/#", argv[4]);
        wish.filter = remqtt_str_of(filter);
        wish.qos = 2;
        must("subscribe", remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    }
    must("start", remqtt_client_start(client));
    for (long number = atol(argv[5]); !subscriber && !drain; number += WINDOW) {
        for (long one = number; one < number + WINDOW; one++) {
            publish(client, argv[4], one);
        }
        pause_ms(2);
    }
    if (drain && !subscriber) {
        must("flush", remqtt_client_flush(client, 60000));
        return 0;
    }
    for (;;) {
        pause();
    }
}
