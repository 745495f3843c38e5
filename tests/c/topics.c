/* Functions for some topics, operations by the dozen, those of an earlier process. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int32_t keep_back(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)count_message(user, client, message);
    return REMQTT_ACK_LATER;
}

TEST(every_function_for_a_topic_gets_the_message_that_one_of_them_keeps_back)
{
    struct server server = { .echo = 1 };
    struct counter first = { 0 }, own = { 0 }, done = { 0 };
    server_start(&server);
    remqtt_client *client = client_of(config_for(server.port));
    CHECK_OK(remqtt_client_on_topic(client, remqtt_str_of("e"), keep_back, &first, count_drop));
    subscribe(client, "e", &own, &done); /* the same filter: a function beside that of remqtt_client_on_topic */
    CHECK_WAIT(&first.calls, 1);
    CHECK_WAIT(&own.calls, 1);
    CHECK(atomic_load(&first.drops) == 0);
    finish(client, &server);
    CHECK(atomic_load(&server.acknowledged) == 0);
}

TEST(the_function_of_a_subscription_gets_its_messages_until_the_unsubscribe_is_complete)
{
    struct server server = { .echo = 3 };
    struct counter other = { 0 }, own = { 0 }, done = { 0 };
    remqtt_str filter = remqtt_str_of("e");
    server_start(&server);
    remqtt_client *client = client_of(config_for(server.port));
    CHECK_OK(remqtt_client_on_topic(client, remqtt_str_of("other"), count_message, &other, count_drop));
    subscribe(client, "e", &own, &done);
    CHECK_WAIT(&own.calls, 3);
    CHECK(atomic_load(&own.drops) == 0);
    CHECK_OK(remqtt_client_unsubscribe(client, &filter, 1, NULL, count_done, &done, count_drop, NULL));
    CHECK_WAIT(&done.calls, 2);
    CHECK_WAIT(&own.drops, 1);
    CHECK(atomic_load(&other.drops) == 0);
    subscribe(client, "e", NULL, &done);
    CHECK_WAIT(&server.acknowledged, 6);
    CHECK(atomic_load(&own.calls) == 3);
    finish(client, &server);
    CHECK(atomic_load(&own.drops) == 1);
}

TEST(an_unsubscribe_that_is_too_large_for_the_server_takes_no_function_away)
{
    uint16_t port;
    int listener = peer_listen(&port);
    struct counter own = { 0 }, done = { 0 };
    remqtt_str filters[] = { remqtt_str_of("e"), remqtt_str_of("one/that/is/longer/than/thirty/bytes") };
    remqtt_config *config = config_for(port);
    CHECK_OK(remqtt_config_set(config, "protocol_version", "5"));
    remqtt_client *client = client_of(config);
    int socket;
    free(peer_accept_connect(listener, &socket).body);
    PEER_SEND(socket, 0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 30); /* Maximum Packet Size */
    subscribe(client, "e", &own, &done);
    struct packet request = peer_read(socket);
    PEER_SEND(socket, 0x90, 4, request.body[0], request.body[1], 0, 1);
    free(request.body);
    CHECK_WAIT(&done.drops, 1);
    CHECK_OK(remqtt_client_unsubscribe(client, filters, 2, NULL, count_done, &done, count_drop, NULL));
    CHECK_WAIT(&done.drops, 2);
    CHECK_STATUS(done.status, REMQTT_E_PACKET_TOO_LARGE);
    PEER_SEND(socket, 0x30, 5, 0, 1, 'e', 0, 'x');
    CHECK_WAIT(&own.calls, 1);
    CHECK(atomic_load(&own.drops) == 0);
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    close(socket);
    close(listener);
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
    CHECK_STATUS(remqtt_client_publish_many(client, NULL, 1, NULL, &accepted), REMQTT_E_INVALID_ARGUMENT);
    CHECK(accepted == 0);
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
    CHECK(atomic_load(&done[0].drops) == 1); /* the calls that failed took nothing */
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
