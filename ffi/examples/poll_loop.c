/* One thread and poll(): standard input and the client side by side. Lines go out, messages come in.
 *
 *     poll_loop HOST PORT TOPIC
 *
 * cc poll_loop.c -o poll_loop $(pkg-config --cflags --libs remqtt)
 */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <remqtt/remqtt.h>

static void must(remqtt_status status)
{
    char why[512];
    if (status < 0) {
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "poll_loop: %s\n", why);
        exit(1);
    }
}

/* Runs in remqtt_client_dispatch, on the thread of the loop. */
static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    remqtt_bytes payload = remqtt_message_payload(message);
    (void)user;
    (void)client;
    printf("%.*s\n", (int)payload.len, (const char *)payload.ptr);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    char url[300], line[4096];
    remqtt_client *client = NULL;
    if (argc < 4) {
        fprintf(stderr, "usage: poll_loop HOST PORT TOPIC\n");
        return 2;
    }
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    remqtt_config *config = remqtt_config_new();
    must(remqtt_config_add_server(config, url));
    must(remqtt_config_set(config, "dispatch", "poll"));
    must(remqtt_config_on_message(config, on_message, NULL, NULL));
    must(remqtt_client_new(config, &client));
    remqtt_config_free(config);

    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of(argv[3]);
    wish.qos = 1;
    must(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    must(remqtt_client_start(client));

    /* The descriptor is the same through every reconnect. */
    struct pollfd ends[] = { { remqtt_client_event_fd(client), POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    must(ends[0].fd);
    while (poll(ends, 2, -1) > 0) {
        if (ends[0].revents) {
            must(remqtt_client_dispatch(client, 0, 0));
        }
        if (ends[1].revents) {
            ssize_t length = read(STDIN_FILENO, line, sizeof line);
            if (length <= 0) {
                break;
            }
            must(remqtt_client_publish(client, remqtt_str_of(argv[3]),
                                       remqtt_bytes_of(line, (size_t)length - (line[length - 1] == '\n')), &options,
                                       NULL));
        }
    }
    must(remqtt_client_close(client, 5000)); /* runs what is left */
    remqtt_client_free(client);
    return 0;
}
