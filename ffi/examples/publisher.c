/* Publishes numbered messages and rides through outages: what cannot be sent now is queued and sent later.
 *
 *     publisher HOST PORT CLIENT_ID TOPIC QOS [--count N] [--rate N] [--size N]
 *
 * --count N   messages (default 10)        --rate N   messages a second (default: as fast as they are accepted)
 * --size N    bytes each (default 64, at least 8): the message's number from 0, big endian, and zeros
 *
 * Ends when every message was acknowledged, and prints one line of JSON.
 *
 * cc publisher.c -o publisher $(pkg-config --cflags --libs remqtt)
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <remqtt/remqtt.h>

static atomic_ullong published, failed;

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    (void)user;
    (void)client;
    atomic_fetch_add(result->status == REMQTT_OK ? &published : &failed, 1);
    if (result->status != REMQTT_OK) {
        fprintf(stderr, "publisher: message %" PRIu64 ": %s\n", result->token, result->text.ptr);
    }
}

static void must(remqtt_status status)
{
    char why[512];
    if (status != REMQTT_OK) {
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "publisher: %s\n", why);
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void sleep_until(double moment)
{
    double left = moment - now();
    if (left > 0) {
        struct timespec pause = { (time_t)left, (long)((left - (double)(time_t)left) * 1e9) };
        nanosleep(&pause, NULL);
    }
}

/* A full queue is no error but a reason to wait. */
static void publish(remqtt_client *client, remqtt_str topic, remqtt_bytes payload,
                    const remqtt_publish_options *options)
{
    remqtt_status status;
    while ((status = remqtt_client_publish(client, topic, payload, options, NULL)) == REMQTT_E_QUEUE_FULL) {
        sleep_until(now() + 0.01);
    }
    must(status);
}

static unsigned long long number_of(const char *text)
{
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    unsigned long long count = 10, rate = 0, size = 64;
    char url[300];
    if (argc < 6) {
        fprintf(stderr, "usage: publisher HOST PORT CLIENT_ID TOPIC QOS [--count N] [--rate N] [--size N]\n");
        return 2;
    }
    for (int i = 6; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--count")) count = number_of(argv[i + 1]);
        if (!strcmp(argv[i], "--rate")) rate = number_of(argv[i + 1]);
        if (!strcmp(argv[i], "--size")) size = number_of(argv[i + 1]);
    }
    size = size < 8 ? 8 : size;

    remqtt_config *config = remqtt_config_new();
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    must(remqtt_config_add_server(config, url));
    must(remqtt_config_set_client_id(config, argv[3], strlen(argv[3])));
    remqtt_client *client = NULL;
    must(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    must(remqtt_client_start(client));

    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = (uint8_t)atoi(argv[5]);
    options.done = on_done;
    uint8_t *payload = calloc(1, size);
    double start = now();
    for (unsigned long long n = 0; payload && n < count; n++) {
        for (unsigned i = 0; i < 8; i++) {
            payload[i] = (uint8_t)(n >> (56 - 8 * i));
        }
        publish(client, remqtt_str_of(argv[4]), remqtt_bytes_of(payload, size), &options);
        if (rate) {
            sleep_until(start + (double)(n + 1) / (double)rate);
        }
    }
    free(payload);
    remqtt_status ended = remqtt_client_close(client, 60000);
    double span = now() - start;
    printf("{\"published\": %llu, \"failed\": %llu, \"seconds\": %.3f, \"rate\": %.0f}\n",
           (unsigned long long)atomic_load(&published), (unsigned long long)atomic_load(&failed), span,
           (double)atomic_load(&published) / span);
    remqtt_client_free(client);
    return ended == REMQTT_OK && atomic_load(&failed) == 0 ? 0 : 1;
}
