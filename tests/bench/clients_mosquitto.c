/* clients_mosquitto host port count [idle seconds] */
#include "clients.h"

#include <mosquitto.h>

static void on_connect(struct mosquitto *client, void *user, int code)
{
    (void)client, (void)user;
    if (code == 0)
        count_connected();
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int count = atoi(argv[3]);
    mosquitto_lib_init();
    long before = status_of("VmRSS");
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "libmosquitto-%d", i);
        struct mosquitto *client = mosquitto_new(id, true, NULL);
        mosquitto_connect_callback_set(client, on_connect);
        int code = mosquitto_connect_async(client, argv[1], atoi(argv[2]), 60);
        if (!code)
            code = mosquitto_loop_start(client);
        if (code)
            fail(mosquitto_strerror(code), i);
    }
    tell(count, before, argv[4]);
    _exit(0);
}
