/* clients_remqtt host port count [idle seconds] */
#include "clients.h"

#include <remqtt/remqtt.h>

static void on_state(void *user, remqtt_client *client, const remqtt_state_event *event)
{
    (void)user, (void)client;
    if (event->state == REMQTT_STATE_CONNECTED)
        count_connected();
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)user, (void)client, (void)message;
    return 0;
}

static void check(remqtt_status status, const char *what)
{
    if (status != REMQTT_OK)
        fail(what, status);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int count = atoi(argv[3]);
    char url[300];
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    long before = status_of("VmRSS");
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "remqtt-%d", i);
        remqtt_config *config = remqtt_config_new();
        remqtt_client *client = NULL;
        check(remqtt_config_add_server(config, url), "server");
        check(remqtt_config_set(config, "client_id", id), "client id");
        check(remqtt_config_on_state(config, on_state, NULL, NULL), "callback");
        check(remqtt_config_on_message(config, on_message, NULL, NULL), "callback");
        check(remqtt_client_new(config, &client), "client");
        check(remqtt_client_start(client), "start");
        remqtt_config_free(config);
    }
    tell(count, before, argv[4]);
    _exit(0);
}
