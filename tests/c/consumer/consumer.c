/* A program as a user's: it goes to the broker at the URL, gets back what it publishes, and prints the version. */
#include <stdio.h>
#include <remqtt/remqtt.h>

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)client;
    *(volatile int *)user = remqtt_message_payload(message).len == 5;
    return 0;
}

int main(int argc, char **argv)
{
    volatile int came = 0;
    remqtt_config *config = remqtt_config_new();
    remqtt_client *client = NULL;
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    if (argc < 2) {
        return 2;
    }
    remqtt_config_add_server(config, argv[1]);
    remqtt_config_set(config, "dispatch", "poll");
    remqtt_config_on_message(config, on_message, (void *)&came, NULL);
    remqtt_status status = remqtt_client_new(config, &client);
    remqtt_config_free(config);
    wish.filter = remqtt_str_of("consumer");
    wish.qos = options.qos = 1;
    remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL);
    remqtt_client_publish(client, wish.filter, remqtt_bytes_of("hello", 5), &options, NULL);
    remqtt_client_start(client);
    for (int turns = 0; !came && turns < 600; turns++) {
        remqtt_client_dispatch(client, 100, 0);
    }
    remqtt_client_close(client, 1000);
    remqtt_client_free(client);
    puts(remqtt_version());
    return status != REMQTT_OK || !came || remqtt_abi_version() != REMQTT_ABI_VERSION;
}
