/* Enhanced authentication: an exchange of AUTH packets, byte by byte. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

enum { METHOD = 0x15, DATA = 0x16 };

struct scene {
    uint16_t port;
    int listener;
    remqtt_client *client;
    remqtt_status answer; /* what the function for AUTH returns */
    atomic_uint logins, challenges, successes, failures;
};

static remqtt_status first_data(void *user, remqtt_client *client, remqtt_login *login)
{
    struct scene *scene = user;
    const uint8_t data = (uint8_t)('1' + atomic_fetch_add(&scene->logins, 1));
    (void)client;
    CHECK_OK(remqtt_login_set(login, remqtt_str_of("me"), (remqtt_bytes){ NULL, 0 }));
    return remqtt_login_set_auth_data(login, remqtt_bytes_of(&data, 1));
}

/* Answers with the server's data and a '!'. */
static remqtt_status on_auth(void *user, remqtt_client *client, const remqtt_auth *auth)
{
    struct scene *scene = user;
    char answer[2] = { '-', '!' };
    CHECK(auth->size == sizeof *auth && remqtt_props_count(auth->props) == 2);
    CHECK(auth->data.len == 1);
    if (auth->reason == 0) {
        CHECK(auth->exchange == 0);
        event_add(&scene->successes, 1);
        return REMQTT_OK;
    }
    CHECK(auth->reason == 0x18 && auth->exchange != 0);
    event_add(&scene->challenges, 1);
    answer[0] = (char)*auth->data.ptr;
    if (scene->answer == REMQTT_OK) {
        CHECK_OK(remqtt_client_authenticate(client, auth->exchange, remqtt_bytes_of(answer, 2), NULL));
    }
    return scene->answer;
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct scene *scene = user;
    (void)client;
    if (event->cause == REMQTT_E_AUTHENTICATION_FAILED) {
        event_add(&scene->failures, 1);
    }
}

static void begin(struct scene *scene, int listens)
{
    remqtt_props *props = remqtt_props_new();
    scene->listener = peer_listen(&scene->port);
    remqtt_config *config = config_for(scene->port);
    CHECK_OK(remqtt_config_set(config, "protocol_version", "5"));
    CHECK_OK(remqtt_props_add_bytes(props, METHOD, (remqtt_bytes){ NULL, 0 }, remqtt_bytes_of("m", 1)));
    CHECK_OK(remqtt_config_set_connect_props(config, props));
    CHECK_OK(remqtt_config_on_credentials(config, first_data, scene, NULL));
    CHECK_OK(remqtt_config_on_state(config, on_state, scene, NULL));
    if (listens) {
        CHECK_OK(remqtt_config_on_auth(config, on_auth, scene, NULL));
    }
    remqtt_props_free(props);
    scene->client = client_of(config);
}

static void end(struct scene *scene, int socket)
{
    CHECK_OK(remqtt_client_close(scene->client, 0));
    remqtt_client_free(scene->client);
    close(socket);
    close(scene->listener);
}

/* Accepts a connection whose CONNECT has this byte as its first data. */
static int expect_connect(const struct scene *scene, uint8_t data)
{
    const uint8_t wanted[] = { METHOD, 0, 1, 'm', DATA, 0, 1, data };
    int socket, found = 0;
    struct packet connect = peer_accept_connect(scene->listener, &socket);
    CHECK(connect.first == 0x10);
    for (size_t at = 0; at + sizeof wanted <= connect.length; at++) {
        found |= memcmp(connect.body + at, wanted, sizeof wanted) == 0;
    }
    CHECK(found);
    free(connect.body);
    return socket;
}

static void challenge(int socket, uint8_t reason, uint8_t data)
{
    PEER_SEND(socket, 0xF0, 10, reason, 8, METHOD, 0, 1, 'm', DATA, 0, 1, data);
}

static void expect_auth(int socket, uint8_t reason, const char *data)
{
    const uint8_t wanted[] = { reason, 9, METHOD, 0, 1, 'm', DATA, 0, 2, (uint8_t)data[0], (uint8_t)data[1] };
    struct packet auth = peer_read(socket);
    CHECK(auth.first == 0xF0 && auth.length == sizeof wanted);
    CHECK(auth.length == sizeof wanted && memcmp(auth.body, wanted, sizeof wanted) == 0);
    free(auth.body);
}

TEST(challenges_are_answered_at_each_attempt_and_a_connection_is_authenticated_anew)
{
    struct scene scene = { 0 };
    begin(&scene, 1);
    int socket = expect_connect(&scene, '1');
    challenge(socket, 0x18, 'a');
    expect_auth(socket, 0x18, "a!");
    CHECK_STATUS(remqtt_client_authenticate(scene.client, 0, remqtt_bytes_of("x", 1), NULL), REMQTT_E_NOT_CONNECTED);
    peer_reset(socket);
    socket = expect_connect(&scene, '2');
    challenge(socket, 0x18, 'b');
    expect_auth(socket, 0x18, "b!");
    challenge(socket, 0x18, 'c');
    expect_auth(socket, 0x18, "c!");
    PEER_SEND(socket, 0x20, 3, 0, 0, 0);
    CHECK_OK(remqtt_client_wait_state(scene.client, REMQTT_STATE_CONNECTED, MINUTE_MS));
    CHECK_OK(remqtt_client_authenticate(scene.client, 0, remqtt_bytes_of("me", 2), NULL));
    expect_auth(socket, 0x19, "me");
    challenge(socket, 0x18, 'd');
    expect_auth(socket, 0x18, "d!");
    challenge(socket, 0x00, '.');
    CHECK_WAIT(&scene.successes, 1);
    CHECK(atomic_load(&scene.challenges) == 4 && atomic_load(&scene.failures) == 0);
    end(&scene, socket);
}

static void refused(int listens)
{
    struct scene scene = { .answer = REMQTT_E_TIMEOUT };
    begin(&scene, listens);
    int socket = expect_connect(&scene, '1');
    challenge(socket, 0x18, 'a');
    CHECK_WAIT(&scene.failures, 1);
    CHECK(atomic_load(&scene.challenges) == (unsigned)listens);
    close(socket);
    socket = expect_connect(&scene, '2');
    end(&scene, socket);
}

TEST(a_challenge_that_the_function_refuses_or_nobody_hears_ends_the_attempt)
{
    refused(1);
    refused(0);
}

TEST(what_an_auth_cannot_carry_is_refused_at_the_call)
{
    struct scene scene = { 0 };
    remqtt_props *props = remqtt_props_new();
    begin(&scene, 1);
    int socket = expect_connect(&scene, '1');
    CHECK_OK(remqtt_props_add_bytes(props, METHOD, (remqtt_bytes){ NULL, 0 }, remqtt_bytes_of("m", 1)));
    CHECK_STATUS(remqtt_client_authenticate(scene.client, 1, (remqtt_bytes){ NULL, 0 }, props),
                 REMQTT_E_INVALID_ARGUMENT);
    remqtt_props_free(props);
    end(&scene, socket);
}
