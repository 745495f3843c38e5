/* A host that loads the library at run time, as interpreters and plug-in hosts do, and lets go of it again. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <remqtt/remqtt.h>

enum { ROUNDS = 20 };

/* A function of the library; ISO C has no cast from what dlsym gives. */
#define LOAD(LIBRARY, NAME)                                                                                  \
    __typeof__(&NAME) NAME##_p = NULL;                                                                       \
    void *NAME##_found = dlsym(LIBRARY, #NAME);                                                              \
    memcpy(&NAME##_p, &NAME##_found, sizeof NAME##_p)

/* Threads of the library are alive when it is let go of. */
static int use_and_close(const char *path)
{
    remqtt_client *client = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 0;
    }
    LOAD(library, remqtt_config_new);
    LOAD(library, remqtt_config_free);
    LOAD(library, remqtt_config_add_server);
    LOAD(library, remqtt_client_new);
    LOAD(library, remqtt_client_start);
    LOAD(library, remqtt_client_close);
    LOAD(library, remqtt_client_free);
    remqtt_config *config = remqtt_config_new_p();
    int ok = remqtt_config_add_server_p(config, "mqtt://127.0.0.1:1") == REMQTT_OK &&
             remqtt_client_new_p(config, &client) == REMQTT_OK && remqtt_client_start_p(client) == REMQTT_OK &&
             remqtt_client_close_p(client, 0) == REMQTT_OK;
    remqtt_client_free_p(client);
    remqtt_config_free_p(config);
    return dlclose(library) == 0 && ok;
}

int main(int argc, char **argv)
{
    int passed = 0;
    for (int i = 0; argc == 2 && i < ROUNDS; i++) {
        passed += use_and_close(argv[1]);
    }
    printf("dlopen: %d passed, %d failed\n", passed, ROUNDS - passed);
    return passed != ROUNDS;
}
