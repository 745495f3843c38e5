/* What can go wrong around a client: names, ports, peers, processes, signals, threads. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

/* The cause of the first failure. */
struct cause {
    atomic_uint seen;
    remqtt_status status;
    int32_t state;
    size_t words;
};

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct cause *cause = user;
    (void)client;
    if (event->cause != REMQTT_OK && atomic_load(&cause->seen) == 0) {
        cause->status = event->cause;
        cause->state = event->state;
        cause->words = event->text.len;
        event_add(&cause->seen, 1);
    }
}

static remqtt_status first_failure(remqtt_config *config)
{
    struct cause cause = { 0 };
    CHECK_OK(remqtt_config_on_state(config, on_state, &cause, NULL));
    remqtt_client *client = client_of(config);
    CHECK_WAIT(&cause.seen, 1);
    CHECK(cause.state == REMQTT_STATE_WAITING && cause.words > 0);
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    return cause.status;
}

TEST(a_host_that_does_not_resolve_is_told_and_tried_again)
{
    remqtt_config *config = remqtt_config_new();
    CHECK_OK(remqtt_config_add_server(config, "mqtt://no-such-host.invalid:1883"));
    CHECK_OK(remqtt_config_set(config, "connect_timeout", "60000")); /* the answer of the resolver may take long */
    CHECK_STATUS(first_failure(config), REMQTT_E_RESOLVE_FAILED);
}

TEST(a_refused_port_is_told_and_tried_again)
{
    uint16_t port;
    close(peer_listen(&port));
    CHECK_STATUS(first_failure(config_for(port)), REMQTT_E_CONNECT_FAILED);
}

static void *speak_http(void *argument)
{
    const char *answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
    int socket = peer_accept(*(int *)argument);
    peer_send(socket, answer, strlen(answer));
    peer_expect(socket, 1);
    while (peer_read(socket).first) {
    }
    close(socket);
    return NULL;
}

TEST(a_peer_that_speaks_no_mqtt_is_blamed)
{
    uint16_t port;
    pthread_t thread;
    int listener = peer_listen(&port);
    pthread_create(&thread, NULL, speak_http, &listener);
    CHECK_STATUS(first_failure(config_for(port)), REMQTT_E_PROTOCOL_ERROR);
    pthread_join(thread, NULL);
    close(listener);
}

TEST(an_attempt_without_an_answer_ends_in_time)
{
    uint16_t port;
    int listener = peer_listen(&port); /* the kernel accepts, nobody answers */
    remqtt_config *config = config_for(port);
    CHECK_OK(remqtt_config_set(config, "connect_timeout", "50"));
    CHECK_STATUS(first_failure(config), REMQTT_E_CONNECT_TIMEOUT);
    close(listener);
}

/* Runs in a process of its own, whose end tells how it went. */
static int in_child(int (*run)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        _exit(run());
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void *reset_rounds(void *argument)
{
    int listener = *(int *)argument;
    for (int round = 0; round < 20; round++) {
        peer_reset(peer_accept_client(listener, 1)); /* with megabytes of publishes on their way */
    }
    int socket = peer_accept_client(listener, 1);
    peer_expect(socket, 3);
    close(socket);
    return NULL;
}

/* The default disposition ends the process. */
static int publish_into_resets(void)
{
    uint16_t port;
    pthread_t thread;
    int listener = peer_listen(&port);
    size_t size = 1 << 20;
    void *payload = calloc(1, size);
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_config *config = config_for(port);
    if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || remqtt_config_set(config, "stable_after", "0") != REMQTT_OK) {
        return 10;
    }
    options.qos = 1;
    pthread_create(&thread, NULL, reset_rounds, &listener);
    remqtt_client *client = client_of(config);
    for (int i = 0; i < 16; i++) {
        if (remqtt_client_publish(client, remqtt_str_of("a"), remqtt_bytes_of(payload, size), &options, NULL)) {
            return 11;
        }
    }
    pthread_join(thread, NULL);
    free(payload);
    struct sigaction now;
    sigaction(SIGPIPE, NULL, &now);
    return remqtt_client_close(client, 0) == REMQTT_OK && now.sa_handler == SIG_DFL ? 0 : 12;
}

TEST(a_reset_during_a_write_raises_no_sigpipe)
{
    CHECK(in_child(publish_into_resets) == 0);
}

/* The line of /proc/self/task/ID/status that begins with this name. */
static int status_of(const char *task, const char *name, char line[256])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *file = fopen(path, "r");
    int found = 0;
    while (file && !found && fgets(line, 256, file)) {
        found = !strncmp(line, name, strlen(name));
    }
    return file && fclose(file) == 0 && found;
}

static int32_t look_at_threads(void *user, remqtt_client *client, const remqtt_message *message)
{
    atomic_uint *seen = user;
    char name[256], mask[256];
    DIR *tasks = opendir("/proc/self/task");
    (void)client;
    (void)message;
    for (struct dirent *task = tasks ? readdir(tasks) : NULL; task; task = readdir(tasks)) {
        if (status_of(task->d_name, "Name:\tremqtt", name) && status_of(task->d_name, "SigBlk:", mask)) {
            /* All but SIGKILL and SIGSTOP, and the two that the C library keeps for itself. */
            CHECK((strtoull(mask + strlen("SigBlk:"), NULL, 16) | 0x180040100) == ~0ULL);
            event_add(seen, 1);
        }
    }
    closedir(tasks);
    event_add(seen, 1000);
    return 0;
}

TEST(the_threads_of_the_library_block_every_signal)
{
    struct server server = { .echo = 1 };
    atomic_uint seen = 0;
    sigset_t before, after;
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    server_start(&server);
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    remqtt_config *config = config_for(server.port);
    CHECK_OK(remqtt_config_on_message(config, look_at_threads, &seen, NULL));
    remqtt_client *client = client_of(config);
    wish.filter = remqtt_str_of("e");
    CHECK_OK(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    CHECK_WAIT(&seen, 1000);
    CHECK(atomic_load(&seen) >= 1002); /* one that reads and writes, one that calls */
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK(sigismember(&after, SIGUSR2) == 1 && sigismember(&after, SIGUSR1) == 0); /* ours is as it was */
    sigdelset(&after, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &after, NULL);
    server_stop(&server);
}

static remqtt_client *inherited;
static struct server *child_server;

static int use_after_fork(void)
{
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_stats stats = REMQTT_STATS_INIT;
    remqtt_str topic = remqtt_str_of("a");
    remqtt_bytes payload = { NULL, 0 };
    int wrong = 0;
    options.qos = 1;
    wrong += remqtt_client_start(inherited) != REMQTT_E_FORKED;
    wrong += remqtt_client_publish(inherited, topic, payload, &options, NULL) != REMQTT_E_FORKED;
    wrong += remqtt_client_flush(inherited, 1000) != REMQTT_E_FORKED;
    wrong += remqtt_client_stats(inherited, &stats) != REMQTT_E_FORKED;
    wrong += remqtt_client_close(inherited, 1000) != REMQTT_E_FORKED;
    remqtt_client_free(inherited);
    remqtt_client *own = client_of(config_for(child_server->port));
    wrong += remqtt_client_publish(own, topic, payload, &options, NULL) != REMQTT_OK;
    wrong += remqtt_client_flush(own, MINUTE_MS) != REMQTT_OK;
    wrong += remqtt_client_close(own, 0) != REMQTT_OK;
    remqtt_client_free(own);
    return wrong;
}

TEST(the_child_of_a_fork_leaves_the_client_alone_and_makes_its_own)
{
    struct server server = { 0 }, other = { 0 };
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    server_start(&server);
    server_start(&other);
    inherited = client_of(config_for(server.port));
    child_server = &other;
    CHECK_OK(remqtt_client_wait_state(inherited, REMQTT_STATE_CONNECTED, MINUTE_MS));
    CHECK(in_child(use_after_fork) == 0);
    options.qos = 1;
    CHECK_OK(remqtt_client_publish(inherited, remqtt_str_of("a"), remqtt_bytes_of("", 0), &options, NULL));
    CHECK_OK(remqtt_client_flush(inherited, MINUTE_MS));
    CHECK(atomic_load(&server.connections) == 1 && atomic_load(&other.connections) == 1);
    CHECK_OK(remqtt_client_close(inherited, 0));
    remqtt_client_free(inherited);
    server_stop(&server);
    server_stop(&other);
}

static int leave_with_a_live_client(void)
{
    remqtt_client *client = client_of(config_for(child_server->port));
    return remqtt_client_wait_state(client, REMQTT_STATE_CONNECTED, MINUTE_MS) == REMQTT_OK ? (exit(0), 0) : 1;
}

TEST(a_process_may_exit_with_live_clients)
{
    struct server server = { 0 };
    server_start(&server);
    child_server = &server;
    CHECK(in_child(leave_with_a_live_client) == 0);
    server_stop(&server);
}

enum { THREADS = 16, CROWD = 100, EACH = 80 };

struct crowd {
    remqtt_client *client;
    atomic_uint done, failed, drops;
};

static void count_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    struct crowd *crowd = user;
    (void)client;
    event_add(result->status == REMQTT_OK ? &crowd->done : &crowd->failed, 1);
}

static void count_drop(void *user)
{
    event_add(&((struct crowd *)user)->drops, 1);
}

static void *publish_many(void *argument)
{
    struct crowd *crowd = argument;
    remqtt_client *client = remqtt_client_ref(crowd->client);
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.done = count_done;
    options.user = crowd;
    options.drop = count_drop;
    for (int i = 0; i < EACH; i++) {
        remqtt_token token = 0;
        options.qos = (uint8_t)(i % 3);
        CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a/b"), remqtt_bytes_of(&i, sizeof i), &options,
                                       &token));
        if (i == 0) {
            CHECK_OK(remqtt_client_wait(client, token, MINUTE_MS));
        }
    }
    remqtt_client_free(client);
    return NULL;
}

TEST(a_hundred_threads_publish_at_once)
{
    struct server server = { 0 };
    struct crowd crowd = { 0 };
    pthread_t threads[CROWD];
    server_start(&server);
    remqtt_config *config = config_for(server.port);
    CHECK_OK(remqtt_config_set(config, "keepalive", "0"));
    crowd.client = client_of(config);
    for (int i = 0; i < CROWD; i++) {
        CHECK(pthread_create(&threads[i], NULL, publish_many, &crowd) == 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_OK(remqtt_client_flush(crowd.client, MINUTE_MS));
    CHECK_OK(remqtt_client_close(crowd.client, 0));
    remqtt_client_free(crowd.client);
    CHECK(atomic_load(&crowd.done) == CROWD * EACH && atomic_load(&crowd.failed) == 0);
    CHECK_WAIT(&crowd.drops, CROWD * EACH);
    CHECK(atomic_load(&server.publishes) == CROWD * EACH);
    server_stop(&server);
}

static void *open_and_close(void *argument)
{
    for (int i = 0; i < 20; i++) {
        remqtt_client *client = client_of(config_for(*(uint16_t *)argument));
        if (i % 2) {
            CHECK_OK(remqtt_client_close(client, 0));
        }
        remqtt_client_free(client);
    }
    return NULL;
}

TEST(clients_come_and_go_on_many_threads)
{
    uint16_t port;
    pthread_t threads[THREADS];
    close(peer_listen(&port));
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, open_and_close, &port) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void *use_until_closed(void *argument)
{
    struct crowd *crowd = argument;
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_status status = REMQTT_OK;
    options.qos = 1;
    while (status == REMQTT_OK || status == REMQTT_E_QUEUE_FULL) {
        status = remqtt_client_publish(crowd->client, remqtt_str_of("a"), remqtt_bytes_of("", 0), &options, NULL);
        event_add(&crowd->done, 1);
        sched_yield();
    }
    CHECK_STATUS(status, REMQTT_E_CLOSED);
    CHECK_OK(remqtt_client_wait_state(crowd->client, REMQTT_STATE_CLOSED, MINUTE_MS));
    return NULL;
}

TEST(a_client_may_be_closed_while_others_use_it)
{
    struct server server = { 0 };
    struct crowd crowd = { 0 };
    pthread_t threads[THREADS];
    server_start(&server);
    remqtt_config *config = config_for(server.port);
    /* However slow the machine is, closing has little to complete. */
    CHECK_OK(remqtt_config_set(config, "backlog_messages", "1000"));
    crowd.client = client_of(config);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, use_until_closed, &crowd) == 0);
    }
    CHECK_WAIT(&crowd.done, 1000);
    CHECK_OK(remqtt_client_close(crowd.client, 0));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    remqtt_client_free(crowd.client);
    server_stop(&server);
}
