/* Every exported function is called in every callback, on the library's threads and in poll mode: none waits for the
 * callback that it is made in, and none takes longer than what it was given. The calls are generated from the header. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

/* What waits is given this long, and every call may take a second more: remqtt_client_new may wait that long for a
 * store. */
enum { PATIENCE_MS = 300, SLACK_MS = 1000 };

/* What the calls work on. */
struct stage {
    remqtt_client *client, *made;
    remqtt_config *config;
    remqtt_props *props;
    const remqtt_message *message;
    remqtt_stats stats;
    remqtt_outage outage;
    remqtt_subscription wish;
    remqtt_publication publication;
    remqtt_token token;
    remqtt_bytes bytes;
    size_t count;
    uint64_t value;
    uint32_t number;
    uint8_t byte;
    char buffer[256];
    remqtt_login *login;
    remqtt_inspection *inspection;
    int outside; /* not in a callback of the client: what waits may wait */
};

struct every {
    const char *name;
    void (*call)(struct stage *stage);
};

static void every_client_new(struct stage *stage)
{
    CHECK_OK(remqtt_client_new(stage->config, &stage->made));
    remqtt_client_free(stage->made);
}

/* A file that is no store: opening it is a trouble that is told. */
static void damage(char path[64], const char *name)
{
    snprintf(path, 64, "%s/%s", test_folder(), name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    for (int i = 0; i < 4096; i++) {
        fputc('x', file);
    }
    fclose(file);
}

static void every_inspection(struct stage *stage)
{
    char path[64];
    damage(path, "inspected");
    remqtt_inspection_free(stage->inspection);
    CHECK_OK(remqtt_inspection_new(path, &stage->inspection));
}

static void every_duplicate_socket(struct stage *stage)
{
    int32_t socket = remqtt_client_duplicate_socket(stage->client);
    if (socket >= 0) {
        close(socket);
    }
}

static void every_refused(remqtt_status status, const struct stage *stage)
{
    if (!stage->outside && status != REMQTT_E_CLOSED) {
        CHECK_STATUS(status, REMQTT_E_DEADLOCK);
    }
}

#include "every_call.h"

static atomic_uint calls, longest_ms;

static unsigned now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* What a call may take beyond its bound; REMQTT_SLACK_MS says how much more where something slows the program. */
static unsigned slack_ms(void)
{
    const char *given = getenv("REMQTT_SLACK_MS");
    return given ? (unsigned)strtoul(given, NULL, 10) : SLACK_MS;
}

static void call_everything(remqtt_client *client, const remqtt_message *message, int outside)
{
    unsigned bound_ms = PATIENCE_MS + slack_ms();
    struct stage stage = { .client = client, .message = message, .outside = outside };
    stage.stats = (remqtt_stats)REMQTT_STATS_INIT;
    stage.outage = (remqtt_outage)REMQTT_OUTAGE_INIT;
    stage.wish = (remqtt_subscription)REMQTT_SUBSCRIPTION_INIT;
    stage.wish.filter = remqtt_str_of("e/other");
    stage.publication = (remqtt_publication)REMQTT_PUBLICATION_INIT;
    stage.publication.topic = remqtt_str_of("e/other");
    stage.config = remqtt_config_new();
    stage.props = remqtt_props_new();
    every_inspection(&stage);
    for (size_t i = 0; i < sizeof every_function / sizeof *every_function; i++) {
        unsigned begin = now_ms();
        every_function[i].call(&stage);
        unsigned took = now_ms() - begin;
        CHECK(took <= bound_ms);
        if (took > bound_ms) {
            fprintf(stderr, "%s took %u ms\n", every_function[i].name, took);
        }
        atomic_fetch_add(&calls, 1);
        if (took > atomic_load(&longest_ms)) {
            atomic_store(&longest_ms, took);
        }
    }
    (void)remqtt_client_start(client); /* remqtt_client_stop was among them */
    remqtt_inspection_free(stage.inspection);
    remqtt_props_free(stage.props);
    remqtt_config_free(stage.config);
}

/* A client whose callback of one kind calls everything, once, or gives the last reference to it back. */
struct scene {
    struct server server;
    remqtt_client *client;
    const char *kind;
    int frees;
    atomic_uint called, connected, dropped, done_dropped, released;
};

static int is(const struct scene *scene, const char *kind)
{
    return !strcmp(scene->kind, kind);
}

/* What a host does that wants to be rid of the client: it stops it, cannot wait for it, and lets go of it. */
static void end_client(struct scene *scene, remqtt_client *client, int outside)
{
    CHECK_WAIT(&scene->released, 1); /* ours is the last reference */
    CHECK_OK(remqtt_client_stop(client, 0, NULL));
    CHECK_STATUS(remqtt_client_close(client, 0), outside ? REMQTT_OK : REMQTT_E_DEADLOCK);
    remqtt_client_free(client);
}

static void act(struct scene *scene, const char *kind, remqtt_client *client, const remqtt_message *message,
                int outside)
{
    if (is(scene, kind) && atomic_load(&scene->called) == 0) {
        if (scene->frees) {
            end_client(scene, client, outside);
        } else {
            call_everything(client, message, outside);
        }
        event_add(&scene->called, 1);
    }
}

static void in(struct scene *scene, const char *kind, remqtt_client *client, const remqtt_message *message)
{
    act(scene, kind, client, message, 0);
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct scene *scene = user;
    if (event->state == REMQTT_STATE_CONNECTED) {
        event_add(&scene->connected, 1);
        in(scene, "state", client, NULL);
    }
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    in(user, "message", client, message);
    return 0;
}

static int32_t on_topic(void *user, remqtt_client *client, const remqtt_message *message)
{
    in(user, "topic", client, message);
    return 0;
}

static int32_t on_subscription(void *user, remqtt_client *client, const remqtt_message *message)
{
    in(user, "subscription", client, message);
    return 0;
}

static void on_recovered(void *user, remqtt_client *client, const remqtt_outage *outage)
{
    (void)outage;
    in(user, "recovered", client, NULL);
}

static void on_store(void *user, remqtt_client *client, remqtt_status cause, remqtt_str text)
{
    (void)cause;
    (void)text;
    in(user, "store", client, NULL);
}

static void on_quarantined(void *user, remqtt_client *client, const remqtt_quarantined *what)
{
    (void)what;
    in(user, "quarantined", client, NULL);
}

static void on_gap(void *user, remqtt_client *client, const remqtt_gap *gap)
{
    (void)gap;
    in(user, "gap", client, NULL);
}

static void on_log(void *user, remqtt_client *client, int32_t level, remqtt_str text)
{
    (void)level;
    (void)text;
    in(user, "log", client, NULL);
}

static remqtt_status on_credentials(void *user, remqtt_client *client, remqtt_login *login)
{
    struct scene *scene = user;
    CHECK_OK(remqtt_login_set(login, remqtt_str_of("me"), remqtt_bytes_of("pw", 2)));
    /* On a thread beside the callbacks: what waits may wait, and what closes closes. */
    act(scene, "credentials", client, NULL, 1);
    return REMQTT_OK;
}

static remqtt_status on_auth(void *user, remqtt_client *client, const remqtt_auth *auth)
{
    in(user, "auth", client, NULL);
    return remqtt_client_authenticate(client, auth->exchange, auth->data, NULL);
}

static int32_t on_dial(void *user, remqtt_client *client, const remqtt_target *target)
{
    (void)target;
    act(user, "dial", client, NULL, 1);
    return REMQTT_E_CONNECT_FAILED;
}

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    struct scene *scene = user;
    (void)result;
    in(scene, "done", client, NULL);
}

static void on_done_drop(void *user)
{
    struct scene *scene = user;
    in(scene, "drop of done", scene->client, NULL);
    event_add(&scene->done_dropped, 1);
}

static void on_config_drop(void *user)
{
    struct scene *scene = user;
    in(scene, "drop of a callback", scene->client, NULL);
    event_add(&scene->dropped, 1);
}

static void on_dropped(void *user, remqtt_token token, const remqtt_publication *publication)
{
    struct scene *scene = user;
    (void)token;
    (void)publication;
    if (is(scene, "dropped") && atomic_load(&scene->called) == 0) {
        /* Called by remqtt_client_drop_publishes on the caller's thread: no callback of the client. */
        event_add(&scene->called, 1);
        call_everything(scene->client, NULL, 1);
    }
}

static remqtt_config *config_of(struct scene *scene, const char *store)
{
    remqtt_config *config = config_for(scene->server.port);
    CHECK_OK(remqtt_config_on_state(config, on_state, scene, on_config_drop));
    CHECK_OK(remqtt_config_on_message(config, on_message, scene, NULL));
    CHECK_OK(remqtt_config_on_recovered(config, on_recovered, scene, NULL));
    CHECK_OK(remqtt_config_on_store(config, on_store, scene, NULL));
    CHECK_OK(remqtt_config_on_quarantined(config, on_quarantined, scene, NULL));
    CHECK_OK(remqtt_config_on_gap(config, on_gap, scene, NULL));
    CHECK_OK(remqtt_config_on_log(config, REMQTT_LOG_INFO, on_log, scene, NULL));
    CHECK_OK(remqtt_config_on_credentials(config, on_credentials, scene, NULL));
    CHECK_OK(remqtt_config_on_auth(config, on_auth, scene, NULL));
    if (is(scene, "auth")) {
        remqtt_props *props = remqtt_props_new();
        CHECK_OK(remqtt_props_add_bytes(props, 0x15, (remqtt_bytes){ NULL, 0 }, remqtt_bytes_of("m", 1)));
        CHECK_OK(remqtt_config_set_connect_props(config, props));
        CHECK_OK(remqtt_config_set(config, "protocol_version", "5"));
        remqtt_props_free(props);
    }
    if (is(scene, "dial")) {
        CHECK_OK(remqtt_config_on_dial(config, on_dial, scene, NULL));
    }
    if (is(scene, "gap")) {
        CHECK_OK(remqtt_config_set(config, "sequence_in_payload", "true"));
    }
    if (is(scene, "quarantined")) {
        CHECK_OK(remqtt_config_set(config, "quarantine_after", "2"));
    }
    if (is(scene, "store")) {
        CHECK_OK(remqtt_config_set(config, "store", store));
    }
    return config;
}

static void begin_operations(struct scene *scene)
{
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of("e/#");
    wish.qos = 1;
    options.qos = 1;
    if (is(scene, "topic")) {
        CHECK_OK(remqtt_client_on_topic(scene->client, remqtt_str_of("e"), on_topic, scene, NULL));
    }
    if (is(scene, "subscription")) {
        wish.on_message = on_subscription;
        wish.user = scene;
    }
    if (!is(scene, "quarantined") && !is(scene, "dropped")) {
        CHECK_OK(remqtt_client_subscribe(scene->client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    }
    options.done = on_done;
    options.user = scene;
    options.drop = on_done_drop;
    CHECK_OK(remqtt_client_publish(scene->client, remqtt_str_of("a"), remqtt_bytes_of("x", 1), &options, NULL));
}

/* Whether the callback has a thread of its own, beside that which dispatches. */
static int is_apart(const struct scene *scene)
{
    return is(scene, "credentials") || is(scene, "dial");
}

/* Poll mode: runs callbacks until the event has happened; else waits for it. A callback that is apart dispatches, too:
 * then it is not our turn. */
static void await(struct scene *scene, int poll, atomic_uint *count)
{
    for (int turns = 0; poll && atomic_load(count) == 0 && turns < MINUTE_MS / 10; turns++) {
        int32_t told = remqtt_client_dispatch(scene->client, 10, 0);
        CHECK(told >= 0 || (told == REMQTT_E_TIMEOUT && is_apart(scene)));
    }
    CHECK_WAIT(count, 1);
}

static void finish(struct scene *scene)
{
    if (!scene->frees) {
        CHECK_OK(remqtt_client_close(scene->client, 0));
        CHECK_WAIT(&scene->called, 1);
        remqtt_client_free(scene->client);
    }
    CHECK_WAIT(&scene->done_dropped, 1);
    CHECK_WAIT(&scene->dropped, 1);
    server_stop(&scene->server);
}

static void play(const char *kind, int poll, int frees)
{
    struct scene scene = { .kind = kind, .server.echo = 2, .frees = frees };
    char store[64] = "";
    scene.server.hang_up_on_publish = !strcmp(kind, "quarantined") || !strcmp(kind, "dropped");
    scene.server.gaps = !strcmp(kind, "gap");
    scene.server.challenges = !strcmp(kind, "auth");
    server_start(&scene.server);
    if (!strcmp(kind, "store")) {
        damage(store, "store");
    }
    remqtt_config *config = config_of(&scene, store);
    CHECK_OK(remqtt_config_set(config, "dispatch", poll ? "poll" : "thread"));
    CHECK_OK(remqtt_client_new(config, &scene.client));
    remqtt_config_free(config);
    remqtt_client *beginning = remqtt_client_ref(scene.client);
    begin_operations(&scene);
    if (!strcmp(kind, "dropped")) {
        CHECK_OK(remqtt_client_drop_publishes(scene.client, on_dropped, &scene, NULL));
    } else {
        CHECK_OK(remqtt_client_start(scene.client));
    }
    remqtt_client_free(beginning);
    event_add(&scene.released, 1);
    if (!strcmp(kind, "recovered")) {
        await(&scene, poll, &scene.connected);
        shutdown(atomic_load(&scene.server.socket), SHUT_RDWR);
    }
    if (strcmp(kind, "drop of a callback") != 0) {
        await(&scene, poll, &scene.called);
    }
    finish(&scene);
}

/* What calls the last two is the application's own call on the client, which needs its reference to the end. */
static const char *const kinds[] = {
    "state", "message", "topic", "subscription", "recovered", "store", "quarantined",
    "gap", "log", "done", "drop of done", "credentials", "auth", "dial", "drop of a callback", "dropped",
};
enum { KINDS = sizeof kinds / sizeof *kinds, OWN_CALLS = 2 };

TEST(the_client_may_be_stopped_and_freed_in_every_callback)
{
    alarm(10 * MINUTE_MS / 1000);
    for (size_t kind = 0; kind < KINDS - OWN_CALLS; kind++) {
        play(kinds[kind], 0, 1);
        if (!is_apart(&(struct scene){ .kind = kinds[kind] })) {
            play(kinds[kind], 1, 1);
        }
    }
    alarm(0);
}

TEST(every_function_may_be_called_in_every_callback)
{
    alarm(10 * MINUTE_MS / 1000); /* a deadlock ends the program */
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (int poll = 0; poll < 2; poll++) {
            unsigned before = atomic_load(&calls);
            play(kinds[kind], poll, 0);
            if (getenv("REMQTT_TELL")) {
                printf("  %s, %s: %u calls\n", kinds[kind], poll ? "poll" : "thread", atomic_load(&calls) - before);
            }
        }
    }
    alarm(0);
    printf("every call: %zu functions in %zu callbacks, on threads and in poll mode: %u calls, the longest %u ms\n",
           sizeof every_function / sizeof *every_function, (size_t)KINDS, atomic_load(&calls),
           atomic_load(&longest_ms));
}
