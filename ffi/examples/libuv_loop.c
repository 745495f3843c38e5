/* The client as one more handle of a libuv loop: publishes a tick a second, prints what comes, ends after N ticks.
 *
 *     libuv_loop HOST PORT TOPIC N
 *
 * cc libuv_loop.c -o libuv_loop $(pkg-config --cflags --libs remqtt libuv)
 */
#define _POSIX_C_SOURCE 200809L /* uv.h */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include <remqtt/remqtt.h>

struct app {
    remqtt_client *client;
    uv_poll_t events;
    uv_timer_t ticks;
    const char *topic;
    int left;
};

static void must(remqtt_status status)
{
    char why[512];
    if (status < 0) {
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "libuv_loop: %s\n", why);
        exit(1);
    }
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct app *app = handle->data;
    (void)status;
    (void)events;
    must(remqtt_client_dispatch(app->client, 0, 0));
}

static void on_tick(uv_timer_t *timer)
{
    struct app *app = timer->data;
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    must(remqtt_client_publish(app->client, remqtt_str_of(app->topic), remqtt_bytes_of("tick", 4), &options, NULL));
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    struct app *app = user;
    remqtt_bytes payload = remqtt_message_payload(message);
    (void)client;
    printf("%.*s\n", (int)payload.len, (const char *)payload.ptr);
    if (--app->left == 0) {
        uv_timer_stop(&app->ticks);
        uv_poll_stop(&app->events); /* nothing is left in the loop: uv_run returns */
    }
    return 0;
}

int main(int argc, char **argv)
{
    char url[300];
    struct app app = { 0 };
    if (argc < 5) {
        fprintf(stderr, "usage: libuv_loop HOST PORT TOPIC N\n");
        return 2;
    }
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    app.topic = argv[3];
    app.left = atoi(argv[4]);
    remqtt_config *config = remqtt_config_new();
    must(remqtt_config_add_server(config, url));
    must(remqtt_config_set(config, "dispatch", "poll"));
    must(remqtt_config_on_message(config, on_message, &app, NULL));
    must(remqtt_client_new(config, &app.client));
    remqtt_config_free(config);

    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of(app.topic);
    wish.qos = 1;
    must(remqtt_client_subscribe(app.client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    must(remqtt_client_start(app.client));

    uv_loop_t *loop = uv_default_loop();
    app.events.data = app.ticks.data = &app;
    uv_poll_init(loop, &app.events, remqtt_client_event_fd(app.client));
    uv_poll_start(&app.events, UV_READABLE, on_readable);
    uv_timer_init(loop, &app.ticks);
    uv_timer_start(&app.ticks, on_tick, 100, 1000);
    uv_run(loop, UV_RUN_DEFAULT);

    must(remqtt_client_close(app.client, 5000));
    remqtt_client_free(app.client);
    uv_close((uv_handle_t *)&app.events, NULL);
    uv_close((uv_handle_t *)&app.ticks, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return 0;
}
