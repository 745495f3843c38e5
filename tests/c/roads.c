/* The roads beside plain TCP, set up by C and ending in a real mosquitto: TLS with a certificate of ours, WebSocket
 * over TLS, a Unix socket. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

enum { MESSAGES = 100 };

/* ---- the broker ---- */

static struct {
    char folder[32];
    uint16_t tls, wss;
    pid_t process;
} broker;

static const char *place(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", broker.folder, name);
    return path;
}

/* An authority, and a certificate of it for the server and one for us. `openssl` writes them as people have them. */
static void make_certificates(void)
{
    char command[2048];
    snprintf(command, sizeof command,
             "cd %s && exec 2>/dev/null && new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes' && "
             "openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj /CN=roads-ca && "
             "printf 'subjectAltName=DNS:localhost' >names && for who in server device; do "
             "openssl req $new -keyout $who.key -out $who.csr -subj /CN=$who && "
             "openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names "
             "-out $who.pem || exit 1; done",
             broker.folder);
    CHECK(system(command) == 0);
}

static void write_config(void)
{
    FILE *config = fopen(place("mosquitto.conf"), "w");
    CHECK(config != NULL);
    fprintf(config, "user root\nper_listener_settings true\n");
    fprintf(config, "listener %u 127.0.0.1\nallow_anonymous true\n", broker.tls);
    fprintf(config, "cafile ca.pem\ncertfile server.pem\nkeyfile server.key\nrequire_certificate true\n");
    fprintf(config, "listener %u 127.0.0.1\nallow_anonymous true\nsocket_domain ipv4\n", broker.wss);
    fprintf(config, "protocol websockets\ncertfile server.pem\nkeyfile server.key\n");
    fprintf(config, "listener 0 %s\nallow_anonymous true\n", place("socket"));
    fclose(config);
}

/* A port that nobody listens on, below those that the system gives to connections: none of these takes it first. */
static uint16_t free_port(void)
{
    static unsigned next;
    for (;;) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        uint16_t port = (uint16_t)(10000 + ((unsigned)getpid() * 7919 + next++) % 22000);
        address.sin_port = htons(port);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int bound = bind(listener, (struct sockaddr *)&address, sizeof address);
        close(listener);
        if (bound == 0) {
            return port;
        }
    }
}

static void broker_start(void)
{
    snprintf(broker.folder, sizeof broker.folder, "%s", test_folder());
    broker.tls = free_port();
    broker.wss = free_port();
    make_certificates();
    write_config();
    broker.process = fork();
    if (broker.process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the test, the broker goes with it */
        if (chdir(broker.folder) || !freopen("/dev/null", "w", stderr)) {
            _exit(126);
        }
        execlp("mosquitto", "mosquitto", "-c", "mosquitto.conf", (char *)NULL);
        execl("/usr/sbin/mosquitto", "mosquitto", "-c", "mosquitto.conf", (char *)NULL);
        _exit(127);
    }
    CHECK(broker.process > 0);
}

static void broker_stop(void)
{
    kill(broker.process, SIGKILL);
    waitpid(broker.process, NULL, 0);
}

/* ---- the exchange ---- */

struct exchange {
    atomic_uint received[3]; /* of each QoS */
    atomic_uint connections;
    size_t bytes;
};

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    struct exchange *exchange = user;
    (void)client;
    exchange->bytes += remqtt_message_payload(message).len;
    event_add(&exchange->received[remqtt_message_flags(message) & REMQTT_FLAG_QOS], 1);
    return 0;
}

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    struct exchange *exchange = user;
    (void)client;
    if (event->state == REMQTT_STATE_CONNECTED) {
        event_add(&exchange->connections, 1);
    }
}

static void publish_all(remqtt_client *client)
{
    static uint8_t payload[MESSAGES * 20];
    for (size_t n = 0; n < MESSAGES; n++) {
        for (uint8_t qos = 1; qos <= 2; qos++) {
            remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
            options.qos = qos;
            CHECK_OK(remqtt_client_publish(client, remqtt_str_of("road"), remqtt_bytes_of(payload, 20 * n),
                                           &options, NULL));
        }
    }
    CHECK_OK(remqtt_client_flush(client, MINUTE_MS));
}

/* Connects and sends messages to itself; frees the config. */
static void exchange(remqtt_config *config, const char *url)
{
    struct exchange exchange = { 0 };
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    remqtt_token token = 0;
    CHECK_OK(remqtt_config_add_server(config, url));
    CHECK_OK(remqtt_config_set_reconnect(config, 1, 50)); /* the broker may still be starting */
    CHECK_OK(remqtt_config_on_message(config, on_message, &exchange, NULL));
    CHECK_OK(remqtt_config_on_state(config, on_state, &exchange, NULL));
    remqtt_client *client = client_of(config);
    wish.filter = remqtt_str_of("road");
    wish.qos = 2;
    CHECK_OK(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, &token));
    CHECK_OK(remqtt_client_wait(client, token, MINUTE_MS));
    publish_all(client);
    CHECK_WAIT(&exchange.received[1], MESSAGES);
    CHECK_WAIT(&exchange.received[2], MESSAGES);
    CHECK_OK(remqtt_client_close(client, MINUTE_MS));
    remqtt_client_free(client);
    CHECK(atomic_load(&exchange.received[1]) == MESSAGES && atomic_load(&exchange.received[2]) == MESSAGES);
    CHECK(exchange.bytes == 20 * MESSAGES * (MESSAGES - 1) && atomic_load(&exchange.connections) == 1);
}

static remqtt_bytes file(const char *name)
{
    static uint8_t content[4096];
    FILE *opened = fopen(place(name), "r");
    size_t length = opened ? fread(content, 1, sizeof content, opened) : 0;
    CHECK(opened && length > 0);
    if (opened) {
        fclose(opened);
    }
    return remqtt_bytes_of(content, length);
}

static const char *url(const char *scheme, uint16_t port)
{
    static char text[64];
    snprintf(text, sizeof text, "%s://localhost:%u", scheme, port);
    return text;
}

TEST(a_client_certificate_given_as_bytes_opens_mqtts)
{
    remqtt_config *config = remqtt_config_new();
    broker_start();
    CHECK_OK(remqtt_config_set_tls_ca(config, file("ca.pem")));
    CHECK_OK(remqtt_config_set_tls_cert(config, file("device.pem")));
    CHECK_OK(remqtt_config_set_tls_key(config, file("device.key")));
    exchange(config, url("mqtts", broker.tls));
    broker_stop();
}

TEST(a_client_certificate_given_as_files_opens_mqtts)
{
    remqtt_config *config = remqtt_config_new();
    broker_start();
    CHECK_OK(remqtt_config_set_tls_ca(config, file("server.key"))); /* is taken away again */
    CHECK_OK(remqtt_config_set_tls_ca(config, remqtt_bytes_of(NULL, 0)));
    CHECK_OK(remqtt_config_set(config, "tls_ca_file", place("ca.pem")));
    CHECK_OK(remqtt_config_set(config, "tls_cert_file", place("device.pem")));
    CHECK_OK(remqtt_config_set(config, "tls_key_file", place("device.key")));
    exchange(config, url("mqtts", broker.tls));
    broker_stop();
}

TEST(headers_of_ours_go_over_wss)
{
    remqtt_config *config = remqtt_config_new();
    broker_start();
    CHECK_OK(remqtt_config_set_tls_ca(config, file("ca.pem")));
    CHECK_OK(remqtt_config_add_ws_header(config, remqtt_str_of("Origin"), remqtt_str_of("https://here.example")));
    exchange(config, url("wss", broker.wss));
    broker_stop();
}

TEST(messages_go_over_a_unix_socket)
{
    char text[160];
    broker_start();
    snprintf(text, sizeof text, "unix://%s", place("socket"));
    exchange(remqtt_config_new(), text);
    broker_stop();
}
