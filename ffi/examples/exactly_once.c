/* Every message of a topic has its effect in a database exactly once, whatever dies when.
 *
 *     exactly_once HOST PORT STORE DATABASE TOPIC
 *
 * The messages are stored in STORE before they are acknowledged, each with a token that stays the same when it comes
 * again. Its effect and its token are written in one transaction; the next process says which token it found there,
 * and gets what comes after it. Stop it however you like, kill -9 included.
 *
 * cc exactly_once.c -o exactly_once $(pkg-config --cflags --libs remqtt sqlite3)
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <remqtt/remqtt.h>
#include <sqlite3.h>

static sqlite3 *effects;
static sqlite3_stmt *insert, *progress;

static void fail(const char *why)
{
    fprintf(stderr, "exactly_once: %s\n", why);
    _exit(1); /* nothing that happened is undone, and nothing is finished that was not */
}

static void must(remqtt_status status)
{
    char why[512];
    if (status != REMQTT_OK) {
        remqtt_last_error(why, sizeof why);
        fail(why);
    }
}

static void run(const char *statement)
{
    if (sqlite3_exec(effects, statement, NULL, NULL, NULL) != SQLITE_OK) {
        fail(sqlite3_errmsg(effects));
    }
}

static void put(sqlite3_stmt *statement, const char *text, size_t length)
{
    sqlite3_bind_text(statement, 1, text, (int)length, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_DONE) {
        fail(sqlite3_errmsg(effects));
    }
    sqlite3_reset(statement);
}

static sqlite3_stmt *prepare(const char *text)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(effects, text, -1, &statement, NULL) != SQLITE_OK) {
        fail(sqlite3_errmsg(effects));
    }
    return statement;
}

static int32_t on_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    (void)user;
    (void)client;
    remqtt_bytes payload = remqtt_message_payload(message);
    remqtt_str token = remqtt_message_token(message);
    run("BEGIN IMMEDIATE");
    put(insert, (const char *)payload.ptr, payload.len);
    put(progress, token.ptr, token.len);
    run("COMMIT");
    return 0; /* from here on the message is finished */
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "exactly_once HOST PORT STORE DATABASE TOPIC\n");
        return 2;
    }
    if (sqlite3_open(argv[4], &effects) != SQLITE_OK) {
        fail(sqlite3_errmsg(effects));
    }
    run("PRAGMA journal_mode = WAL");
    run("CREATE TABLE IF NOT EXISTS effects (payload TEXT)");
    run("CREATE TABLE IF NOT EXISTS progress (only INTEGER PRIMARY KEY, token TEXT)");
    insert = prepare("INSERT INTO effects VALUES (?)");
    progress = prepare("INSERT OR REPLACE INTO progress VALUES (1, ?)");
    sqlite3_stmt *found = prepare("SELECT token FROM progress");
    const char *token = sqlite3_step(found) == SQLITE_ROW ? (const char *)sqlite3_column_text(found, 0) : "";

    char url[300], id[300];
    snprintf(url, sizeof url, "mqtt://%s:%s", argv[1], argv[2]);
    snprintf(id, sizeof id, "exactly-once-%s", argv[5]);
    remqtt_config *config = remqtt_config_new();
    must(remqtt_config_add_server(config, url));
    must(remqtt_config_set(config, "client_id", id));
    must(remqtt_config_set(config, "store", argv[3]));
    must(remqtt_config_set(config, "acknowledge", "stored"));
    must(remqtt_config_set(config, "resume_after", token));
    must(remqtt_config_on_message(config, on_message, NULL, NULL));
    sqlite3_finalize(found);
    remqtt_client *client = NULL;
    must(remqtt_client_new(config, &client));
    remqtt_config_free(config);
    remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
    wish.filter = remqtt_str_of(argv[5]);
    wish.qos = 2;
    must(remqtt_client_subscribe(client, &wish, 1, NULL, NULL, NULL, NULL, NULL));
    must(remqtt_client_start(client));
    for (;;) {
        pause();
    }
}
