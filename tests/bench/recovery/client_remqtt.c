/* bench-recovery: remqtt from C, as it comes; `set=key:value` sets an option. */
#include "client.h"

#include <remqtt/remqtt.h>

static arguments given;

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    (void)user, (void)client;
    if (event->state == REMQTT_STATE_CONNECTED)
        say("up");
    else if (event->state == REMQTT_STATE_WAITING || event->state == REMQTT_STATE_STOPPED)
        say(event->was_connected ? "down" : "failed");
    else if (event->prev == REMQTT_STATE_CONNECTED)
        say("down");
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)user, (void)client;
    remqtt_bytes payload = remqtt_message_payload(message);
    say_message(payload.ptr, payload.len, (remqtt_message_flags(message) & REMQTT_FLAG_RETAIN) != 0);
    stall(&given);
    return 0;
}

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    (void)user, (void)client;
    if (result->status == REMQTT_OK)
        say("subscribed");
}

static void check(remqtt_status status, const char *what)
{
    if (status != REMQTT_OK)
        fail(what, status);
}

/* A library that does not know the option yet runs as it comes. */
static void set_option(remqtt_config *config)
{
    char *value = strchr(given.set, ':');
    if (!value)
        return;
    *value = '\0';
    if (remqtt_config_set(config, given.set, value + 1) != REMQTT_OK)
        say("unknown");
    *value = ':';
}

static void open_client(int number)
{
    char url[200], id[80];
    snprintf(url, sizeof url, "%s://%s:%d", *given.ca ? "mqtts" : "mqtt", given.host, given.port);
    id_of(&given, number, id, sizeof id);
    remqtt_config *config = remqtt_config_new();
    remqtt_client *client = NULL;
    check(remqtt_config_add_server(config, url), "server");
    check(remqtt_config_set(config, "client_id", id), "client id");
    if (given.version)
        check(remqtt_config_set(config, "protocol_version", given.version == 5 ? "5" : "4"), "version");
    if (*given.ca)
        check(remqtt_config_set(config, "tls_ca_file", given.ca), "ca");
    set_option(config);
    check(remqtt_config_on_state(config, on_state, NULL, NULL), "callback");
    check(remqtt_config_on_message(config, on_message, NULL, NULL), "callback");
    check(remqtt_client_new(config, &client), "client");
    remqtt_config_free(config);
    remqtt_subscription *wanted = calloc((size_t)given.filters, sizeof *wanted);
    char(*names)[160] = calloc((size_t)given.filters, sizeof *names);
    for (int i = 0; i < given.filters; i++) {
        filter_of(&given, i, names[i], sizeof *names);
        wanted[i] = (remqtt_subscription)REMQTT_SUBSCRIPTION_INIT;
        wanted[i].filter = (remqtt_str){names[i], strlen(names[i])};
        wanted[i].qos = (uint8_t)given.qos;
    }
    check(remqtt_client_start(client), "start");
    check(remqtt_client_subscribe(client, wanted, (size_t)given.filters, NULL, on_done, NULL, NULL, NULL),
          "subscribe");
    free(names);
    free(wanted);
}

int main(int argc, char **argv)
{
    run(argc, argv, &given, open_client);
}
