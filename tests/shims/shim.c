/* The C shim: the protocol is in README.md, the reference in shim.rs.
 *
 * Commands are carried out on the main thread, or inside the callback of CONNECTED after `on_connect`; events are
 * printed by the callbacks. How words and lines are written is in text.h. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remqtt/remqtt.h>

#include "text.h"

enum { COMMANDS = 64 };

static remqtt_config *config;
static remqtt_client *client;
static bool manual_ack;
static remqtt_bytes username, password; /* malloc'd; ptr NULL: not given */
static char *on_connect[COMMANDS];
static size_t on_connect_count;
static remqtt_message *kept[65536]; /* the latest message with each packet identifier, with manual_ack */
static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER; /* on_connect and kept */

static void carry_out(const char *line, bool inside);

/* ---- callbacks ---- */

static void print_disconnected(const remqtt_state_event *event)
{
    if (event->cause == REMQTT_OK) {
        fputs(" by=you code=none reason=-", stdout);
    } else {
        print_blame(event->cause, event->has_reason ? event->reason : -1);
    }
    printf(" connected=%u server=%u retry=", event->was_connected, event->from_server);
    if (event->state == REMQTT_STATE_WAITING) {
        printf("%" PRIu32, event->next_delay_ms);
    } else {
        putchar('-');
    }
    printf(" failures=%" PRIu32, event->attempt);
}

static void on_state(void *user, remqtt_client *c, const remqtt_state_event *event)
{
    static const char *const session[] = { "none", "new", "resumed", "lost" };
    (void)user;
    (void)c;
    switch (event->state) {
    case REMQTT_STATE_CLOSED: begin_line("CLOSED"); break;
    case REMQTT_STATE_CONNECTING:
        begin_line("CONNECTING");
        printf(" attempt=%" PRIu32 " server=%" PRIu32, event->attempt, event->server);
        break;
    case REMQTT_STATE_CONNECTED:
        begin_line("CONNECTED");
        printf(" session_present=%u session=%s restoring=%" PRIu32 " resending=%" PRIu32 " reason=%u",
               event->session_present, session[event->session & 3], event->restoring, event->resending,
               event->reason);
        break;
    default:
        begin_line("DISCONNECTED");
        print_disconnected(event);
    }
    print_props(event->props);
    end_line();
    for (size_t i = 0; event->state == REMQTT_STATE_CONNECTED; i++) {
        pthread_mutex_lock(&shared);
        const char *command = i < on_connect_count ? on_connect[i] : NULL;
        pthread_mutex_unlock(&shared);
        if (!command) {
            break;
        }
        carry_out(command, true);
    }
}

static int32_t on_message(void *user, remqtt_client *c, const remqtt_message *message)
{
    remqtt_str topic = remqtt_message_topic(message);
    uint32_t flags = remqtt_message_flags(message);
    uint16_t id = remqtt_message_id(message);
    (void)user;
    (void)c;
    if (manual_ack && id) { /* before the line is out: the answer to it may be `ack` */
        pthread_mutex_lock(&shared);
        remqtt_message_free(kept[id]);
        kept[id] = remqtt_message_ref(message);
        pthread_mutex_unlock(&shared);
    }
    begin_line("MESSAGE topic=");
    print_text(topic.ptr, topic.len);
    fputs(" payload=", stdout);
    print_hex(remqtt_message_payload(message));
    printf(" qos=%u retain=%d dup=%d id=%u", flags & REMQTT_FLAG_QOS, !!(flags & REMQTT_FLAG_RETAIN),
           !!(flags & REMQTT_FLAG_DUP), id);
    remqtt_str token = remqtt_message_token(message);
    if (token.len) {
        printf(" token=%.*s redelivered=%d", (int)token.len, token.ptr, !!(flags & REMQTT_FLAG_REDELIVERED));
    }
    print_props(remqtt_message_props(message));
    end_line();
    return 0;
}

static void on_store(void *user, remqtt_client *c, remqtt_status cause, remqtt_str text)
{
    (void)user;
    (void)c;
    (void)text;
    begin_line("STORE");
    if (cause == REMQTT_OK) {
        fputs(" by=us code=none", stdout);
    } else {
        print_blame(cause, -1);
    }
    end_line();
}

static void on_recovered(void *user, remqtt_client *c, const remqtt_outage *outage)
{
    (void)user;
    (void)c;
    begin_line("RECOVERED");
    printf(" outage=%" PRIu64 " cause=%s attempts=%" PRIu32 " kept=%u resent=%" PRIu64, outage->number,
           remqtt_status_name(outage->cause), outage->attempts, outage->session_kept, outage->resent);
    end_line();
}

/* `user` is the operation's kind, P, S or U, followed by its name. */
static void on_done(void *user, remqtt_client *c, const remqtt_result *result)
{
    const char *name = user;
    (void)c;
    if (result->status != REMQTT_OK) {
        begin_line("FAILED ");
        fputs(name + 1, stdout);
        print_blame(result->status, result->has_reason ? result->reason : -1);
    } else if (*name == 'P') {
        begin_line("PUBLISHED ");
        printf("%s reason=%u", name + 1, result->reason);
    } else {
        begin_line(*name == 'S' ? "SUBSCRIBED " : "UNSUBSCRIBED ");
        printf("%s reasons=", name + 1);
        print_codes(result->codes);
    }
    print_props(result->props);
    if (result->status != REMQTT_OK) {
        fputs(" at=event", stdout);
    }
    end_line();
}

static char *named(char kind, const char *name)
{
    char *user = malloc(strlen(name) + 2);
    if (user) {
        user[0] = kind;
        strcpy(user + 1, name);
    }
    return user;
}

/* ---- commands ---- */

static bool create(void)
{
    if (client) {
        return true;
    }
    remqtt_str user = { (const char *)username.ptr, username.len };
    if (user.ptr || password.ptr) {
        refused("option", remqtt_config_set_credentials(config, user, password));
    }
    remqtt_config_on_state(config, on_state, NULL, NULL);
    remqtt_config_on_message(config, on_message, NULL, NULL);
    remqtt_config_on_recovered(config, on_recovered, NULL, NULL);
    remqtt_config_on_store(config, on_store, NULL, NULL);
    return !refused("start", remqtt_client_new(config, &client));
}

static void set_bytes(remqtt_bytes *which, const char *word)
{
    free((void *)(uintptr_t)which->ptr);
    *which = unhex(word);
}

/* TOPIC PAYLOAD QOS RETAIN */
static void set_will(char *const *w, const remqtt_props *props)
{
    remqtt_bytes payload = unhex(w[1]);
    refused("will", remqtt_config_set_will(config, text_of(w[0]), payload, (uint8_t)number(w[2]),
                                           (uint8_t)number(w[3]), props));
    free((void *)(uintptr_t)payload.ptr);
}

/* NAME TOPIC PAYLOAD QOS RETAIN */
static void publish(char *const *w, const remqtt_props *props)
{
    remqtt_bytes payload = unhex(w[2]);
    remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
    options.qos = (uint8_t)number(w[3]);
    options.retain = (uint8_t)number(w[4]);
    options.props = props;
    options.done = on_done;
    options.user = named('P', w[0]);
    options.drop = free;
    if (refused(w[0], remqtt_client_publish(client, text_of(w[1]), payload, &options, NULL))) {
        free(options.user);
    }
    free((void *)(uintptr_t)payload.ptr);
}

/* NAME FILTER OPTIONS [FILTER OPTIONS...] */
static void subscribe(const struct words *words, const remqtt_props *props)
{
    remqtt_subscription wishes[WORDS / 2];
    size_t count = 0;
    for (size_t i = 1; i + 1 < words->count; i += 2) {
        remqtt_subscription wish = REMQTT_SUBSCRIPTION_INIT;
        unsigned bits = number(words->word[i + 1]);
        wish.filter = text_of(words->word[i]);
        wish.qos = bits & 3;
        wish.no_local = bits >> 2 & 1;
        wish.retain_as_published = bits >> 3 & 1;
        wish.retain_handling = (uint8_t)(bits >> 4);
        wishes[count++] = wish;
    }
    char *user = named('S', words->word[0]);
    if (refused(words->word[0],
                remqtt_client_subscribe(client, wishes, count, props, on_done, user, free, NULL))) {
        free(user);
    }
}

/* NAME FILTER [FILTER...] */
static void unsubscribe(const struct words *words, const remqtt_props *props)
{
    remqtt_str filters[WORDS];
    for (size_t i = 1; i < words->count; i++) {
        filters[i - 1] = text_of(words->word[i]);
    }
    char *user = named('U', words->word[0]);
    if (refused(words->word[0], remqtt_client_unsubscribe(client, filters, words->count - 1, props, on_done,
                                                          user, free, NULL))) {
        free(user);
    }
}

static void acknowledge(unsigned id)
{
    pthread_mutex_lock(&shared);
    remqtt_message *message = id < 65536 ? remqtt_message_ref(kept[id]) : NULL;
    pthread_mutex_unlock(&shared);
    if (message) {
        refused("ack", remqtt_message_ack(message, 0));
        remqtt_message_free(message);
    }
}

/* Commands that come before the client; false if it is none of them. */
static bool configure(const char *verb, struct words *words, const remqtt_props *props)
{
    char *const *w = words->word;
    if (!strcmp(verb, "option") && words->count == 2) {
        manual_ack |= !strcmp(w[0], "manual_ack") && !strcmp(w[1], "true");
        refused("option", remqtt_config_set(config, w[0], strcmp(w[1], "-") ? w[1] : ""));
    } else if (!strcmp(verb, "server") && words->count == 1) {
        refused("server", remqtt_config_add_server(config, w[0]));
    } else if (!strcmp(verb, "username") && words->count == 1) {
        set_bytes(&username, w[0]);
    } else if (!strcmp(verb, "password") && words->count == 1) {
        set_bytes(&password, w[0]);
    } else if (!strcmp(verb, "will") && words->count == 4) {
        set_will(w, props);
    } else {
        return false;
    }
    return true;
}

static void operate(const char *verb, struct words *words, const remqtt_props *props, bool inside)
{
    char *const *w = words->word;
    if (!strcmp(verb, "start")) {
        refused("start", remqtt_client_start(client));
    } else if (!strcmp(verb, "stop")) {
        refused("stop", remqtt_client_stop(client, (uint8_t)(words->count ? number(w[0]) : 0), NULL));
    } else if (!strcmp(verb, "reconnect_now")) {
        refused("reconnect_now", remqtt_client_reconnect_now(client));
    } else if (!strcmp(verb, "network_changed")) {
        refused("network_changed", remqtt_client_network_changed(client));
    } else if (!strcmp(verb, "close") && inside) {
        begin_line("LACKS close_in_callback"); /* closing waits for the callbacks, so it is refused in one */
        end_line();
    } else if (!strcmp(verb, "close")) {
        refused("close", remqtt_client_close(client, 0));
    } else if (!strcmp(verb, "publish") && words->count == 5) {
        publish(w, props);
    } else if (!strcmp(verb, "subscribe") && words->count >= 3) {
        subscribe(words, props);
    } else if (!strcmp(verb, "unsubscribe") && words->count >= 2) {
        unsubscribe(words, props);
    } else if (!strcmp(verb, "ack") && words->count == 1) {
        acknowledge(number(w[0]));
    } else {
        fprintf(stderr, "not a command of the shim protocol: %s\n", verb);
    }
}

static void carry_out(const char *line, bool inside)
{
    if (!strncmp(line, "on_connect ", 11) && on_connect_count < COMMANDS) {
        pthread_mutex_lock(&shared);
        on_connect[on_connect_count++] = strdup(line + 11);
        pthread_mutex_unlock(&shared);
        return;
    }
    char *copy = strdup(line), *rest = copy;
    struct words words = { 0 };
    char *verb = strtok_r(copy, " ", &rest);
    for (char *word; verb && words.count < WORDS && (word = strtok_r(NULL, " ", &rest));) {
        words.word[words.count++] = word;
    }
    remqtt_props *props = take_properties(&words);
    if (verb && !configure(verb, &words, props) && create()) {
        operate(verb, &words, props, inside);
    }
    remqtt_props_free(props);
    free(copy);
}

/* Gives everything back, so that what a leak checker finds is a leak. Returns the status to exit with. */
static int forget(void)
{
    remqtt_config_free(config);
    free((void *)(uintptr_t)username.ptr);
    free((void *)(uintptr_t)password.ptr);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        remqtt_message_free(kept[i]);
    }
    for (size_t i = 0; i < on_connect_count; i++) {
        free(on_connect[i]);
    }
    return remqtt_wind_down(60000) == REMQTT_OK ? 0 : 1;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    config = remqtt_config_new();
    while ((length = getline(&line, &room, stdin)) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!strcmp(line, "quit")) {
            break;
        }
        carry_out(line, false);
    }
    if (client) {
        remqtt_client_close(client, 0);
        remqtt_client_free(client);
    }
    free(line);
    return forget();
}
