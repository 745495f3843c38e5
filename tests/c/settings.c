/* What a client is told beside its operations, and what it tells: new options, credentials, its socket, its log. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

static void finish(remqtt_client *client, struct server *server)
{
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    server_stop(server);
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
    struct packet connect = peer_accept_connect(listener, &socket);
    CHECK((connect.body[7] & 0xC0) == 0xC0);
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
    CHECK_STATUS(remqtt_login_set(login, (remqtt_str){ NULL, 3 }, remqtt_bytes_of("x", 1)), REMQTT_E_INVALID_ARGUMENT);
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
        struct packet connect = peer_accept_connect(listener, &socket);
        CHECK((connect.body[7] & 0xC0) == 0xC0);
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
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    server_start(&server);
    remqtt_config *config = config_for(server.port);
    CHECK_OK(remqtt_config_set_credentials(config, remqtt_str_of("me"), remqtt_bytes_of("hush", 4)));
    CHECK_OK(remqtt_config_on_log(config, level, keep_line, log, NULL));
    CHECK_STATUS(remqtt_config_on_log(config, 0, keep_line, log, NULL), REMQTT_E_INVALID_ARGUMENT);
    CHECK_STATUS(remqtt_config_on_log(config, 5, keep_line, log, NULL), REMQTT_E_INVALID_ARGUMENT);
    remqtt_client *client = client_of(config);
    wish.filter = remqtt_str_of("e");
    wish.qos = 1;
    CHECK_OK(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
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
