/* What a caller can get wrong in one call: it gets a status, and nothing else happens. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "test.h"

#define NULL_STATUS(CALL) CHECK_STATUS(CALL, REMQTT_E_INVALID_ARGUMENT)

static remqtt_client *idle(void)
{
    remqtt_config *config = config_for(1);
    remqtt_client *client = NULL;
    CHECK_OK(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    return client;
}

static const remqtt_str no_text = { NULL, 0 };
static const remqtt_bytes no_bytes = { NULL, 0 };

TEST(null_handles_of_config_and_props_are_refused)
{
    NULL_STATUS(remqtt_config_set(NULL, "keepalive", "1"));
    NULL_STATUS(remqtt_config_add_server(NULL, "mqtt://a"));
    NULL_STATUS(remqtt_config_set_client_id(NULL, "a", 1));
    NULL_STATUS(remqtt_config_set_credentials(NULL, no_text, no_bytes));
    NULL_STATUS(remqtt_config_set_session(NULL, 0, 0));
    NULL_STATUS(remqtt_config_set_reconnect(NULL, 0, 0));
    NULL_STATUS(remqtt_config_set_will(NULL, no_text, no_bytes, 0, 0, NULL));
    NULL_STATUS(remqtt_config_set_connect_props(NULL, NULL));
    NULL_STATUS(remqtt_config_set_tls_ca(NULL, no_bytes));
    NULL_STATUS(remqtt_config_set_tls_cert(NULL, no_bytes));
    NULL_STATUS(remqtt_config_set_tls_key(NULL, no_bytes));
    NULL_STATUS(remqtt_config_add_ws_header(NULL, no_text, no_text));
    NULL_STATUS(remqtt_config_on_state(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_message(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_recovered(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_store(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_quarantined(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_gap(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_log(NULL, REMQTT_LOG_INFO, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_credentials(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_auth(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_config_on_dial(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_login_set(NULL, no_text, no_bytes));
    NULL_STATUS(remqtt_login_set_auth_data(NULL, no_bytes));
    CHECK(remqtt_config_get(NULL, NULL, NULL, 0) == 0 && remqtt_option_name(SIZE_MAX) == NULL);
    NULL_STATUS(remqtt_props_add_int(NULL, 2, 1));
    NULL_STATUS(remqtt_props_add_bytes(NULL, 3, no_bytes, no_bytes));
    NULL_STATUS(remqtt_props_get(NULL, 0, NULL, NULL, NULL, NULL));
    CHECK(remqtt_props_count(NULL) == 0);
    remqtt_props_free(NULL);
    remqtt_config_free(NULL);
}

TEST(null_handles_of_clients_are_refused)
{
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    remqtt_stats stats = REMQTT_STATS_INIT;
    remqtt_outage outage = REMQTT_OUTAGE_INIT;
    CHECK(remqtt_client_outage_text(NULL, 0, NULL, 0) == 0);
    remqtt_client *client = (remqtt_client *)&wish;
    uint64_t value;
    NULL_STATUS(remqtt_client_new(NULL, &client));
    CHECK(client == NULL);
    NULL_STATUS(remqtt_client_start(NULL));
    NULL_STATUS(remqtt_client_stop(NULL, 0, NULL));
    NULL_STATUS(remqtt_client_close(NULL, 0));
    NULL_STATUS(remqtt_client_wait_state(NULL, 0, 0));
    NULL_STATUS(remqtt_client_reconnect_now(NULL));
    NULL_STATUS(remqtt_client_network_changed(NULL));
    NULL_STATUS(remqtt_client_authenticate(NULL, 1, no_bytes, NULL));
    NULL_STATUS(remqtt_client_publish(NULL, remqtt_str_of("a"), no_bytes, NULL, NULL));
    NULL_STATUS(remqtt_client_subscribe(NULL, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_unsubscribe(NULL, &wish.filter, 1, NULL, NULL, NULL, NULL, NULL));
    size_t count;
    NULL_STATUS(remqtt_client_publish_many(NULL, NULL, 0, NULL, NULL));
    NULL_STATUS(remqtt_client_pending(NULL, NULL, 0, &count));
    NULL_STATUS(remqtt_client_on_done(NULL, 1, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_on_topic(NULL, wish.filter, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_drop_publishes(NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_reconfigure(NULL, NULL));
    NULL_STATUS(remqtt_client_duplicate_socket(NULL));
    NULL_STATUS(remqtt_client_wait(NULL, 1, 0));
    NULL_STATUS(remqtt_client_flush(NULL, 0));
    NULL_STATUS(remqtt_client_sync(NULL, 0));
    NULL_STATUS(remqtt_client_stats(NULL, &stats));
    NULL_STATUS(remqtt_client_stat(NULL, 0, &value));
    NULL_STATUS(remqtt_client_outage(NULL, 0, &outage));
    NULL_STATUS(remqtt_client_event_fd(NULL));
    NULL_STATUS(remqtt_client_dispatch(NULL, 0, 0));
    CHECK(remqtt_client_state(NULL) == REMQTT_STATE_CLOSED);
    CHECK(remqtt_client_outage_count(NULL) == 0);
    CHECK(remqtt_client_ref(NULL) == NULL);
    remqtt_client_free(NULL);
}

TEST(null_messages_are_refused)
{
    NULL_STATUS(remqtt_message_ack(NULL, 0));
    CHECK(remqtt_message_topic(NULL).len == 0);
    CHECK(remqtt_message_payload(NULL).len == 0);
    CHECK(remqtt_message_flags(NULL) == 0);
    CHECK(remqtt_message_id(NULL) == 0);
    CHECK(remqtt_message_props(NULL) == NULL);
    CHECK(remqtt_message_ref(NULL) == NULL);
    remqtt_message_free(NULL);
}

TEST(null_arguments_beside_a_handle_are_refused)
{
    remqtt_config *config = remqtt_config_new();
    remqtt_client *client = idle();
    const remqtt_str bad_text = { NULL, 3 };
    const remqtt_bytes bad_bytes = { NULL, 3 };
    NULL_STATUS(remqtt_client_new(config, NULL));
    NULL_STATUS(remqtt_config_set(config, NULL, "1"));
    NULL_STATUS(remqtt_config_set(config, "keepalive", NULL));
    NULL_STATUS(remqtt_config_add_server(config, NULL));
    NULL_STATUS(remqtt_config_set_client_id(config, NULL, 3));
    NULL_STATUS(remqtt_config_set_credentials(config, bad_text, no_bytes));
    NULL_STATUS(remqtt_config_set_credentials(config, no_text, bad_bytes));
    NULL_STATUS(remqtt_config_set_tls_ca(config, bad_bytes));
    NULL_STATUS(remqtt_config_set_tls_cert(config, bad_bytes));
    NULL_STATUS(remqtt_config_set_tls_key(config, bad_bytes));
    NULL_STATUS(remqtt_config_add_ws_header(config, bad_text, no_text));
    NULL_STATUS(remqtt_config_add_ws_header(config, no_text, bad_text));
    NULL_STATUS(remqtt_client_publish(client, bad_text, no_bytes, NULL, NULL));
    NULL_STATUS(remqtt_client_publish(client, remqtt_str_of("a"), bad_bytes, NULL, NULL));
    NULL_STATUS(remqtt_client_subscribe(client, NULL, 1, NULL, NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_unsubscribe(client, NULL, 1, NULL, NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_unsubscribe(client, NULL, SIZE_MAX, NULL, NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_pending(client, NULL, 0, NULL));
    NULL_STATUS(remqtt_client_reconfigure(client, NULL));
    NULL_STATUS(remqtt_client_on_topic(client, bad_text, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_authenticate(client, 1, bad_bytes, NULL));
    NULL_STATUS(remqtt_topic_matches(bad_text, no_text));
    NULL_STATUS(remqtt_client_stats(client, NULL));
    NULL_STATUS(remqtt_client_stat(client, 0, NULL));
    CHECK(remqtt_last_error(NULL, 0) > 0);
    remqtt_client_free(client);
    remqtt_config_free(config);
}

/* A struct of a program that is younger than the library. */
struct grown {
    remqtt_publish_options options;
    uint64_t newer[2];
};

TEST(structs_say_their_size_and_may_grow)
{
    remqtt_client *client = idle();
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    struct grown grown = { REMQTT_PUBLISH_OPTIONS_INIT, { 0, 0 } };
    const size_t sizes[] = { 0, 1, 8, sizeof options - 1, 5000, SIZE_MAX };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        options.size = sizes[i];
        NULL_STATUS(remqtt_client_publish(client, remqtt_str_of("a"), no_bytes, &options, NULL));
    }
    grown.options.size = sizeof grown;
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a"), no_bytes, &grown.options, NULL));
    grown.newer[1] = 1;
    NULL_STATUS(remqtt_client_publish(client, remqtt_str_of("a"), no_bytes, &grown.options, NULL));
    remqtt_client_free(client);
}

TEST(statistics_fill_what_the_caller_has_room_for)
{
    struct {
        remqtt_stats stats;
        uint64_t newer;
    } grown = { REMQTT_STATS_INIT, 7 };
    remqtt_client *client = idle();
    uint64_t value = 0;
    size_t count = 0;
    grown.stats.size = sizeof grown;
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a"), no_bytes, NULL, NULL));
    CHECK_OK(remqtt_client_stats(client, &grown.stats));
    CHECK(grown.newer == 0 && grown.stats.size == sizeof grown);
    grown.stats.size = 4;
    NULL_STATUS(remqtt_client_stats(client, &grown.stats));
    while (remqtt_stat_name(count)) {
        CHECK_OK(remqtt_client_stat(client, count++, &value));
    }
    CHECK(count == (sizeof(remqtt_stats) - sizeof(size_t)) / sizeof(uint64_t));
    NULL_STATUS(remqtt_client_stat(client, count, &value));
    CHECK(!strcmp(remqtt_mark_name(REMQTT_MARK_FIRST_MESSAGE), "FirstMessage"));
    CHECK(remqtt_mark_name(REMQTT_MARK_SLOTS) == NULL);
    remqtt_client_free(client);
}

static remqtt_status publish(remqtt_client *client, const char *topic, uint8_t qos, uint8_t retain)
{
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_token token = 99;
    options.qos = qos;
    options.retain = retain;
    remqtt_status status = remqtt_client_publish(client, remqtt_str_of(topic), no_bytes, &options, &token);
    CHECK((status == REMQTT_OK) == (token != 0));
    return status;
}

TEST(bad_topics_qos_and_flags_are_refused)
{
    remqtt_client *client = idle();
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    const remqtt_str nul = { "a\0b", 3 }, no_utf8 = { "\xC3\x28", 2 };
    CHECK_STATUS(publish(client, "", 0, 0), REMQTT_E_INVALID_TOPIC);
    CHECK_STATUS(publish(client, "a/#", 0, 0), REMQTT_E_INVALID_TOPIC);
    CHECK_STATUS(publish(client, "a/+/b", 1, 0), REMQTT_E_INVALID_TOPIC);
    CHECK_STATUS(remqtt_client_publish(client, nul, no_bytes, NULL, NULL), REMQTT_E_INVALID_TOPIC);
    NULL_STATUS(remqtt_client_publish(client, no_utf8, no_bytes, NULL, NULL));
    CHECK_STATUS(publish(client, "a", 3, 0), REMQTT_E_INVALID_QOS);
    CHECK_STATUS(publish(client, "a", 255, 0), REMQTT_E_INVALID_QOS);
    NULL_STATUS(publish(client, "a", 0, 2));
    options.reserved[4] = 1;
    NULL_STATUS(remqtt_client_publish(client, remqtt_str_of("a"), no_bytes, &options, NULL));
    CHECK_OK(publish(client, "a", 2, 1));
    remqtt_client_free(client);
}

static remqtt_status subscribe(remqtt_client *client, const char *filter, uint8_t qos, uint8_t handling)
{
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of(filter);
    wish.qos = qos;
    wish.retain_handling = handling;
    return remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL);
}

TEST(bad_filters_are_refused)
{
    remqtt_client *client = idle();
    remqtt_str filters[] = { { "a", 1 }, { "a#", 2 } };
    remqtt_subscription wishes[] = { REMQTT_SUBSCRIPTION_INIT, REMQTT_SUBSCRIPTION_INIT };
    CHECK_STATUS(subscribe(client, "", 0, 0), REMQTT_E_INVALID_FILTER);
    CHECK_STATUS(subscribe(client, "a#", 0, 0), REMQTT_E_INVALID_FILTER);
    CHECK_STATUS(subscribe(client, "#/a", 0, 0), REMQTT_E_INVALID_FILTER);
    CHECK_STATUS(subscribe(client, "a", 3, 0), REMQTT_E_INVALID_QOS);
    NULL_STATUS(subscribe(client, "a", 0, 3));
    NULL_STATUS(remqtt_client_subscribe(client, wishes, 0, NULL, NULL, NULL, NULL, NULL));
    NULL_STATUS(remqtt_client_unsubscribe(client, filters, 0, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(remqtt_client_unsubscribe(client, filters, 2, NULL, NULL, NULL, NULL, NULL),
                 REMQTT_E_INVALID_FILTER);
    wishes[0].filter = wishes[1].filter = remqtt_str_of("a/+");
    wishes[1].size = 3;
    NULL_STATUS(remqtt_client_subscribe(client, wishes, 2, NULL, NULL, NULL, NULL, NULL));
    wishes[1].size = wishes[0].size;
    CHECK_OK(remqtt_client_subscribe(client, wishes, 2, NULL, NULL, NULL, NULL, NULL));
    remqtt_client_free(client);
}

TEST(a_packet_that_the_protocol_cannot_express_is_refused)
{
    remqtt_client *client = idle();
    size_t size = 268435456;
    void *payload = calloc(1, size);
    CHECK_STATUS(remqtt_client_publish(client, remqtt_str_of("a"), remqtt_bytes_of(payload, size), NULL, NULL),
                 REMQTT_E_PACKET_TOO_LARGE);
    free(payload);
    remqtt_client_free(client);
}

TEST(bad_options_are_refused_with_words)
{
    char text[256], cut[5] = "....";
    remqtt_config *config = remqtt_config_new();
    remqtt_client *client = NULL;
    CHECK_STATUS(remqtt_config_set(config, "keepalife", "1"), REMQTT_E_INVALID_OPTION);
    CHECK(remqtt_last_error(text, sizeof text) == strlen(text) && strstr(text, "keepalife"));
    CHECK(remqtt_last_error(cut, sizeof cut) == strlen(text) && strlen(cut) == 4);
    CHECK_STATUS(remqtt_config_set(config, "keepalive", "65536"), REMQTT_E_INVALID_OPTION);
    CHECK_STATUS(remqtt_config_set(config, "keepalive", "-1"), REMQTT_E_INVALID_OPTION);
    CHECK_STATUS(remqtt_config_set(config, "clean_start", "maybe"), REMQTT_E_INVALID_OPTION);
    CHECK_STATUS(remqtt_config_set(config, "dispatch", "sometimes"), REMQTT_E_INVALID_OPTION);
    NULL_STATUS(remqtt_config_set_session(config, 2, 0));
    CHECK_STATUS(remqtt_config_set_will(config, remqtt_str_of("a"), no_bytes, 3, 0, NULL),
                 REMQTT_E_INVALID_QOS);
    CHECK_OK(remqtt_config_add_server(config, "gopher://a"));
    CHECK(remqtt_client_new(config, &client) != REMQTT_OK && client == NULL);
    CHECK(remqtt_last_error(text, sizeof text) > 0 && strstr(text, "gopher"));
    remqtt_config_free(config);
}

static void refused_header(const char *name, const char *value)
{
    char text[256];
    remqtt_config *config = config_for(1);
    remqtt_client *client = NULL;
    CHECK_OK(remqtt_config_add_ws_header(config, remqtt_str_of("X-Fine"), remqtt_str_of("")));
    CHECK_OK(remqtt_config_add_ws_header(config, remqtt_str_of(name), remqtt_str_of(value)));
    CHECK_STATUS(remqtt_client_new(config, &client), REMQTT_E_INVALID_OPTION);
    CHECK(remqtt_last_error(text, sizeof text) > 0 && strstr(text, "ws_headers") && !strstr(text, "hush"));
    remqtt_config_free(config);
}

TEST(headers_that_break_the_websocket_handshake_are_refused_without_their_values)
{
    const remqtt_str no_utf8 = { "\xC3\x28", 2 };
    remqtt_config *config = remqtt_config_new();
    NULL_STATUS(remqtt_config_add_ws_header(config, no_utf8, no_text));
    NULL_STATUS(remqtt_config_add_ws_header(config, no_text, no_utf8));
    remqtt_config_free(config);
    refused_header("", "hush");
    refused_header("no name", "hush");
    refused_header("Upgrade", "hush");
    refused_header("X-Two", "hush\r\nX-Lines: hush");
}

TEST(options_of_the_road_are_refused_with_words_and_without_secrets)
{
    const char *const wrong[][3] = {
        { "tls_min_version", "1.1", "stunnel" }, { "tls_psk_identity", "me", "stunnel" },
        { "bind_port", "65536", "integer" },      { "tls_insecure_skip_hostname", "perhaps", "boolean" },
    };
    const char *const late[][2] = { { "proxy", "ftp://hush@host" }, { "proxy", "http://hush:hush@host/path" },
                                    { "bind_address", "here" },     { "dns_servers", "there:x" },
                                    { "tls_ciphers", "HIGH" } };
    char text[512];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        remqtt_config *config = remqtt_config_new();
        CHECK_STATUS(remqtt_config_set(config, wrong[i][0], wrong[i][1]), REMQTT_E_INVALID_OPTION);
        CHECK(remqtt_last_error(text, sizeof text) > 0 && strstr(text, wrong[i][2]));
        remqtt_config_free(config);
    }
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        remqtt_config *config = config_for(1);
        remqtt_client *client = NULL;
        CHECK_OK(remqtt_config_set(config, late[i][0], late[i][1]));
        CHECK_STATUS(remqtt_client_new(config, &client), REMQTT_E_INVALID_OPTION);
        CHECK(remqtt_last_error(text, sizeof text) > 0 && strstr(text, late[i][0]) && !strstr(text, "hush"));
        remqtt_config_free(config);
    }
}

TEST(properties_come_back_as_they_went_in)
{
    remqtt_props *props = remqtt_props_new();
    uint8_t id = 0;
    uint32_t number = 0;
    remqtt_bytes key, value;
    CHECK_OK(remqtt_props_add_int(props, 0x02, 30));
    CHECK_OK(remqtt_props_add_bytes(props, 0x26, remqtt_bytes_of("k", 1), remqtt_bytes_of("value", 5)));
    CHECK_OK(remqtt_props_add_bytes(props, 0x09, no_bytes, remqtt_bytes_of("\0\xFF", 2)));
    NULL_STATUS(remqtt_props_add_int(props, 0x7F, 1));
    NULL_STATUS(remqtt_props_add_int(props, 0x01, 256));
    NULL_STATUS(remqtt_props_add_int(props, 0x26, 1));
    NULL_STATUS(remqtt_props_add_bytes(props, 0x02, no_bytes, no_bytes));
    NULL_STATUS(remqtt_props_add_bytes(props, 0x03, remqtt_bytes_of("k", 1), remqtt_bytes_of("v", 1)));
    NULL_STATUS(remqtt_props_add_bytes(props, 0x03, no_bytes, remqtt_bytes_of("\xFF", 1)));
    CHECK(remqtt_props_count(props) == 3);
    CHECK_OK(remqtt_props_get(props, 0, &id, &number, NULL, NULL));
    CHECK(id == 0x02 && number == 30);
    CHECK_OK(remqtt_props_get(props, 1, &id, NULL, &key, &value));
    CHECK(id == 0x26 && key.len == 1 && value.len == 5 && !memcmp(value.ptr, "value", 5));
    CHECK_OK(remqtt_props_get(props, 2, NULL, NULL, &key, &value));
    CHECK(key.len == 0 && value.len == 2 && value.ptr[1] == 0xFF);
    NULL_STATUS(remqtt_props_get(props, 3, NULL, NULL, NULL, NULL));
    CHECK(!strcmp(remqtt_property_name(0x26), "UserProperty") && remqtt_property_name(0x7F) == NULL);
    CHECK(remqtt_property_kind(0x09) == REMQTT_PROPERTY_BINARY && remqtt_property_kind(0) == 0);
    remqtt_props_free(props);
}

TEST(statuses_describe_themselves)
{
    CHECK(remqtt_abi_version() == REMQTT_ABI_VERSION && strlen(remqtt_version()) >= 5);
    CHECK(!strcmp(remqtt_status_name(REMQTT_E_QUEUE_FULL), "QueueFull"));
    CHECK(!strcmp(remqtt_status_name(REMQTT_OK), "ok") && !strcmp(remqtt_status_name(-999), "unknown"));
    CHECK(!strcmp(remqtt_status_who(REMQTT_E_CONNECTION_LOST), "network"));
    CHECK(strlen(remqtt_status_text(REMQTT_E_DEADLOCK)) > 10);
    CHECK(remqtt_status_is_retriable(REMQTT_E_QUEUE_FULL) == 1);
    CHECK(remqtt_status_is_retriable(REMQTT_E_INVALID_TOPIC) == 0);
    CHECK(remqtt_status_is_retriable(12345) == 0);
}

TEST(calls_after_close_say_so)
{
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    remqtt_stats stats = REMQTT_STATS_INIT;
    remqtt_client *client = idle();
    wish.filter = remqtt_str_of("a");
    CHECK_OK(remqtt_client_close(client, 0));
    CHECK_OK(remqtt_client_close(client, 1000));
    CHECK_STATUS(remqtt_client_start(client), REMQTT_E_CLOSED);
    CHECK_STATUS(remqtt_client_stop(client, 0, NULL), REMQTT_E_CLOSED);
    CHECK_STATUS(remqtt_client_reconnect_now(client), REMQTT_E_CLOSED);
    CHECK_STATUS(remqtt_client_network_changed(client), REMQTT_E_CLOSED);
    CHECK_STATUS(publish(client, "a", 1, 0), REMQTT_E_CLOSED);
    CHECK_STATUS(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL), REMQTT_E_CLOSED);
    CHECK_STATUS(remqtt_client_unsubscribe(client, &wish.filter, 1, NULL, NULL, NULL, NULL, NULL),
                 REMQTT_E_CLOSED);
    CHECK_STATUS(remqtt_client_wait_state(client, REMQTT_STATE_CONNECTED, 1000), REMQTT_E_CLOSED);
    CHECK_OK(remqtt_client_wait_state(client, REMQTT_STATE_CLOSED, 1000));
    CHECK_OK(remqtt_client_flush(client, 1000));
    CHECK_STATUS(remqtt_client_sync(client, 1000), REMQTT_E_CLOSED);
    CHECK_OK(remqtt_client_stats(client, &stats));
    CHECK(remqtt_client_state(client) == REMQTT_STATE_CLOSED);
    CHECK(remqtt_client_ref(client) == client);
    remqtt_client_free(client);
    remqtt_client_free(client);
}

TEST(waits_end_with_their_time)
{
    remqtt_client *client = idle();
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    remqtt_token token = 0;
    options.qos = 1;
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a"), no_bytes, &options, &token));
    CHECK_STATUS(remqtt_client_wait(client, token, 1), REMQTT_E_TIMEOUT);
    CHECK_STATUS(remqtt_client_flush(client, 1), REMQTT_E_TIMEOUT);
    CHECK_STATUS(remqtt_client_wait_state(client, REMQTT_STATE_CONNECTED, 1), REMQTT_E_TIMEOUT);
    CHECK(remqtt_client_wait(client, 12345, 1) != REMQTT_OK);
    NULL_STATUS(remqtt_client_wait_state(client, 77, 1));
    NULL_STATUS(remqtt_client_dispatch(client, 0, 0));
    NULL_STATUS(remqtt_client_event_fd(client));
    CHECK_OK(remqtt_client_close(client, 0));
    CHECK_STATUS(remqtt_client_wait(client, token, 1000), REMQTT_E_CLOSED);
    remqtt_client_free(client);
}
