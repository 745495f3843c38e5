/* TLS with a client certificate: publishes one message to a server that asks who we are.
 *
 *     tls_client HOST PORT CA_FILE CERT_FILE KEY_FILE TOPIC MESSAGE
 *
 * cc tls_client.c -o tls_client $(pkg-config --cflags --libs remqtt)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remqtt/remqtt.h>

static void must(remqtt_status status)
{
    char why[512];
    if (status != REMQTT_OK) {
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "tls_client: %s\n", why);
        exit(1);
    }
}

/* Says why an attempt failed: a certificate that is refused, by whom, and what for. */
static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    (void)user;
    (void)client;
    if (event->cause != REMQTT_OK) {
        fprintf(stderr, "tls_client: %.*s\n", (int)event->text.len, event->text.ptr);
    }
}

int main(int argc, char **argv)
{
    char url[300];
    remqtt_client *client = NULL;
    remqtt_token token = 0;
    if (argc < 8) {
        fprintf(stderr, "usage: tls_client HOST PORT CA_FILE CERT_FILE KEY_FILE TOPIC MESSAGE\n");
        return 2;
    }
    snprintf(url, sizeof url, "mqtts://%s:%s", argv[1], argv[2]);
    remqtt_config *config = remqtt_config_new();
    must(remqtt_config_add_server(config, url));
    must(remqtt_config_set(config, "tls_ca_file", argv[3]));   /* who may vouch for the server */
    must(remqtt_config_set(config, "tls_cert_file", argv[4])); /* who we are, with the chain */
    must(remqtt_config_set(config, "tls_key_file", argv[5]));
    must(remqtt_config_on_state(config, on_state, NULL, NULL));
    must(remqtt_client_new(config, &client));
    remqtt_config_free(config);

    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 1;
    must(remqtt_client_start(client));
    must(remqtt_client_publish(client, remqtt_str_of(argv[6]), remqtt_bytes_of(argv[7], strlen(argv[7])), &options,
                               &token));
    remqtt_status sent = remqtt_client_wait(client, token, 10000);
    printf("%s\n", sent == REMQTT_OK ? "sent" : remqtt_status_text(sent));
    must(remqtt_client_close(client, 0));
    remqtt_client_free(client);
    return sent == REMQTT_OK ? 0 : 1;
}
