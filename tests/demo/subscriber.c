/* The subscriber in C: ./demo-subscriber host port client-id topic qos
 * It prints a line for each event with its time on CLOCK_MONOTONIC, for the demo to read. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <remqtt/remqtt.h>

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    (void)user, (void)client;
    if (event->state == REMQTT_STATE_CONNECTED)
        printf("up %" PRIu64 "\n", now());
    else if (event->was_connected)
        printf("down %" PRIu64 "\n", now());
    else if (event->cause != REMQTT_OK)
        printf("failed %" PRIu64 " %.*s\n", now(), (int)event->text.len, event->text.ptr);
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    uint64_t sequence = 0, stamp = now();
    remqtt_bytes payload = remqtt_message_payload(message);
    (void)user, (void)client;
    for (size_t i = 0; i < 8 && i < payload.len; i++)
        sequence = sequence << 8 | payload.ptr[i];
    printf("message %" PRIu64 " %" PRIu64 "\n", sequence, stamp);
    return 0;
}

static void on_subscribed(void *user, remqtt_client *client, const remqtt_result *result)
{
    (void)user, (void)client;
    if (result->status == REMQTT_OK)
        printf("subscribed %" PRIu64 "\n", now());
}

static void check(remqtt_status status, const char *what)
{
    char why[256];
    if (status == REMQTT_OK)
        return;
    remqtt_last_error(why, sizeof why);
    fprintf(stderr, "%s: %s: %s\n", what, remqtt_status_name(status), why);
    exit(1);
}

int main(int argc, char **argv)
{
    char url[300];
    if (argc != 6)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);

    remqtt_config *config = remqtt_config_new();
    check(remqtt_config_add_server(config, url), "server");
    check(remqtt_config_set(config, "client_id", argv[3]), "client id");
    remqtt_config_on_state(config, on_state, NULL, NULL);
    remqtt_config_on_message(config, on_message, NULL, NULL);
    remqtt_client *client = NULL;
    check(remqtt_client_new(config, &client), "client");
    remqtt_config_free(config);
    check(remqtt_client_start(client), "start");

    remqtt_subscription subscription = REMQTT_SUBSCRIPTION_INIT;
    subscription.filter = remqtt_str_of(argv[4]);
    subscription.qos = (uint8_t)atoi(argv[5]);
    check(remqtt_client_subscribe(client, &subscription, 1, NULL, on_subscribed, NULL, NULL, NULL), "subscribe");
    for (;;)
        pause(); /* Until the demo ends this process. */
}
