/* The main job: a persistent session against a real mosquitto, through resets and through SIGKILL of the broker.
 * QoS 2 loses nothing and doubles nothing, QoS 1 loses nothing. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

enum { MESSAGES = 3000, RESETS = 10, KILLS = 2, WHILE_DOWN = 200 };

/* ---- the broker ---- */

struct broker {
    uint16_t port;
    char config[64];
    pid_t process;
};

static void broker_start(struct broker *broker)
{
    broker->process = fork();
    if (broker->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the test, the broker goes with it */
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(126);
        }
        execlp("mosquitto", "mosquitto", "-c", broker->config, (char *)NULL);
        execl("/usr/sbin/mosquitto", "mosquitto", "-c", broker->config, (char *)NULL);
        _exit(127);
    }
    CHECK(broker->process > 0);
}

static void broker_new(struct broker *broker)
{
    close(peer_listen(&broker->port));
    strcpy(broker->config, "/tmp/remqtt-ride-XXXXXX");
    int file = mkstemp(broker->config);
    FILE *config = fdopen(file, "w");
    CHECK(config != NULL);
    fprintf(config, "listener %u 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n", broker->port);
    fchmod(file, 0644);
    fclose(config);
    broker_start(broker);
}

static void broker_kill(struct broker *broker)
{
    kill(broker->process, SIGKILL);
    CHECK(waitpid(broker->process, NULL, 0) == broker->process);
}

/* ---- a proxy that resets on demand ---- */

struct proxy {
    uint16_t port, upstream;
    int listener, orders[2]; /* a pipe: one byte, one reset */
    pthread_t thread;
};

static int dial(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(out, (struct sockaddr *)&address, sizeof address) == 0) {
        return out;
    }
    close(out);
    return -1;
}

static int copy(int from, int to)
{
    char bytes[4096];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    return n > 0 && (peer_send(to, bytes, (size_t)n), 1);
}

/* Passes bytes until an end closes or a reset is ordered; 0 when the proxy is to end. */
static int pass(struct proxy *proxy, int in, int out)
{
    struct pollfd ends[] = { { in, POLLIN, 0 }, { out, POLLIN, 0 }, { proxy->orders[0], POLLIN, 0 } };
    char order = 0;
    while (poll(ends, 3, -1) > 0) {
        if (ends[2].revents) {
            return read(proxy->orders[0], &order, 1) == 1 && order == 'r';
        }
        if ((ends[0].revents && !copy(in, out)) || (ends[1].revents && !copy(out, in))) {
            return 1;
        }
    }
    return 0;
}

static void *proxy_run(void *argument)
{
    struct proxy *proxy = argument;
    int in, going_on = 1;
    while (going_on && (in = peer_accept(proxy->listener)) >= 0) {
        int out = dial(proxy->upstream);
        going_on = out < 0 || pass(proxy, in, out);
        peer_reset(in);
        if (out >= 0) {
            peer_reset(out);
        }
    }
    return NULL;
}

static void proxy_start(struct proxy *proxy, uint16_t upstream)
{
    proxy->upstream = upstream;
    proxy->listener = peer_listen(&proxy->port);
    CHECK(pipe(proxy->orders) == 0);
    CHECK(pthread_create(&proxy->thread, NULL, proxy_run, proxy) == 0);
}

static void proxy_order(struct proxy *proxy, char order)
{
    CHECK(write(proxy->orders[1], &order, 1) == 1);
}

static void proxy_stop(struct proxy *proxy)
{
    shutdown(proxy->listener, SHUT_RDWR);
    proxy_order(proxy, 'q');
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
    close(proxy->orders[0]);
    close(proxy->orders[1]);
}

/* ---- the ride ---- */

struct ride {
    struct broker broker;
    struct proxy proxy;
    remqtt_client *client;
    unsigned next; /* number of the next message */
    unsigned char times[3][MESSAGES]; /* deliveries, by QoS */
    atomic_uint fresh[3]; /* distinct messages delivered, by QoS */
    atomic_uint connections, sessions_lost, recovered, drained, done, failed, drops;
};

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    struct ride *ride = user;
    remqtt_bytes payload = remqtt_message_payload(message);
    remqtt_str topic = remqtt_message_topic(message);
    unsigned number, qos = remqtt_message_flags(message) & REMQTT_FLAG_QOS;
    (void)client;
    CHECK(payload.len == sizeof number && topic.len == 6 && topic.ptr[5] == (char)('0' + qos));
    memcpy(&number, payload.ptr, sizeof number);
    if (number < MESSAGES && ride->times[qos][number]++ == 0) {
        event_add(&ride->fresh[qos], 1);
    }
    return 0;
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct ride *ride = user;
    (void)client;
    if (event->state == REMQTT_STATE_CONNECTED) {
        atomic_fetch_add(&ride->sessions_lost, event->session == REMQTT_SESSION_LOST);
        CHECK((event->session == REMQTT_SESSION_RESUMED) == event->session_present);
        event_add(&ride->connections, 1);
    }
}

static void on_recovered(void *user, remqtt_client *client, const remqtt_outage *outage)
{
    struct ride *ride = user;
    (void)client;
    CHECK(outage->marks_ns[REMQTT_MARK_CONNACK] >= outage->marks_ns[REMQTT_MARK_DETECTED]);
    int64_t drained = outage->marks_ns[REMQTT_MARK_DRAINED]; /* -1: lost again before it was over */
    CHECK(drained == -1 || drained >= outage->marks_ns[REMQTT_MARK_CONNACK]);
    atomic_fetch_add(&ride->drained, drained >= 0);
    CHECK(outage->cause != REMQTT_OK && outage->attempts > 0);
    event_add(&ride->recovered, 1);
}

static void on_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    struct ride *ride = user;
    (void)client;
    event_add(result->status == REMQTT_OK ? &ride->done : &ride->failed, 1);
}

static void on_drop(void *user)
{
    event_add(&((struct ride *)user)->drops, 1);
}

/* Publishes the next messages, each at both QoS. */
static void publish(struct ride *ride, unsigned count)
{
    for (; count && ride->next < MESSAGES; count--, ride->next++) {
        for (uint8_t qos = 1; qos <= 2; qos++) {
            remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
            options.qos = qos;
            options.done = on_done;
            options.user = ride;
            options.drop = on_drop;
            remqtt_bytes payload = remqtt_bytes_of(&ride->next, sizeof ride->next);
            CHECK_OK(remqtt_client_publish(ride->client, remqtt_str_of(qos == 1 ? "ride/1" : "ride/2"), payload,
                                           &options, NULL));
        }
    }
}

static void arrive(struct ride *ride)
{
    CHECK_WAIT(&ride->fresh[1], ride->next);
    CHECK_WAIT(&ride->fresh[2], ride->next);
    CHECK_OK(remqtt_client_flush(ride->client, MINUTE_MS));
}

static void begin(struct ride *ride, const char *version)
{
    remqtt_subscription wishes[] = { REMQTT_SUBSCRIPTION_INIT, REMQTT_SUBSCRIPTION_INIT };
    remqtt_token token = 0;
    broker_new(&ride->broker);
    proxy_start(&ride->proxy, ride->broker.port);
    remqtt_config *config = config_for(ride->proxy.port);
    CHECK_OK(remqtt_config_set(config, "detect_within", "5000"));
    CHECK_OK(remqtt_config_set(config, "protocol_version", version));
    CHECK_OK(remqtt_config_set_client_id(config, "ride", 4));
    CHECK_OK(remqtt_config_set_session(config, 0, 3600));
    CHECK_OK(remqtt_config_on_state(config, on_state, ride, on_drop));
    CHECK_OK(remqtt_config_on_message(config, on_message, ride, on_drop));
    CHECK_OK(remqtt_config_on_recovered(config, on_recovered, ride, on_drop));
    ride->client = client_of(config);
    wishes[0].filter = remqtt_str_of("ride/1");
    wishes[0].qos = 1;
    wishes[1].filter = remqtt_str_of("ride/2");
    wishes[1].qos = 2;
    CHECK_OK(remqtt_client_subscribe(ride->client, wishes, 2, NULL, NULL, NULL, NULL, &token));
    CHECK_OK(remqtt_client_wait(ride->client, token, MINUTE_MS));
    CHECK_WAIT(&ride->connections, 1);
}

static void judge(struct ride *ride)
{
    unsigned lost[3] = { 0 }, doubled[3] = { 0 };
    for (unsigned qos = 1; qos <= 2; qos++) {
        for (unsigned n = 0; n < MESSAGES; n++) {
            lost[qos] += ride->times[qos][n] == 0;
            doubled[qos] += ride->times[qos][n] > 1;
        }
    }
    printf("       QoS 1: %u lost, %u doubled; QoS 2: %u lost, %u doubled; %u connections, %u sessions lost, "
           "%u recoveries told\n",
           lost[1], doubled[1], lost[2], doubled[2], atomic_load(&ride->connections),
           atomic_load(&ride->sessions_lost), atomic_load(&ride->recovered));
    CHECK(lost[1] == 0 && lost[2] == 0 && doubled[2] == 0);
    CHECK_WAIT(&ride->done, 2 * MESSAGES);
    CHECK(atomic_load(&ride->done) == 2 * MESSAGES && atomic_load(&ride->failed) == 0);
    CHECK(atomic_load(&ride->connections) > RESETS + KILLS && atomic_load(&ride->sessions_lost) >= KILLS);
    CHECK(atomic_load(&ride->recovered) >= RESETS + KILLS && atomic_load(&ride->drained) > 0);
}

static void end(struct ride *ride)
{
    remqtt_stats stats = REMQTT_STATS_INIT;
    remqtt_outage outage = REMQTT_OUTAGE_INIT;
    CHECK_OK(remqtt_client_stats(ride->client, &stats));
    CHECK(stats.published == 2 * MESSAGES && stats.backlog_messages == 0 && stats.inflight == 0);
    CHECK(stats.outages >= RESETS + KILLS && stats.subscriptions == 2);
    CHECK(remqtt_client_outage_count(ride->client) == stats.outages);
    CHECK_OK(remqtt_client_outage(ride->client, 0, &outage));
    CHECK(outage.number == 1 && outage.marks_ns[REMQTT_MARK_LOST] == 0);
    CHECK_STATUS(remqtt_client_outage(ride->client, stats.outages, &outage), REMQTT_E_INVALID_ARGUMENT);
    CHECK_OK(remqtt_client_close(ride->client, MINUTE_MS));
    remqtt_client_free(ride->client);
    CHECK_WAIT(&ride->drops, 2 * MESSAGES + 3);
    proxy_stop(&ride->proxy);
    broker_kill(&ride->broker);
    unlink(ride->broker.config);
}

static void ride_through(const char *version)
{
    struct ride *ride = calloc(1, sizeof *ride);
    begin(ride, version);
    for (unsigned n = 0; n < RESETS; n++) {
        unsigned connections = atomic_load(&ride->connections), fresh = atomic_load(&ride->fresh[2]);
        publish(ride, 200);
        CHECK_WAIT(&ride->fresh[2], fresh + 20 * n); /* somewhere in the middle of it */
        proxy_order(&ride->proxy, 'r');
        CHECK_WAIT(&ride->connections, connections + 1);
    }
    for (unsigned n = 0; n < KILLS; n++) {
        unsigned connections = atomic_load(&ride->connections);
        arrive(ride); /* what a killed broker had taken over and not delivered would be gone with it */
        broker_kill(&ride->broker);
        publish(ride, WHILE_DOWN);
        broker_start(&ride->broker);
        CHECK_WAIT(&ride->connections, connections + 1);
    }
    publish(ride, MESSAGES);
    arrive(ride);
    judge(ride);
    end(ride);
    free(ride);
}

TEST(a_session_rides_through_with_mqtt_5)
{
    ride_through("5");
}

TEST(a_session_rides_through_with_mqtt_3_1_1)
{
    ride_through("4");
}
