/* What is in the file of a store, read while no client uses it. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "test.h"

/* A client that keeps its session in this file of the test's folder; nothing listens at its server. */
static remqtt_client *stored_client(char path[64], const char *name)
{
    remqtt_client *client = NULL;
    remqtt_config *config = config_for(1);
    snprintf(path, 64, "%s/%s", test_folder(), name);
    CHECK_OK(remqtt_config_set(config, "store", path));
    CHECK_OK(remqtt_config_set(config, "client_id", "box"));
    CHECK_OK(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    return client;
}

static void leave(remqtt_client *client)
{
    CHECK_OK(remqtt_client_sync(client, MINUTE_MS));
    CHECK_OK(remqtt_client_close(client, 0));
    remqtt_client_free(client);
}

static void publish(remqtt_client *client, const char *payload)
{
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = 2;
    CHECK_OK(remqtt_client_publish(client, remqtt_str_of("a/\"b\""), remqtt_bytes_of(payload, strlen(payload)),
                                   &options, NULL));
}

static void check_record(const remqtt_inspection *inspection, size_t index, const char *wanted)
{
    char text[512] = "";
    CHECK(remqtt_inspection_record(inspection, index, text, sizeof text) == strlen(text));
    CHECK(strcmp(text, wanted) == 0);
}

TEST(an_inspection_shows_what_a_client_has_left)
{
    char path[64], cut[8];
    struct stat file;
    remqtt_inspection *inspection = NULL;
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    remqtt_client *client = stored_client(path, "left");
    wish.filter = remqtt_str_of("c/#");
    wish.qos = 1;
    CHECK_OK(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    publish(client, "hi\n");
    leave(client);

    CHECK_OK(remqtt_inspection_new(path, &inspection));
    CHECK(stat(path, &file) == 0 && remqtt_inspection_size(inspection) == (uint64_t)file.st_size);
    CHECK(remqtt_inspection_damage(inspection).len == 0);
    CHECK(remqtt_inspection_count(inspection) == 3);
    CHECK(remqtt_inspection_record(inspection, 0, cut, sizeof cut) > sizeof cut && !strcmp(cut, "{\"kind\""));
    check_record(inspection, 1,
                 "{\"kind\": \"publish\", \"ticket\": 2, \"phase\": \"waiting\", \"packet_identifier\": 0, "
                 "\"topic\": \"a/\\\"b\\\"\", \"qos\": 2, \"retain\": false, \"payload\": \"68690a\"}");
    check_record(inspection, 2,
                 "{\"kind\": \"subscription\", \"filter\": \"c/#\", \"qos\": 1, \"no_local\": false, "
                 "\"retain_as_published\": false, \"retain_handling\": 0}");
    CHECK(remqtt_inspection_record(inspection, 3, NULL, 0) == 0);
    remqtt_inspection_free(inspection);
}

TEST(a_damaged_store_is_read_as_far_as_it_can_be_and_left_as_it_is)
{
    char path[64], before[64], after[64];
    remqtt_inspection *inspection = NULL;
    remqtt_client *client = stored_client(path, "damaged");
    publish(client, "hi");
    leave(client);
    memset(before, 'x', sizeof before);
    FILE *file = fopen(path, "r+");
    CHECK(file && fwrite(before, 1, sizeof before, file) == sizeof before && fclose(file) == 0);

    CHECK_OK(remqtt_inspection_new(path, &inspection));
    remqtt_str damage = remqtt_inspection_damage(inspection);
    CHECK(damage.len > strlen(path) && memcmp(damage.ptr, path, strlen(path)) == 0);
    remqtt_inspection_free(inspection);
    file = fopen(path, "r");
    CHECK(file && fread(after, 1, sizeof after, file) == sizeof after && fclose(file) == 0);
    CHECK(memcmp(before, after, sizeof before) == 0);
}

TEST(a_store_that_a_client_uses_is_locked)
{
    char path[64];
    remqtt_inspection *inspection = (remqtt_inspection *)path;
    remqtt_client *client = stored_client(path, "used");
    CHECK_STATUS(remqtt_inspection_new(path, &inspection), REMQTT_E_STORE_LOCKED);
    CHECK(inspection == NULL);
    leave(client);
    CHECK_OK(remqtt_inspection_new(path, &inspection));
    remqtt_inspection_free(inspection);
}

/* The lock is of the kind that belongs to a process; others belong to the open file, which a child shares. */
TEST(a_child_that_lives_on_does_not_hold_the_store_of_its_parent)
{
    char path[64], byte;
    int alive[2];
    remqtt_inspection *inspection = NULL;
    remqtt_client *client = stored_client(path, "forked");
    CHECK(pipe(alive) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(alive[1]);
        _exit((int)read(alive[0], &byte, 1)); /* until the parent lets go */
    }
    CHECK(child > 0);
    leave(client);
    CHECK_OK(remqtt_inspection_new(path, &inspection));
    remqtt_inspection_free(inspection);
    close(alive[0]);
    close(alive[1]);
    CHECK(waitpid(child, NULL, 0) == child);
}

TEST(what_is_no_file_is_refused_with_its_name)
{
    char why[256] = "";
    remqtt_inspection *inspection = NULL;
    CHECK_STATUS(remqtt_inspection_new("/no/such/store", &inspection), REMQTT_E_STORE_FAILED);
    CHECK(remqtt_last_error(why, sizeof why) > 0 && strstr(why, "/no/such/store"));
    CHECK_STATUS(remqtt_inspection_new(test_folder(), &inspection), REMQTT_E_STORE_FAILED);
    CHECK_STATUS(remqtt_inspection_new(NULL, &inspection), REMQTT_E_INVALID_ARGUMENT);
    CHECK_STATUS(remqtt_inspection_new("x", NULL), REMQTT_E_INVALID_ARGUMENT);
    CHECK(remqtt_inspection_size(NULL) == 0 && remqtt_inspection_count(NULL) == 0);
    CHECK(remqtt_inspection_damage(NULL).len == 0 && remqtt_inspection_record(NULL, 0, NULL, 0) == 0);
    remqtt_inspection_free(NULL);
}
