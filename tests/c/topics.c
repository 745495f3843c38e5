/* Functions for some topics, operations by the dozen, those of an earlier process, the log. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

struct counter {
    atomic_uint calls, drops, failed;
    remqtt_status status;
    remqtt_token token;
};

static int32_t count_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    struct counter *counter = user;
    (void)client;
    CHECK(remqtt_message_topic(message).len == 1);
    event_add(&counter->calls, 1);
    return 0;
}

static void count_done(void *user, remqtt_client *client, const remqtt_result *result)
{
    struct counter *counter = user;
    (void)client;
    counter->status = result->status;
    counter->token = result->token;
    event_add(&counter->calls, 1);
}

static void count_drop(void *user)
{
    struct counter *counter = user;
    event_add(&counter->drops, 1);
}

static const remqtt_bytes payload = { (const uint8_t *)"x", 1 };

static void subscribe(remqtt_client *client, const char *filter, struct counter *to, struct counter *done)
{
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of(filter);
    wish.qos = 1;
    if (to) {
        wish.on_message = count_message;
        wish.user = to;
        wish.drop = count_drop;
    }
    CHECK_OK(remqtt_client_subscribe(client, &wish, 1, NULL, count_done, done, count_drop, NULL));
}

static void finish(remqtt_client *client, struct server *server)
{
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    server_stop(server);
}

TEST(a_message_goes_to_each_function_for_its_topic_and_else_to_the_clients)
{
    struct server server = { .echo = 2 };
    struct counter client_s = { 0 }, exact = { 0 }, wild = { 0 }, other = { 0 }, done = { 0 };
    server_start(&server);
    remqtt_config *config = config_for(server.port);
    CHECK_OK(remqtt_config_on_message(config, count_message, &client_s, count_drop));
    remqtt_client *client = client_of(config);
    CHECK_OK(remqtt_client_on_topic(client, remqtt_str_of("other"), count_message, &other, count_drop));
    subscribe(client, "e", NULL, &done);
    CHECK_WAIT(&client_s.calls, 2);
    CHECK_OK(remqtt_client_on_topic(client, remqtt_str_of("e"), count_message, &exact, count_drop));
    CHECK_OK(remqtt_client_on_topic(client, remqtt_str_of("#"), count_message, &wild, count_drop));
    subscribe(client, "e", NULL, &done);
    CHECK_WAIT(&exact.calls, 2);
    CHECK_WAIT(&wild.calls, 2);
    CHECK_OK(remqtt_client_on_topic(client, remqtt_str_of("#"), NULL, NULL, NULL));
    CHECK_WAIT(&wild.drops, 1); /* a call may be under way */
    CHECK_OK(remqtt_client_on_topic(client, remqtt_str_of("e"), count_message, &exact, count_drop));
    CHECK_WAIT(&exact.drops, 1);
    CHECK_STATUS(remqtt_client_on_topic(client, remqtt_str_of("a/#/b"), count_message, &wild, count_drop),
                 REMQTT_E_INVALID_FILTER);
    CHECK_OK(remqtt_client_close(client, 0));
    CHECK_STATUS(remqtt_client_on_topic(client, remqtt_str_of("a"), count_message, &wild, count_drop),
                 REMQTT_E_CLOSED);
    CHECK(atomic_load(&exact.drops) == 2 && atomic_load(&other.drops) == 1 && atomic_load(&wild.drops) == 1);
    CHECK(atomic_load(&other.calls) == 0 && atomic_load(&client_s.calls) == 2);
    finish(client, &server);
}

struct slow {
    remqtt_client *client;
    atomic_uint entered, left;
};

static void drop_slowly(void *user)
{
    struct slow *slow = user;
    const struct timespec while_others_run = { 0, 50000000 };
    event_add(&slow->entered, 1);
    nanosleep(&while_others_run, NULL);
    event_add(&slow->left, 1);
}

static void *close_it(void *user)
{
    struct slow *slow = user;
    CHECK_OK(remqtt_client_close(slow->client, 0));
    return NULL;
}

TEST(close_returns_after_the_functions_for_topics_are_dropped)
{
    struct slow slow = { .client = client_of(config_for(1)) };
    pthread_t other;
    CHECK_OK(remqtt_client_on_topic(slow.client, remqtt_str_of("a"), count_message, &slow, drop_slowly));
    CHECK(pthread_create(&other, NULL, close_it, &slow) == 0);
    CHECK_WAIT(&slow.entered, 1);
    CHECK_OK(remqtt_client_close(slow.client, 0));
    CHECK(atomic_load(&slow.left) == 1);
    pthread_join(other, NULL);
    remqtt_client_free(slow.client);
}

TEST(the_function_of_a_subscription_gets_its_messages_until_the_unsubscribe_is_complete)
{
    struct server server = { .echo = 3 };
    struct counter own = { 0 }, done = { 0 };
    remqtt_str filter = remqtt_str_of("e");
    server_start(&server);
    remqtt_client *client = client_of(config_for(server.port));
    subscribe(client, "e", &own, &done);
    CHECK_WAIT(&own.calls, 3);
    CHECK(atomic_load(&own.drops) == 0);
    CHECK_OK(remqtt_client_unsubscribe(client, &filter, 1, NULL, count_done, &done, count_drop, NULL));
    CHECK_WAIT(&done.calls, 2);
    CHECK_WAIT(&own.drops, 1);
    subscribe(client, "e", NULL, &done);
    CHECK_WAIT(&server.acknowledged, 6);
    CHECK(atomic_load(&own.calls) == 3);
    finish(client, &server);
    CHECK(atomic_load(&own.drops) == 1);
}

TEST(a_subscribe_that_fails_takes_no_function)
{
    struct counter own = { 0 };
    struct server server = { 0 };
    server_start(&server);
    remqtt_client *client = client_of(config_for(server.port));
    remqtt_subscription wishes[2] = { REMQTT_SUBSCRIPTION_INIT, REMQTT_SUBSCRIPTION_INIT };
    wishes[0].filter = remqtt_str_of("e");
    wishes[1].filter = remqtt_str_of("a#");
    wishes[0].on_message = wishes[1].on_message = count_message;
    wishes[0].user = wishes[1].user = &own;
    wishes[0].drop = wishes[1].drop = count_drop;
    CHECK_STATUS(remqtt_client_subscribe(client, wishes, 2, NULL, NULL, NULL, NULL, NULL), REMQTT_E_INVALID_FILTER);
    wishes[1].qos = 3;
    CHECK_STATUS(remqtt_client_subscribe(client, wishes, 2, NULL, NULL, NULL, NULL, NULL), REMQTT_E_INVALID_QOS);
    finish(client, &server);
    CHECK(atomic_load(&own.drops) == 0);
}

TEST(a_subscription_of_a_header_without_functions_is_understood)
{
    struct server server = { .echo = 1 };
    struct counter done = { 0 };
    server_start(&server);
    remqtt_client *client = client_of(config_for(server.port));
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.size = offsetof(remqtt_subscription, on_message);
    wish.filter = remqtt_str_of("e");
    CHECK_OK(remqtt_client_subscribe(client, &wish, 1, NULL, count_done, &done, count_drop, NULL));
    CHECK_WAIT(&done.calls, 1);
    finish(client, &server);
}

TEST(topics_match_filters_as_the_specification_says)
{
    static const struct {
        const char *filter, *topic;
        int32_t covers;
    } rows[] = {
        { "a/b", "a/b", 1 },       { "a/b", "a/c", 0 },        { "a/+", "a/b", 1 },   { "a/+", "a", 0 },
        { "a/+", "a/b/c", 0 },     { "a/#", "a", 1 },          { "a/#", "a/b/c", 1 }, { "#", "a/b", 1 },
        { "+", "/a", 0 },          { "/+", "/a", 1 },          { "+/+", "/a", 1 },    { "#", "$SYS/a", 0 },
        { "+/a", "$SYS/a", 0 },    { "$SYS/#", "$SYS/a", 1 },  { "a/", "a", 0 },      { "a/+", "a/", 1 },
        { "$share/g/a/+", "a/b", 1 }, { "$share/g/#", "$SYS/a", 0 },
        { "a#", "a", REMQTT_E_INVALID_FILTER }, { "a", "a/#", REMQTT_E_INVALID_TOPIC },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t got = remqtt_topic_matches(remqtt_str_of(rows[i].filter), remqtt_str_of(rows[i].topic));
        CHECK_STATUS(got, rows[i].covers);
    }
}

TEST(a_batch_is_accepted_up_to_the_first_that_is_refused)
{
    struct server server = { 0 };
    struct counter done = { 0 };
    server_start(&server);
    remqtt_client *client = client_of(config_for(server.port));
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    options.done = count_done;
    options.user = &done;
    options.drop = count_drop;
    remqtt_publication batch[100];
    remqtt_token tokens[100];
    size_t accepted = 7;
    for (size_t i = 0; i < 100; i++) {
        batch[i] = (remqtt_publication)REMQTT_PUBLICATION_INIT;
        batch[i].topic = remqtt_str_of("a");
        batch[i].payload = payload;
        batch[i].options = &options;
    }
    CHECK_OK(remqtt_client_publish_many(client, batch, 100, tokens, &accepted));
    CHECK(accepted == 100 && tokens[0] > 0 && tokens[99] == tokens[0] + 99);
    CHECK_WAIT(&done.calls, 100);
    CHECK_WAIT(&done.drops, 100);
    batch[60].topic = remqtt_str_of("#");
    CHECK_STATUS(remqtt_client_publish_many(client, batch, 100, tokens, &accepted), REMQTT_E_INVALID_TOPIC);
    CHECK(accepted == 60 && tokens[59] > 0 && tokens[60] == 0 && tokens[99] == 0);
    CHECK_WAIT(&done.drops, 160);
    CHECK_OK(remqtt_client_publish_many(client, NULL, 0, NULL, NULL));
    CHECK_STATUS(remqtt_client_publish_many(client, NULL, 1, NULL, NULL), REMQTT_E_INVALID_ARGUMENT);
    finish(client, &server);
    CHECK(server.publishes == 160);
}

static remqtt_client *stored_client(uint16_t port, const char *store)
{
    remqtt_client *client = NULL;
    remqtt_config *config = config_for(port);
    CHECK_OK(remqtt_config_set(config, "store", store));
    CHECK_OK(remqtt_config_set_client_id(config, "pending", 7));
    CHECK_OK(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    return client;
}

TEST(operations_of_an_earlier_client_are_pending_and_tell_their_end)
{
    struct server server = { 0 };
    struct counter done[3] = { 0 };
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_token tokens[3], found[8];
    size_t count = 0;
    char path[64];
    snprintf(path, sizeof path, "%s/pending", test_folder());
    server_start(&server);
    remqtt_client *client = stored_client(server.port, path);
    options.qos = 1;
    for (int i = 0; i < 3; i++) {
        CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a"), payload, &options, &tokens[i]));
    }
    CHECK_OK(remqtt_client_sync(client, MINUTE_MS));
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);

    client = stored_client(server.port, path);
    CHECK_OK(remqtt_client_pending(client, found, 2, &count));
    CHECK(count == 3 && found[0] == tokens[0] && found[1] == tokens[1]);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(remqtt_client_on_done(client, tokens[i], count_done, &done[i], count_drop));
    }
    CHECK_STATUS(remqtt_client_on_done(client, tokens[0], count_done, &done[0], count_drop),
                 REMQTT_E_INVALID_ARGUMENT);
    CHECK_STATUS(remqtt_client_on_done(client, 999, count_done, &done[0], count_drop), REMQTT_E_INVALID_ARGUMENT);
    CHECK_STATUS(remqtt_client_on_done(client, tokens[0], NULL, NULL, NULL), REMQTT_E_INVALID_ARGUMENT);
    CHECK_OK(remqtt_client_start(client));
    for (int i = 0; i < 3; i++) {
        CHECK_WAIT(&done[i].drops, 1);
        CHECK(done[i].status == REMQTT_OK && done[i].token == tokens[i] && atomic_load(&done[i].calls) == 1);
    }
    CHECK_OK(remqtt_client_pending(client, NULL, 0, &count));
    CHECK(count == 0);
    finish(client, &server);
}

static void note_dropped(void *user, remqtt_token token, const remqtt_publication *publication)
{
    remqtt_token *tokens = user;
    CHECK(publication->topic.len == 1 && publication->payload.len == 1 && publication->options->qos == 1);
    CHECK(publication->options->retain == 1 && remqtt_props_count(publication->options->props) == 0);
    tokens[++tokens[0]] = token;
}

TEST(publishes_that_are_given_up_are_shown_and_complete_with_dropped)
{
    struct counter done = { 0 };
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_token tokens[8] = { 0 }, first = 0;
    size_t count = 0;
    remqtt_client *client = client_of(config_for(1));
    options.qos = 1;
    options.retain = 1;
    options.done = count_done;
    options.user = &done;
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a"), payload, &options, &first));
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("b"), payload, &options, NULL));
    CHECK_OK(remqtt_client_drop_publishes(client, note_dropped, tokens, &count));
    CHECK(count == 2 && tokens[0] == 2 && tokens[1] == first && tokens[2] == first + 1);
    CHECK_WAIT(&done.calls, 2);
    CHECK(done.status == REMQTT_E_DROPPED);
    CHECK_OK(remqtt_client_close(client, 0));
    CHECK_STATUS(remqtt_client_drop_publishes(client, NULL, NULL, NULL), REMQTT_E_CLOSED);
    remqtt_client_free(client);
}

TEST(other_options_hold_from_the_next_connection_on)
{
    uint16_t port;
    int listener = peer_listen(&port);
    remqtt_config *config = config_for(port);
    remqtt_client *client = NULL;
    CHECK_OK(remqtt_client_new(config, &client));
    CHECK_OK(remqtt_client_start(client));
    int socket = peer_accept_client(listener, 0);
    CHECK_OK(remqtt_client_wait_state(client, REMQTT_STATE_CONNECTED, MINUTE_MS));
    CHECK_OK(remqtt_config_set_credentials(config, remqtt_str_of("me"), remqtt_bytes_of("pw", 2)));
    CHECK_OK(remqtt_client_reconfigure(client, config));
    CHECK_OK(remqtt_config_set(config, "store", "another"));
    CHECK_STATUS(remqtt_client_reconfigure(client, config), REMQTT_E_INVALID_OPTION);
    remqtt_config_free(config);
    peer_reset(socket);
    socket = peer_accept(listener);
    struct packet connect = peer_read(socket);
    CHECK(connect.first == 0x10 && (connect.body[7] & 0xC0) == 0xC0);
    CHECK(memcmp(connect.body + connect.length - 8, "\0\2me\0\2pw", 8) == 0);
    free(connect.body);
    PEER_SEND(socket, 0x20, 2, 0, 0);
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    close(socket);
    close(listener);
}

struct logins {
    atomic_uint asked, drops;
};

/* Fails at the first question, and says another password each time. */
static remqtt_status say_who(void *user, remqtt_client *client, remqtt_login *login)
{
    struct logins *logins = user;
    unsigned asked = atomic_fetch_add(&logins->asked, 1);
    const uint8_t password = (uint8_t)('0' + asked);
    (void)client;
    CHECK_STATUS(remqtt_login_set(login, (remqtt_str){ NULL, 3 }, payload), REMQTT_E_INVALID_ARGUMENT);
    CHECK_OK(remqtt_login_set(login, remqtt_str_of("me"), remqtt_bytes_of(&password, 1)));
    return asked == 0 ? REMQTT_E_TIMEOUT : REMQTT_OK;
}

static void drop_logins(void *user)
{
    struct logins *logins = user;
    event_add(&logins->drops, 1);
}

TEST(user_name_and_password_are_asked_for_before_each_attempt)
{
    uint16_t port;
    int listener = peer_listen(&port), socket = -1;
    struct logins logins = { 0 };
    remqtt_config *config = config_for(port);
    CHECK_OK(remqtt_config_on_credentials(config, say_who, &logins, drop_logins));
    remqtt_client *client = client_of(config);
    for (uint8_t attempt = 1; attempt <= 3; attempt++) {
        struct packet connect = { 0 };
        while (connect.first == 0) { /* a way that the application did not follow is closed without a word */
            socket = peer_accept(listener);
            connect = peer_read(socket);
            if (connect.first == 0) {
                free(connect.body);
                close(socket);
            }
        }
        CHECK(connect.first == 0x10 && (connect.body[7] & 0xC0) == 0xC0);
        CHECK(memcmp(connect.body + connect.length - 7, "\0\2me\0\1", 6) == 0);
        CHECK(connect.body[connect.length - 1] == '0' + attempt);
        free(connect.body);
        PEER_SEND(socket, 0x20, 2, 0, 0);
        if (attempt < 3) {
            peer_reset(socket);
        }
    }
    CHECK(atomic_load(&logins.drops) == 0);
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    CHECK_WAIT(&logins.drops, 1);
    close(socket);
    close(listener);
}

TEST(the_socket_of_the_connection_can_be_had_for_its_options)
{
    struct server server = { 0 };
    server_start(&server);
    remqtt_client *client = client_of(config_for(server.port));
    CHECK_OK(remqtt_client_wait_state(client, REMQTT_STATE_CONNECTED, MINUTE_MS));
    int value = 0, socket = remqtt_client_duplicate_socket(client);
    socklen_t length = sizeof value;
    CHECK(socket >= 0 && getsockopt(socket, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_STREAM);
    close(socket);
    CHECK_OK(remqtt_client_stop(client, 0, NULL));
    CHECK_OK(remqtt_client_wait_state(client, REMQTT_STATE_STOPPED, MINUTE_MS));
    CHECK_STATUS(remqtt_client_duplicate_socket(client), REMQTT_E_NOT_CONNECTED);
    finish(client, &server);
}

struct log {
    atomic_uint lines;
    char text[4096];
    int32_t highest;
};

static void keep_line(void *user, remqtt_client *client, int32_t level, remqtt_str text)
{
    struct log *log = user;
    size_t used = strlen(log->text);
    (void)client;
    log->highest = level > log->highest ? level : log->highest;
    snprintf(log->text + used, sizeof log->text - used, "%.*s\n", (int)text.len, text.ptr);
    event_add(&log->lines, 1);
}

static void logged(int32_t level, struct log *log)
{
    struct server server = { .echo = 1 };
    struct counter done = { 0 };
    server_start(&server);
    remqtt_config *config = config_for(server.port);
    CHECK_OK(remqtt_config_set_credentials(config, remqtt_str_of("me"), remqtt_bytes_of("hush", 4)));
    CHECK_OK(remqtt_config_on_log(config, level, keep_line, log, NULL));
    CHECK_STATUS(remqtt_config_on_log(config, 0, keep_line, log, NULL), REMQTT_E_INVALID_ARGUMENT);
    CHECK_STATUS(remqtt_config_on_log(config, 5, keep_line, log, NULL), REMQTT_E_INVALID_ARGUMENT);
    remqtt_client *client = client_of(config);
    subscribe(client, "e", NULL, &done);
    CHECK_WAIT(&done.calls, 1);
    CHECK_WAIT(&server.acknowledged, 1);
    finish(client, &server);
    CHECK(strstr(log->text, "connected; session new") != NULL && strstr(log->text, "closed") != NULL);
    CHECK(strstr(log->text, "hush") == NULL);
    CHECK(log->highest <= level);
}

TEST(the_log_says_what_happens_and_no_secret)
{
    struct log everything = { 0 }, states = { 0 };
    logged(REMQTT_LOG_DEBUG, &everything);
    CHECK(strstr(everything.text, "attempt 1, at server 0") != NULL);
    CHECK(strstr(everything.text, "message on e: 2 bytes, QoS 1") != NULL);
    logged(REMQTT_LOG_INFO, &states);
    CHECK(strstr(states.text, "message on") == NULL);
}

TEST(an_option_can_be_read_by_the_name_that_it_is_set_by)
{
    char text[64];
    size_t options = 0;
    remqtt_config *config = remqtt_config_new();
    while (remqtt_option_name(options)) {
        CHECK(strlen(remqtt_option_name(options)) > 0);
        options++;
    }
    CHECK(options > 40 && !strcmp(remqtt_option_name(0), "client_id"));
    CHECK(remqtt_config_get(config, "keepalive", text, sizeof text) == 2 && !strcmp(text, "60"));
    CHECK_OK(remqtt_config_set(config, "dispatch", "poll"));
    CHECK(remqtt_config_get(config, "dispatch", text, 3) == 4 && !strcmp(text, "po"));
    CHECK(remqtt_config_get(config, "no_such", text, sizeof text) == 0);
    CHECK(remqtt_config_get(NULL, "keepalive", text, sizeof text) == 0);
    CHECK_OK(remqtt_config_set(config, "proxy", "http://user:hush@proxy:1"));
    remqtt_config_get(config, "proxy", text, sizeof text);
    CHECK(strstr(text, "hush") == NULL);
    remqtt_config_free(config);
}
