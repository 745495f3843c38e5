/* A durable outbox: every line of standard input is published once it is on disk, and survives a crash, a power cut
 * and days without a network. What an earlier run left is sent first.
 *
 *     outbox HOST PORT STORE TOPIC <lines
 *
 * cc outbox.c -o outbox $(pkg-config --cflags --libs remqtt)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remqtt/remqtt.h>

static void must(remqtt_status status)
{
    char why[512];
    if (status != REMQTT_OK) {
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "outbox: %s\n", why);
        exit(1);
    }
}

/* Troubles of the disk, and what was accepted and can never be delivered. */
static void on_store(void *user, remqtt_client *client, remqtt_status cause, remqtt_str text)
{
    (void)user;
    (void)client;
    fprintf(stderr, "outbox: store: %s %.*s\n", remqtt_status_name(cause), (int)text.len, text.ptr);
}

int main(int argc, char **argv)
{
    char url[300], line[4096];
    size_t left = 0;
    if (argc < 5) {
        fprintf(stderr, "usage: outbox HOST PORT STORE TOPIC <lines\n");
        return 2;
    }
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    remqtt_config *config = remqtt_config_new();
    must(remqtt_config_add_server(config, url));
    must(remqtt_config_set(config, "client_id", "outbox"));
    must(remqtt_config_set(config, "store", argv[3]));
    must(remqtt_config_on_store(config, on_store, NULL, NULL));
    remqtt_client *client = NULL;
    must(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    must(remqtt_client_pending(client, NULL, 0, &left));
    printf("%zu messages of an earlier run\n", left);
    must(remqtt_client_start(client));

    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    options.level = REMQTT_LEVEL_STORED;
    while (fgets(line, sizeof line, stdin)) {
        remqtt_token token;
        size_t length = strcspn(line, "\n");
        must(remqtt_client_publish(client, remqtt_str_of(argv[4]), remqtt_bytes_of(line, length), &options, &token));
    }
    must(remqtt_client_sync(client, 10000));
    puts("all lines are on disk"); /* from here on the program may be killed */
    fflush(stdout);
    remqtt_status sent = remqtt_client_flush(client, 10000);
    puts(sent == REMQTT_OK ? "all lines are at the server" : "the rest is for the next run");
    must(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    return 0;
}
