/* A persistent subscriber: keeps its session through outages and prints what arrives.
 *
 *     subscriber HOST PORT CLIENT_ID TOPIC QOS [--count N] [--quiet] [--stamps] [--option KEY=VALUE]...
 *
 * --count N   ends after N messages and prints one line of JSON: how many, how fast, how much CPU
 * --quiet     does not print the messages
 * --stamps    prints events as `up`, `down`, `subscribed` and `message N` (N: the payload's first 8 bytes, big
 *             endian), each with its time on CLOCK_MONOTONIC in nanoseconds
 *
 * cc subscriber.c -o subscriber $(pkg-config --cflags --libs remqtt)
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <remqtt/remqtt.h>

struct subscriber {
    const char *topic;
    uint8_t qos;
    int quiet, stamps;
    uint64_t wanted, received, first_ns, last_ns; /* touched by one callback at a time, and by main at the end */
    pthread_mutex_t lock;
    pthread_cond_t complete;
    int is_complete;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void say(const struct subscriber *self, const char *what)
{
    if (self->stamps) {
        printf("%s %" PRIu64 "\n", what, now_ns());
        fflush(stdout);
    }
}

static void finish(struct subscriber *self)
{
    pthread_mutex_lock(&self->lock);
    self->is_complete = 1;
    pthread_cond_signal(&self->complete);
    pthread_mutex_unlock(&self->lock);
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    struct subscriber *self = user;
    (void)client;
    if (self->received == self->wanted) {
        return REMQTT_ACK_LATER; /* more than was asked for: left to the next run */
    }
    self->received++;
    if (!self->quiet) {
        remqtt_str topic = remqtt_message_topic(message);
        remqtt_bytes payload = remqtt_message_payload(message);
        if (self->stamps) {
            uint64_t number = 0;
            for (size_t i = 0; i < 8 && i < payload.len; i++) {
                number = number << 8 | payload.ptr[i];
            }
            printf("message %" PRIu64 " %" PRIu64 "\n", number, now_ns());
        } else {
            printf("%.*s ", (int)topic.len, topic.ptr);
            fwrite(payload.ptr, 1, payload.len, stdout);
            putchar('\n');
        }
        fflush(stdout);
    }
    if (self->received == 1) {
        self->first_ns = now_ns();
    }
    if (self->received == self->wanted) {
        self->last_ns = now_ns();
        finish(self);
    }
    return 0;
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    const struct subscriber *self = user;
    (void)client;
    if (event->state == REMQTT_STATE_CONNECTED) {
        say(self, "up");
    } else if (event->was_connected) {
        say(self, "down");
    }
    if (event->cause != REMQTT_OK) {
        fprintf(stderr, "%s\n", event->text.len ? event->text.ptr : remqtt_status_text(event->cause));
    }
}

static void on_subscribed(void *user, remqtt_client *client, const remqtt_result *result)
{
    const struct subscriber *self = user;
    (void)client;
    if (result->status == REMQTT_OK && result->codes.len == 1 && result->codes.ptr[0] < 0x80) {
        say(self, "subscribed");
    } else {
        fprintf(stderr, "not subscribed: %.*s\n", (int)result->text.len, result->text.ptr);
    }
}

/* Ends the program when a call says no. */
static void must(remqtt_status status)
{
    char why[512];
    if (status != REMQTT_OK) {
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "subscriber: %s\n", why);
        exit(1);
    }
}

static void set(remqtt_config *config, char *assignment)
{
    char *value = strchr(assignment, '=');
    if (!value) {
        fprintf(stderr, "subscriber: %s is not KEY=VALUE\n", assignment);
        exit(2);
    }
    *value++ = '\0';
    must(remqtt_config_set(config, assignment, value));
}

static void flags(struct subscriber *self, remqtt_config *config, int argc, char **argv)
{
    for (int i = 6; i < argc; i++) {
        if (!strcmp(argv[i], "--quiet")) {
            self->quiet = 1;
        } else if (!strcmp(argv[i], "--stamps")) {
            self->stamps = 1;
        } else if (!strcmp(argv[i], "--count") && i + 1 < argc) {
            self->wanted = strtoull(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--option") && i + 1 < argc) {
            set(config, argv[++i]);
        } else {
            fprintf(stderr, "subscriber: what is %s?\n", argv[i]);
            exit(2);
        }
    }
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void report(const struct subscriber *self, remqtt_client *client)
{
    struct rusage usage;
    remqtt_stats stats = REMQTT_STATS_INIT;
    double span = (double)(self->last_ns - self->first_ns) / 1e9;
    getrusage(RUSAGE_SELF, &usage);
    must(remqtt_client_stats(client, &stats));
    printf("{\"messages\": %" PRIu64 ", \"seconds\": %.6f, \"rate\": %.0f, \"cpu_seconds\": %.6f, "
           "\"max_rss_kib\": %ld, \"duplicates_suppressed\": %" PRIu64 "}\n",
           self->received, span, span > 0 ? (double)(self->received - 1) / span : 0.0,
           seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss, stats.duplicates_suppressed);
}

int main(int argc, char **argv)
{
    struct subscriber self = { .wanted = UINT64_MAX };
    char url[300];
    if (argc < 6) {
        fprintf(stderr, "usage: subscriber HOST PORT CLIENT_ID TOPIC QOS [--count N] [--quiet] [--stamps] "
                        "[--option KEY=VALUE]...\n");
        return 2;
    }
    pthread_mutex_init(&self.lock, NULL);
    pthread_cond_init(&self.complete, NULL);
    self.topic = argv[4];
    self.qos = (uint8_t)atoi(argv[5]);

    /* Ctrl-C and SIGTERM end the wait below; the threads of the library take no signals. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    remqtt_config *config = remqtt_config_new();
    flags(&self, config, argc, argv);
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    must(remqtt_config_add_server(config, url));
    must(remqtt_config_set_client_id(config, argv[3], strlen(argv[3])));
    must(remqtt_config_on_state(config, on_state, &self, NULL));
    must(remqtt_config_on_message(config, on_message, &self, NULL));
    remqtt_client *client = NULL;
    must(remqtt_client_new(config, &client));
    remqtt_config_free(config);

    /* Before the first connection: from now on the client sees to it that the subscription stands. */
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of(self.topic);
    wish.qos = self.qos;
    must(remqtt_client_subscribe(client, &wish, 1, NULL, on_subscribed, &self, NULL, NULL));
    must(remqtt_client_start(client));

    if (self.wanted == UINT64_MAX) {
        int which;
        sigwait(&signals, &which);
    } else {
        pthread_mutex_lock(&self.lock);
        while (!self.is_complete) {
            pthread_cond_wait(&self.complete, &self.lock);
        }
        pthread_mutex_unlock(&self.lock);
        report(&self, client);
    }
    remqtt_status ended = remqtt_client_close(client, 5000);
    remqtt_client_free(client);
    return ended == REMQTT_OK ? 0 : 1;
}
