/* What user code may do inside callbacks, and when its drop functions run. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

/* What one client's callbacks saw and are to do. */
struct scene {
    struct server server;
    remqtt_client *client;
    void (*in_state)(struct scene *scene, const remqtt_state_event *event);
    int32_t (*in_message)(struct scene *scene, const remqtt_message *message);
    void (*in_done)(struct scene *scene, const remqtt_result *result);
    atomic_uint connected, messages, done, drops, closed;
    atomic_uint inside, after_drop;
    remqtt_status answers[4];
    remqtt_message *kept;
    pthread_t thread;
};

/* Callbacks come one at a time, and none after its drop function. */
static void enter(struct scene *scene)
{
    CHECK(atomic_fetch_add(&scene->inside, 1) == 0);
    CHECK(atomic_load(&scene->after_drop) == 0);
}

static void leave(struct scene *scene, atomic_uint *count)
{
    atomic_fetch_sub(&scene->inside, 1);
    event_add(count, 1);
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct scene *scene = user;
    (void)client;
    enter(scene);
    if (scene->in_state) {
        scene->in_state(scene, event);
    }
    atomic_uint none = 0;
    leave(scene, event->state == REMQTT_STATE_CONNECTED ? &scene->connected
                 : event->state == REMQTT_STATE_CLOSED  ? &scene->closed
                                                        : &none);
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    struct scene *scene = user;
    (void)client;
    enter(scene);
    int32_t answer = scene->in_message ? scene->in_message(scene, message) : 0;
    leave(scene, &scene->messages);
    return answer;
}

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    struct scene *scene = user;
    (void)client;
    enter(scene);
    if (scene->in_done) {
        scene->in_done(scene, result);
    }
    leave(scene, &scene->done);
}

static void on_drop(void *user)
{
    struct scene *scene = user;
    event_add(&scene->drops, 1);
}

/* The drop function that must be the last. */
static void on_last_drop(void *user)
{
    struct scene *scene = user;
    atomic_store(&scene->after_drop, 1);
    event_add(&scene->drops, 1);
}

static remqtt_config *config_of(struct scene *scene)
{
    remqtt_config *config = config_for(scene->server.port);
    CHECK_OK(remqtt_config_on_state(config, on_state, scene, on_drop));
    CHECK_OK(remqtt_config_on_message(config, on_message, scene, on_drop));
    return config;
}

static void begin(struct scene *scene)
{
    server_start(&scene->server);
    scene->client = client_of(config_of(scene));
}

static void subscribe(struct scene *scene)
{
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of("e/#");
    wish.qos = 1;
    CHECK_OK(remqtt_client_subscribe(scene->client, &wish, 1, NULL, on_done, scene, on_drop, NULL));
}

static void publish(struct scene *scene)
{
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    options.done = on_done;
    options.user = scene;
    options.drop = on_drop;
    CHECK_OK(remqtt_client_publish(scene->client, remqtt_str_of("a"), remqtt_bytes_of("x", 1), &options, NULL));
}

static void end(struct scene *scene, unsigned drops)
{
    if (scene->client) {
        CHECK_OK(remqtt_client_close(scene->client, 0));
        remqtt_client_free(scene->client);
    }
    CHECK_WAIT(&scene->drops, drops);
    server_stop(&scene->server);
    CHECK(atomic_load(&scene->drops) == drops);
}

static void free_in_state(struct scene *scene, const remqtt_state_event *event)
{
    if (event->state == REMQTT_STATE_CONNECTED) {
        remqtt_client_free(scene->client);
        scene->client = NULL;
    }
}

TEST(the_client_may_be_freed_in_a_state_callback)
{
    struct scene scene = { .in_state = free_in_state };
    server_start(&scene.server);
    remqtt_config *config = config_of(&scene);
    /* The handle is known before the first callback can free it. */
    CHECK_OK(remqtt_client_new(config, &scene.client));
    remqtt_config_free(config);
    remqtt_client *starting = remqtt_client_ref(scene.client);
    CHECK_OK(remqtt_client_start(starting));
    remqtt_client_free(starting);
    CHECK_WAIT(&scene.closed, 1);
    end(&scene, 2);
}

static int32_t free_in_message(struct scene *scene, const remqtt_message *message)
{
    (void)message;
    remqtt_client_free(scene->client);
    scene->client = NULL;
    return 0;
}

TEST(the_client_may_be_freed_in_a_message_callback)
{
    struct scene scene = { .in_message = free_in_message, .server.echo = 3 };
    begin(&scene);
    subscribe(&scene);
    CHECK_WAIT(&scene.closed, 1);
    CHECK(atomic_load(&scene.messages) == 1);
    end(&scene, 3);
}

static void free_in_done(struct scene *scene, const remqtt_result *result)
{
    CHECK_STATUS(result->status, REMQTT_OK);
    remqtt_client_free(scene->client);
    scene->client = NULL;
}

TEST(the_client_may_be_freed_in_a_done_callback)
{
    struct scene scene = { .in_done = free_in_done };
    begin(&scene);
    publish(&scene);
    CHECK_WAIT(&scene.closed, 1);
    end(&scene, 3);
}

static void wait_in_state(struct scene *scene, const remqtt_state_event *event)
{
    if (event->state == REMQTT_STATE_CONNECTED) {
        scene->answers[0] = remqtt_client_close(scene->client, 1000);
        scene->answers[1] = remqtt_client_wait(scene->client, 1, 1000);
        scene->answers[2] = remqtt_client_flush(scene->client, 1000);
        scene->answers[3] = remqtt_client_wait_state(scene->client, REMQTT_STATE_STOPPED, 1000);
    }
}

TEST(calls_that_would_wait_for_their_own_callback_are_refused)
{
    struct scene scene = { .in_state = wait_in_state };
    server_start(&scene.server);
    remqtt_config *config = config_of(&scene);
    CHECK_OK(remqtt_client_new(config, &scene.client));
    remqtt_config_free(config);
    publish(&scene);
    CHECK_OK(remqtt_client_start(scene.client));
    CHECK_WAIT(&scene.connected, 1);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(scene.answers[i], REMQTT_E_DEADLOCK);
    }
    CHECK(remqtt_client_state(scene.client) != REMQTT_STATE_CLOSED);
    end(&scene, 3);
}

static void stop_in_state(struct scene *scene, const remqtt_state_event *event)
{
    if (event->state == REMQTT_STATE_CONNECTED) {
        CHECK_OK(remqtt_client_stop(scene->client, 0, NULL));
    }
}

TEST(the_client_may_be_stopped_in_a_callback_and_started_again)
{
    struct scene scene = { .in_state = stop_in_state };
    server_start(&scene.server);
    remqtt_config *config = config_of(&scene);
    CHECK_OK(remqtt_client_new(config, &scene.client));
    remqtt_config_free(config);
    for (unsigned round = 1; round <= 3; round++) {
        CHECK_OK(remqtt_client_start(scene.client));
        CHECK_WAIT(&scene.connected, round);
        CHECK_OK(remqtt_client_wait_state(scene.client, REMQTT_STATE_STOPPED, MINUTE_MS));
    }
    end(&scene, 2);
}

static int32_t everything_in_message(struct scene *scene, const remqtt_message *message)
{
    remqtt_client *client = remqtt_client_ref(scene->client);
    remqtt_stats stats = REMQTT_STATS_INIT;
    remqtt_message *kept = remqtt_message_ref(message);
    CHECK(kept != message && remqtt_message_topic(kept).len == remqtt_message_topic(message).len);
    CHECK(remqtt_message_ref(kept) == kept);
    remqtt_message_free(kept);
    remqtt_message_free(kept);
    remqtt_message_free((remqtt_message *)(uintptr_t)message); /* not ours: no effect */
    CHECK_OK(remqtt_client_start(client));
    CHECK_OK(remqtt_client_reconnect_now(client));
    CHECK_OK(remqtt_client_network_changed(client));
    CHECK_OK(remqtt_client_stats(client, &stats));
    CHECK(remqtt_client_state(client) != REMQTT_STATE_CLOSED);
    (void)remqtt_client_outage_count(client); /* on a slow machine network_changed may have cost the link */
    publish(scene);
    remqtt_str filter = { "e/other", 7 };
    CHECK_OK(remqtt_client_unsubscribe(client, &filter, 1, NULL, NULL, NULL, NULL, NULL));
    remqtt_client_free(client);
    return 0;
}

TEST(every_other_function_may_be_called_in_a_callback)
{
    struct scene scene = { .in_message = everything_in_message, .server.echo = 2 };
    begin(&scene);
    subscribe(&scene);
    CHECK_WAIT(&scene.messages, 2);
    CHECK_WAIT(&scene.done, 3);
    CHECK_OK(remqtt_client_flush(scene.client, MINUTE_MS));
    end(&scene, 5);
}

static void expect_closed(struct scene *scene, const remqtt_result *result)
{
    (void)scene;
    CHECK_STATUS(result->status, REMQTT_E_CLOSED);
    CHECK(result->text.len > 0 && result->token > 0 && result->has_reason == 0);
}

TEST(what_is_not_complete_at_close_completes_with_closed)
{
    struct scene scene = { .in_done = expect_closed };
    server_start(&scene.server);
    remqtt_config *config = config_of(&scene);
    CHECK_OK(remqtt_config_on_recovered(config, NULL, &scene, on_last_drop));
    CHECK_OK(remqtt_client_new(config, &scene.client));
    remqtt_config_free(config);
    for (int i = 0; i < 10; i++) {
        publish(&scene);
    }
    CHECK_OK(remqtt_client_close(scene.client, 0));
    CHECK(atomic_load(&scene.done) == 10 && atomic_load(&scene.closed) == 1);
    end(&scene, 12);
}

TEST(a_failed_call_leaves_the_user_pointer_to_the_caller)
{
    struct scene scene = { 0 };
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    begin(&scene);
    options.done = on_done;
    options.user = &scene;
    options.drop = on_drop;
    CHECK_STATUS(remqtt_client_publish(scene.client, remqtt_str_of("#"), remqtt_bytes_of("", 0), &options, NULL),
                 REMQTT_E_INVALID_TOPIC);
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    CHECK_STATUS(remqtt_client_subscribe(scene.client, &wish, 1, NULL, on_done, &scene, on_drop, NULL),
                 REMQTT_E_INVALID_FILTER);
    end(&scene, 2);
    CHECK(atomic_load(&scene.done) == 0);
}

TEST(replacing_a_callback_drops_the_one_before)
{
    struct scene scene = { 0 };
    remqtt_config *config = remqtt_config_new();
    CHECK_OK(remqtt_config_on_state(config, on_state, &scene, on_drop));
    CHECK_OK(remqtt_config_on_state(config, on_state, &scene, on_drop));
    CHECK(atomic_load(&scene.drops) == 1);
    CHECK_OK(remqtt_config_on_state(config, NULL, NULL, NULL));
    CHECK(atomic_load(&scene.drops) == 2);
    remqtt_config_free(config);
    CHECK(atomic_load(&scene.drops) == 2);
}

TEST(clients_of_one_config_share_its_callbacks)
{
    struct scene scene = { 0 };
    remqtt_client *one = NULL, *two = NULL;
    remqtt_config *config = remqtt_config_new();
    CHECK_OK(remqtt_config_on_state(config, on_state, &scene, on_drop));
    CHECK_OK(remqtt_client_new(config, &one));
    CHECK_OK(remqtt_client_new(config, &two));
    remqtt_config_free(config);
    CHECK_OK(remqtt_client_close(one, 0));
    CHECK(atomic_load(&scene.drops) == 0);
    CHECK_OK(remqtt_client_close(two, 0));
    CHECK_WAIT(&scene.drops, 1);
    remqtt_client_free(one);
    remqtt_client_free(two);
}

static int32_t keep_message(struct scene *scene, const remqtt_message *message)
{
    scene->kept = remqtt_message_ref(message);
    return REMQTT_ACK_LATER;
}

TEST(a_kept_message_is_acknowledged_when_its_keeper_says_so)
{
    struct scene scene = { .in_message = keep_message };
    uint16_t port;
    int listener = peer_listen(&port);
    scene.server.port = port;
    scene.client = client_of(config_of(&scene));
    int socket = peer_accept_client(listener, 0);
    PEER_SEND(socket, 0x32, 8, 0, 1, 'e', 0, 7, 'h', 'e', 'y');
    CHECK_WAIT(&scene.messages, 1);
    publish(&scene);
    peer_expect(socket, 3); /* and no PUBACK before it */
    CHECK(remqtt_message_payload(scene.kept).len == 3 && remqtt_message_id(scene.kept) == 7);
    CHECK(remqtt_message_flags(scene.kept) == 1);
    CHECK_OK(remqtt_message_ack(scene.kept, 0));
    struct packet ack = peer_read(socket);
    CHECK(ack.first == 0x40 && ack.length == 2 && ack.body[1] == 7);
    free(ack.body);
    CHECK_OK(remqtt_message_ack(scene.kept, 0)); /* again: no effect */
    CHECK_OK(remqtt_client_close(scene.client, 0));
    CHECK_STATUS(remqtt_message_ack(scene.kept, 0), REMQTT_E_CLOSED);
    remqtt_client_free(scene.client);
    CHECK(remqtt_message_topic(scene.kept).len == 1); /* outlives its client */
    remqtt_message_free(scene.kept);
    CHECK_WAIT(&scene.drops, 3);
    close(socket);
    close(listener);
}

static atomic_uint release;

static int32_t wait_for_release(struct scene *scene, const remqtt_message *message)
{
    (void)scene;
    (void)message;
    CHECK_WAIT(&release, 1);
    return 0;
}

TEST(a_callback_that_takes_long_holds_up_no_other_client)
{
    struct scene slow = { .in_message = wait_for_release, .server.echo = 3 }, quick = { .server.echo = 3 };
    begin(&slow);
    subscribe(&slow);
    CHECK_WAIT(&slow.done, 1);
    begin(&quick);
    subscribe(&quick);
    CHECK_WAIT(&quick.messages, 3);
    end(&quick, 3);
    CHECK(atomic_load(&slow.messages) == 0);
    event_add(&release, 1);
    CHECK_WAIT(&slow.messages, 3);
    end(&slow, 3);
}

static int32_t note_thread(struct scene *scene, const remqtt_message *message)
{
    (void)message;
    scene->thread = pthread_self();
    scene->answers[0] = remqtt_client_dispatch(scene->client, 0, 0);
    scene->answers[1] = remqtt_client_close(scene->client, 0);
    return 0;
}

TEST(in_poll_mode_callbacks_run_in_dispatch)
{
    struct scene scene = { .in_message = note_thread, .server.echo = 5 };
    server_start(&scene.server);
    remqtt_config *config = config_of(&scene);
    CHECK_OK(remqtt_config_set(config, "dispatch", "poll"));
    scene.client = client_of(config);
    struct pollfd ready = { remqtt_client_event_fd(scene.client), POLLIN, 0 };
    CHECK(ready.fd >= 0 && remqtt_client_event_fd(scene.client) == ready.fd);
    subscribe(&scene);
    while (atomic_load(&scene.messages) < 5) {
        CHECK(poll(&ready, 1, MINUTE_MS) == 1);
        CHECK(remqtt_client_dispatch(scene.client, 0, 1) >= 0);
    }
    CHECK(pthread_equal(scene.thread, pthread_self()));
    CHECK_STATUS(scene.answers[0], REMQTT_E_DEADLOCK);
    CHECK_STATUS(scene.answers[1], REMQTT_E_DEADLOCK);
    publish(&scene);
    end(&scene, 4); /* close dispatches what is left */
    CHECK(atomic_load(&scene.done) == 2 && atomic_load(&scene.closed) == 1);
}

TEST(in_poll_mode_the_last_free_drops_without_calling)
{
    struct scene scene = { 0 };
    server_start(&scene.server);
    remqtt_config *config = config_of(&scene);
    CHECK_OK(remqtt_config_set(config, "dispatch", "poll"));
    scene.client = client_of(config);
    publish(&scene);
    remqtt_client_free(scene.client);
    scene.client = NULL;
    end(&scene, 3);
    CHECK(atomic_load(&scene.done) == 0);
}
