/* The text of the shim protocol, as shim.c writes and reads it: lines out, words in. */
#ifndef SHIM_TEXT_H
#define SHIM_TEXT_H

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remqtt/remqtt.h>

enum { WORDS = 256 };

struct words {
    size_t count;
    char *word[WORDS];
};

static pthread_mutex_t says = PTHREAD_MUTEX_INITIALIZER; /* held for one line at a time */

/* ---- printing ---- */

static void begin_line(const char *what)
{
    pthread_mutex_lock(&says);
    fputs(what, stdout);
}

static void end_line(void)
{
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&says);
}

static void print_hex(remqtt_bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        printf("%02x", bytes.ptr[i]);
    }
    if (bytes.len == 0) {
        putchar('-');
    }
}

static void print_text(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        printf(byte <= ' ' || byte == '%' || byte == 0x7F ? "%%%02X" : "%c", byte);
    }
    if (length == 0) {
        putchar('-');
    }
}

static void print_codes(remqtt_bytes codes)
{
    for (size_t i = 0; i < codes.len; i++) {
        printf("%s%u", i ? "," : "", codes.ptr[i]);
    }
    if (codes.len == 0) {
        putchar('-');
    }
}

static void print_props(const remqtt_props *props)
{
    for (size_t i = 0; i < remqtt_props_count(props); i++) {
        uint8_t id;
        uint32_t number;
        remqtt_bytes key, value;
        remqtt_props_get(props, i, &id, &number, &key, &value);
        printf(" %s=", remqtt_property_name(id));
        switch (remqtt_property_kind(id)) {
        case REMQTT_PROPERTY_NUMBER: printf("%" PRIu32, number); break;
        case REMQTT_PROPERTY_BINARY: print_hex(value); break;
        case REMQTT_PROPERTY_PAIR:
            print_text((const char *)key.ptr, key.len);
            putchar(':'); /* fall through */
        default: print_text((const char *)value.ptr, value.len);
        }
    }
}

static void print_blame(remqtt_status status, int reason)
{
    printf(" by=%s code=%s reason=", remqtt_status_who(status), remqtt_status_name(status));
    if (reason < 0) {
        putchar('-');
    } else {
        printf("%d", reason);
    }
}

/* Prints FAILED when a call returned an error; true if it did. */
static bool refused(const char *what, remqtt_status status)
{
    if (status == REMQTT_OK) {
        return false;
    }
    begin_line("FAILED ");
    fputs(what, stdout);
    print_blame(status, remqtt_last_error_reason());
    fputs(" at=call", stdout);
    end_line();
    return true;
}

/* ---- reading ---- */

static remqtt_str text_of(const char *word)
{
    return remqtt_str_of(strcmp(word, "-") ? word : "");
}

/* Bytes of pairs of digits, in memory of its own. */
static remqtt_bytes unhex(const char *word)
{
    size_t length = strcmp(word, "-") ? strlen(word) / 2 : 0;
    uint8_t *bytes = calloc(length + 1, 1);
    for (size_t i = 0; bytes && i < length; i++) {
        const char pair[] = {word[2 * i], word[2 * i + 1], 0}; /* sscanf would measure the whole word every time */
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return remqtt_bytes_of(bytes, length);
}

static bool is_property(const char *word)
{
    size_t digits = strspn(word, "0123456789");
    return digits && word[digits] == ':' && word[digits + 1] && strchr("ntbp", word[digits + 1]) &&
           word[digits + 2] == ':';
}

/* ID:n:NUMBER, ID:t:HEX, ID:b:HEX or ID:p:HEX:HEX */
static void add_property(remqtt_props *props, const char *word)
{
    char *rest;
    uint8_t id = (uint8_t)strtoul(word, &rest, 10);
    char kind = rest[1];
    rest += 3;
    if (kind == 'n') {
        remqtt_props_add_int(props, id, (uint32_t)strtoul(rest, NULL, 10));
        return;
    }
    char *colon = strchr(rest, ':');
    remqtt_bytes key = { NULL, 0 };
    if (kind == 'p' && colon) {
        *colon = '\0';
        key = unhex(rest);
        *colon = ':';
        rest = colon + 1;
    }
    remqtt_bytes value = unhex(rest);
    remqtt_props_add_bytes(props, id, key, value);
    free((void *)(uintptr_t)key.ptr);
    free((void *)(uintptr_t)value.ptr);
}

/* Takes the properties out of the words. */
static remqtt_props *take_properties(struct words *words)
{
    remqtt_props *props = remqtt_props_new();
    size_t left = 0;
    for (size_t i = 0; i < words->count; i++) {
        if (is_property(words->word[i])) {
            add_property(props, words->word[i]);
        } else {
            words->word[left++] = words->word[i];
        }
    }
    words->count = left;
    return props;
}

static unsigned number(const char *word)
{
    return (unsigned)strtoul(word, NULL, 10);
}

#endif
