/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/** @file
 * remqtt: an MQTT client that comes back. The C API, version 0: it may still change (SONAME libremqtt.so.0).
 *
 *     remqtt_config *config = remqtt_config_new();
 *     remqtt_config_add_server(config, "mqtt://localhost:1883");
 *     remqtt_config_on_message(config, on_message, NULL, NULL);
 *     remqtt_client *client = NULL;
 *     if (remqtt_client_new(config, &client) != REMQTT_OK) ...
 *     remqtt_config_free(config);
 *     remqtt_client_start(client);
 *     ...
 *     remqtt_client_close(client, 5000);
 *     remqtt_client_free(client);
 *
 * RULES FOR ALL FUNCTIONS
 *
 * Status. A remqtt_status is REMQTT_OK (0) or a negative REMQTT_E_... number; remqtt_last_error has the words for
 * the last failure of the thread. Only the codes that say something special about a function are named with it; any
 * of them can return REMQTT_E_INVALID_ARGUMENT (a NULL that is not allowed, text that is no UTF-8, a flag other
 * than 0 and 1), REMQTT_E_FORKED and REMQTT_E_PANIC (a defect of the library, caught at its border). What a call
 * leaves in errno means nothing.
 *
 * Ownership. You free what a function whose name ends in _new or _ref gave you, with the _free of the same name,
 * and nothing else; the library never asks for free(). Everything that is passed in is copied before the call
 * returns. Pointers that a callback gets live until it returns; use the _ref functions to keep what they point to.
 * NULL handles are errors, never crashes; freeing NULL does nothing. Using a handle after giving its last reference
 * back is an error that nothing can catch.
 *
 * Threads. Clients and messages: every function from any thread at any time, as long as a reference lives for the
 * time of the call. Configs and property lists: one thread at a time.
 *
 * Callbacks. Each registration is a function, a `user` pointer that it gets back, and a `drop` function, which is
 * called once with `user` after the last call; both must accept any thread. The callbacks of one client come one
 * at a time and in order (but see remqtt_credentials_fn and remqtt_dial_fn), those of different clients may
 * overlap. No lock of the library is held meanwhile: every function can be called in every callback, freeing and
 * stopping the client included; those that wait return REMQTT_E_DEADLOCK there. A callback that takes long holds
 * up nothing but the callbacks of its client: keep alive, reconnecting and other clients go on. A callback must
 * not leave by longjmp or by a C++ exception.
 *
 * Waiting. Only remqtt_client_close, _wait, _wait_state, _flush, _sync and _dispatch and remqtt_wind_down wait,
 * all of them for at most the milliseconds that they are given (close: plus a stated grace). Beside them
 * remqtt_client_new may wait up to a second for a store that is in use, and remqtt_client_drop_publishes for the
 * answer of the library's thread. remqtt_client_new and remqtt_inspection_new read the whole file of a store.
 *
 * Structs that begin with `size_t size` grow by fields at their end. Start from the _INIT macro, which sets the
 * size. A library that is older than your header accepts the struct while its new fields are zero.
 *
 * Processes. After fork() the child must leave the parent's clients alone: calls on them return REMQTT_E_FORKED and
 * freeing them does nothing; it can make clients of its own. Nothing may be called in a signal handler. The library
 * blocks all signals in its threads, leaves the handlers alone, and does not raise SIGPIPE. It stays loaded after
 * dlclose(). exit() with live clients is safe and does not wait for them.
 */

#ifndef REMQTT_H
#define REMQTT_H

#include <stddef.h>
#include <stdint.h>

/**
 * Grows by one with each function, field or constant that is added to the header.
 */
#define REMQTT_ABI_VERSION 82

/**
 * Kind of a property's value: no such property.
 */
#define REMQTT_PROPERTY_UNKNOWN 0

/**
 * Kind of a property's value: a number, for remqtt_props_add_int.
 */
#define REMQTT_PROPERTY_NUMBER 1

/**
 * Kind of a property's value: UTF-8 text, for remqtt_props_add_bytes.
 */
#define REMQTT_PROPERTY_TEXT 2

/**
 * Kind of a property's value: binary data, for remqtt_props_add_bytes.
 */
#define REMQTT_PROPERTY_BINARY 3

/**
 * Kind of a property's value: a pair of texts, for remqtt_props_add_bytes.
 */
#define REMQTT_PROPERTY_PAIR 4

/**
 * State of the connection: not started, or stopped.
 */
#define REMQTT_STATE_STOPPED 0

/**
 * State of the connection: an attempt is under way.
 */
#define REMQTT_STATE_CONNECTING 1

/**
 * State of the connection: the server accepted it.
 */
#define REMQTT_STATE_CONNECTED 2

/**
 * State of the connection: waiting for the next attempt, or for the late answer to the last one: then CONNECTED follows
 * without another CONNECTING.
 */
#define REMQTT_STATE_WAITING 3

/**
 * State of the connection: the client is closed for good.
 */
#define REMQTT_STATE_CLOSED 4

/**
 * The event says nothing about the session.
 */
#define REMQTT_SESSION_NONE 0

/**
 * First connection, or a fresh session was asked for: there was nothing to resume.
 */
#define REMQTT_SESSION_NEW 1

/**
 * The server had the session: what was in flight goes on, subscriptions stand.
 */
#define REMQTT_SESSION_RESUMED 2

/**
 * The server had lost the session: publishes and subscriptions are restored as the options say.
 */
#define REMQTT_SESSION_LOST 3

/**
 * What a message callback returns to acknowledge the message itself later, with remqtt_message_ack.
 */
#define REMQTT_ACK_LATER 1

/**
 * How long remqtt_client_close waits for the callbacks that are due or running, in milliseconds.
 */
#define REMQTT_CLOSE_GRACE_MS 10000

/**
 * Level of a publish of QoS 1 or 2: it survives outages, not the death of the process. QoS 2 is stored all the same
 * where there is a store. It is complete when the server has acknowledged it.
 */
#define REMQTT_LEVEL_MEMORY 1

/**
 * Level of a publish: it survives the death of the process and a power cut, from the moment on when its first byte
 * leaves. It is complete when the server has acknowledged it. Needs the option "store".
 */
#define REMQTT_LEVEL_STORED 2

/**
 * Level of a publish: as REMQTT_LEVEL_STORED, but it is complete as soon as it is durable, and the application is rid
 * of it. Should it fail later, the function of remqtt_config_on_store is told.
 */
#define REMQTT_LEVEL_FSYNCED 3

/**
 * Room for the marks of an outage in remqtt_outage. Slots without a mark hold -1.
 */
#define REMQTT_MARK_SLOTS 16

/**
 * Last byte that came from the server before the outage: the link was alive then.
 */
#define REMQTT_MARK_LOST 0

/**
 * The client took the link for lost.
 */
#define REMQTT_MARK_DETECTED 1

/**
 * The first attempt began.
 */
#define REMQTT_MARK_FIRST_ATTEMPT 2

/**
 * The transport of the attempt that succeeded was up.
 */
#define REMQTT_MARK_TRANSPORT_UP 3

/**
 * Its CONNACK arrived.
 */
#define REMQTT_MARK_CONNACK 4

/**
 * Every restored subscription was answered; with a resumed session there is none, so at once.
 */
#define REMQTT_MARK_RESUBSCRIBED 5

/**
 * The last resent packet was written.
 */
#define REMQTT_MARK_RESENT 6

/**
 * The first application message arrived.
 */
#define REMQTT_MARK_FIRST_MESSAGE 7

/**
 * What waited when the link came back was sent and acknowledged.
 */
#define REMQTT_MARK_DRAINED 8

/**
 * What showed that a connection was lost: its end, closed or reset.
 */
#define REMQTT_SIGNAL_END 0

/**
 * What showed that a connection was lost: nothing came any more.
 */
#define REMQTT_SIGNAL_SILENCE 1

/**
 * What showed that a connection was lost: the server said so in a DISCONNECT.
 */
#define REMQTT_SIGNAL_WORD 2

/**
 * What showed that a connection was lost: the server broke the protocol, and we ended it.
 */
#define REMQTT_SIGNAL_VIOLATION 3

/**
 * Failed attempts that an outage remembers.
 */
#define REMQTT_FAILURE_SLOTS 16

/**
 * Level of a line of the log: something failed for good.
 */
#define REMQTT_LOG_ERROR 1

/**
 * Level of a line of the log: somebody should look.
 */
#define REMQTT_LOG_WARNING 2

/**
 * Level of a line of the log: the state has changed.
 */
#define REMQTT_LOG_INFO 3

/**
 * Level of a line of the log: attempts, operations and messages, with their topics.
 */
#define REMQTT_LOG_DEBUG 4

/**
 * Bits of remqtt_message_flags that hold the QoS.
 */
#define REMQTT_FLAG_QOS 3

/**
 * Bit of remqtt_message_flags: a retained message of the server.
 */
#define REMQTT_FLAG_RETAIN 4

/**
 * Bit of remqtt_message_flags: the server says that it may have been delivered before.
 */
#define REMQTT_FLAG_DUP 8

/**
 * Bit of remqtt_message_flags: it comes from the store, where an earlier process had left it unfinished.
 */
#define REMQTT_FLAG_REDELIVERED 16

/**
 * A client. Any thread, any number of them at once. Reference-counted: remqtt_client_new gives the first
 * reference, remqtt_client_ref another one, remqtt_client_free ends one.
 */
typedef struct remqtt_client remqtt_client;

/**
 * What a client is made from. One thread at a time. remqtt_client_new copies it: several clients can be made from
 * one config, and it can be changed or freed at any time.
 */
typedef struct remqtt_config remqtt_config;

/**
 * What was in the file of a store (option "store") when it was read. It never changes; any thread.
 */
typedef struct remqtt_inspection remqtt_inspection;

/**
 * What a credentials function fills in. It lives until the function returns.
 */
typedef struct remqtt_login remqtt_login;

/**
 * A received message. It never changes; any thread.
 */
typedef struct remqtt_message remqtt_message;

/**
 * A list of MQTT 5 properties in their order. One thread at a time. A list given to a call is copied; one that a
 * callback or a message shows lives as long as that, and is neither freed nor changed.
 *
 * Identifiers are those of the MQTT 5 specification, section 2.2.2.2. Whether a property may stand in a packet is
 * checked by the call that gets the list.
 */
typedef struct remqtt_props remqtt_props;

/**
 * What a call says: REMQTT_OK or one of the negative REMQTT_E_... codes. The numbers are frozen; later versions
 * may add some, so treat an unknown negative number as a failure.
 */
typedef int32_t remqtt_status;

/**
 * Binary data: `len` bytes at `ptr`. `ptr` may be NULL when `len` is 0.
 */
typedef struct {
    /**
     * First byte.
     */
    const uint8_t *ptr;
    /**
     * Number of bytes.
     */
    size_t len;
} remqtt_bytes;

/**
 * Text: `len` bytes of UTF-8 at `ptr`, not NUL-terminated. `ptr` may be NULL when `len` is 0.
 */
typedef struct {
    /**
     * First byte.
     */
    const char *ptr;
    /**
     * Number of bytes.
     */
    size_t len;
} remqtt_str;

/**
 * A change of the connection's state.
 */
typedef struct {
    /**
     * Size of the struct in the library's version.
     */
    size_t size;
    /**
     * The state now: REMQTT_STATE_...
     */
    int32_t state;
    /**
     * The state that the event before this one told.
     */
    int32_t prev;
    /**
     * Why the connection ended or the attempt failed; REMQTT_OK when the application asked for it.
     */
    remqtt_status cause;
    /**
     * The MQTT reason code (MQTT 3.1.1: CONNACK return code) that came with it, else 0.
     */
    uint8_t reason;
    /**
     * 1 if the server sent a reason code.
     */
    uint8_t has_reason;
    /**
     * CONNECTED: the session present flag of the CONNACK.
     */
    uint8_t session_present;
    /**
     * CONNECTED: what became of the session, REMQTT_SESSION_...
     */
    uint8_t session;
    /**
     * STOPPED, WAITING: 1 if the server said so itself, in a DISCONNECT or a refusing CONNACK.
     */
    uint8_t from_server;
    /**
     * STOPPED, WAITING: 1 if a connection ended, 0 if an attempt failed.
     */
    uint8_t was_connected;
    /**
     * Zero.
     */
    uint8_t reserved[2];
    /**
     * CONNECTING: number of the attempt since the client was started or last connected, from 1. STOPPED, WAITING:
     * failed attempts in a row.
     */
    uint32_t attempt;
    /**
     * WAITING: milliseconds until the next attempt.
     */
    uint32_t next_delay_ms;
    /**
     * CONNECTING: index of the server in the order of remqtt_config_add_server, from 0.
     */
    uint32_t server;
    /**
     * CONNECTED: subscriptions that are restored because the session was lost.
     */
    uint32_t restoring;
    /**
     * CONNECTED: publishes that are sent again.
     */
    uint32_t resending;
    /**
     * Zero.
     */
    uint32_t reserved2;
    /**
     * The cause in words; empty when there is none.
     */
    remqtt_str text;
    /**
     * Properties of the CONNACK or DISCONNECT; NULL when there was none.
     */
    const remqtt_props *props;
} remqtt_state_event;

/**
 * Called when the state of the connection changes. `event` and everything it points to live until the function
 * returns.
 */
typedef void (*remqtt_state_fn)(void *user, remqtt_client *client, const remqtt_state_event *event);

/**
 * Called once, after the last call of the function it was registered with: frees `user`.
 */
typedef void (*remqtt_drop_fn)(void *user);

/**
 * Called for each message. `message` lives until the function returns; remqtt_message_ref keeps it longer.
 * Returns 0: the message is acknowledged after the return. Any other value (REMQTT_ACK_LATER):
 * remqtt_message_ack will be called for it. With the option "manual_ack" the value is ignored and it is always
 * the latter.
 */
typedef int32_t (*remqtt_message_fn)(void *user, remqtt_client *client, const remqtt_message *message);

/**
 * A failed attempt of an outage.
 */
typedef struct {
    /**
     * When: nanoseconds since REMQTT_MARK_DETECTED.
     */
    int64_t after_ns;
    /**
     * Why.
     */
    remqtt_status cause;
    /**
     * The server that was tried, in the order of remqtt_config_add_server, from 0. One past the last of them: a server
     * that one of them referred to (option "follow_references").
     */
    uint32_t server;
} remqtt_failure;

/**
 * One outage, from the connection's loss until everything is as before. Start from REMQTT_OUTAGE_INIT.
 */
typedef struct {
    /**
     * sizeof(remqtt_outage).
     */
    size_t size;
    /**
     * Number of the outage in the life of the client, from 1.
     */
    uint64_t number;
    /**
     * Publishes and releases that were sent again.
     */
    uint64_t resent;
    /**
     * What ended the connection.
     */
    remqtt_status cause;
    /**
     * Attempts made, the successful one included.
     */
    uint32_t attempts;
    /**
     * 1 if the server had kept the session.
     */
    uint8_t session_kept;
    /**
     * What showed that the connection was lost: REMQTT_SIGNAL_...
     */
    uint8_t signal;
    /**
     * 1 if messages for this client may be lost: some are known to be missing, or the session was lost.
     */
    uint8_t gap_suspected;
    /**
     * Zero.
     */
    uint8_t reserved[5];
    /**
     * When each mark was reached: nanoseconds since REMQTT_MARK_LOST, -1 while it is not. The index is
     * REMQTT_MARK_...
     */
    int64_t marks_ns[REMQTT_MARK_SLOTS];
    /**
     * Messages that came on the connection that was lost.
     */
    uint64_t received_before;
    /**
     * Messages that came from the new connection until the record was closed.
     */
    uint64_t received_after;
    /**
     * Messages that never came, as far as sequences tell.
     */
    uint64_t missing;
    /**
     * How many of `failures` are filled in.
     */
    uint64_t failure_count;
    /**
     * The attempts that failed: the first fifteen, and the last.
     */
    remqtt_failure failures[REMQTT_FAILURE_SLOTS];
} remqtt_outage;

/**
 * Called when an outage is over: what had waited was sent and acknowledged, or the connection was lost again (then
 * REMQTT_MARK_DRAINED was not reached). `outage` lives until the function returns.
 */
typedef void (*remqtt_recovered_fn)(void *user, remqtt_client *client, const remqtt_outage *outage);

/**
 * Called when the store of the session (option "store") has a trouble: REMQTT_E_STORE_FAILED: it cannot be written;
 * publishes of QoS 1 and 2 are refused and nothing that rests on it is sent, until `cause` is REMQTT_OK: it can be
 * written again. REMQTT_E_STORE_DAMAGED: something in it could not be read when the client was made, or when it was
 * opened anew after an error. Any other: a publish that was complete because it was durable (REMQTT_LEVEL_FSYNCED) is
 * given up, and why. `text` says what, and lives until the function returns.
 */
typedef void (*remqtt_store_fn)(void *user, remqtt_client *client, remqtt_status cause, remqtt_str text);

/**
 * Number of an operation of one client; 0 is none.
 */
typedef uint64_t remqtt_token;

/**
 * A message that was taken out of the traffic because one connection after the other ended with it (option
 * "quarantine_after"). One of ours also completes with REMQTT_E_QUARANTINED; one of the server's is acknowledged and
 * comes no more.
 */
typedef struct {
    /**
     * Size of the struct in the library's version.
     */
    size_t size;
    /**
     * The publish of ours that it is; 0: the server sent it.
     */
    remqtt_token token;
    /**
     * The identifier under which the server sent it; 0 for one of ours.
     */
    uint16_t packet_identifier;
    /**
     * 0, 1 or 2.
     */
    uint8_t qos;
    /**
     * 1: topic and payload are those of the message. 0: it cannot be read; the topic is empty, and the payload is the
     * packet, or its beginning if it is larger than the client accepts.
     */
    uint8_t readable;
    /**
     * Zero.
     */
    uint8_t reserved[4];
    /**
     * Its topic.
     */
    remqtt_str topic;
    /**
     * Its payload.
     */
    remqtt_bytes payload;
} remqtt_quarantined;

/**
 * Called when a message is quarantined. `what` and everything it points to live until the function returns.
 */
typedef void (*remqtt_quarantined_fn)(void *user, remqtt_client *client, const remqtt_quarantined *what);

/**
 * Messages of a topic that never came (options "sequence_property", "sequence_in_payload").
 */
typedef struct {
    /**
     * Size of the struct in the library's version.
     */
    size_t size;
    /**
     * The topic.
     */
    remqtt_str topic;
    /**
     * The number that should have come.
     */
    uint64_t expected;
    /**
     * The one that came; its message follows.
     */
    uint64_t got;
    /**
     * How many messages are missing.
     */
    uint64_t missing;
} remqtt_gap;

/**
 * Called when messages of a topic are missing, before the message that shows it. `gap` lives until the function
 * returns.
 */
typedef void (*remqtt_gap_fn)(void *user, remqtt_client *client, const remqtt_gap *gap);

/**
 * How an operation ended.
 */
typedef struct {
    /**
     * Size of the struct in the library's version.
     */
    size_t size;
    /**
     * The operation, as the call that began it returned it.
     */
    remqtt_token token;
    /**
     * REMQTT_OK, or why it failed. A subscribe that the server answered is REMQTT_OK even if it refused filters:
     * see `codes`.
     */
    remqtt_status status;
    /**
     * The server's MQTT reason code; 0 when there was none.
     */
    uint8_t reason;
    /**
     * 1 if the server sent a reason code.
     */
    uint8_t has_reason;
    /**
     * Zero.
     */
    uint8_t reserved[2];
    /**
     * Subscribe and unsubscribe: a reason code for each filter, 0x80 and above refuse it. Empty for a publish and
     * for unsubscribes of MQTT 3.1.1.
     */
    remqtt_bytes codes;
    /**
     * Why it failed, in words; empty on success.
     */
    remqtt_str text;
    /**
     * Properties of the server's answer; never NULL, often empty.
     */
    const remqtt_props *props;
} remqtt_result;

/**
 * Called when an operation is complete; exactly once for each accepted operation. `result` and everything it
 * points to live until the function returns.
 */
typedef void (*remqtt_done_fn)(void *user, remqtt_client *client, const remqtt_result *result);

/**
 * How to publish. Start from REMQTT_PUBLISH_OPTIONS_INIT: QoS 0, not retained.
 */
typedef struct {
    /**
     * sizeof(remqtt_publish_options).
     */
    size_t size;
    /**
     * 0, 1 or 2.
     */
    uint8_t qos;
    /**
     * 0 or 1.
     */
    uint8_t retain;
    /**
     * REMQTT_LEVEL_...; 0: REMQTT_LEVEL_STORED where there is a store, REMQTT_LEVEL_MEMORY elsewhere.
     */
    uint8_t level;
    /**
     * Zero.
     */
    uint8_t reserved[5];
    /**
     * MQTT 5 properties, NULL for none. Copied.
     */
    const remqtt_props *props;
    /**
     * Called when the operation is complete, or NULL.
     */
    remqtt_done_fn done;
    /**
     * First argument of `done`.
     */
    void *user;
    /**
     * Called once with `user` after `done`, or NULL. Not called when the call itself fails: `user` is then still
     * the caller's.
     */
    remqtt_drop_fn drop;
} remqtt_publish_options;

/**
 * A wish to receive. Start from REMQTT_SUBSCRIPTION_INIT; all of one array have the same size.
 */
typedef struct {
    /**
     * sizeof(remqtt_subscription).
     */
    size_t size;
    /**
     * Topic filter. Copied.
     */
    remqtt_str filter;
    /**
     * Largest QoS wanted: 0, 1 or 2.
     */
    uint8_t qos;
    /**
     * MQTT 5: 1 = not what this client publishes itself.
     */
    uint8_t no_local;
    /**
     * MQTT 5: 1 = keep the retain flag of forwarded messages.
     */
    uint8_t retain_as_published;
    /**
     * MQTT 5: retained messages are sent 0 = always, 1 = if the subscription is new, 2 = never.
     */
    uint8_t retain_handling;
    /**
     * Zero.
     */
    uint8_t reserved[4];
    /**
     * The function for the messages that this filter covers, or NULL for none of its own: as with
     * remqtt_client_on_topic, until an unsubscribe of the filter is complete or another subscribe of it has a function.
     */
    remqtt_message_fn on_message;
    /**
     * First argument of `on_message`. Not taken where that is NULL.
     */
    void *user;
    /**
     * Called once with `user` after the last call of `on_message`, or NULL. Not called when the call itself fails:
     * `user` is then still the caller's.
     */
    remqtt_drop_fn drop;
} remqtt_subscription;

/**
 * A message to publish, or one that was given up. Start from REMQTT_PUBLICATION_INIT; all of one array have the same
 * size.
 */
typedef struct {
    /**
     * sizeof(remqtt_publication).
     */
    size_t size;
    /**
     * Its topic. Copied.
     */
    remqtt_str topic;
    /**
     * Its payload. Copied.
     */
    remqtt_bytes payload;
    /**
     * How: as for remqtt_client_publish; NULL: QoS 0, not retained. Publications may share it: `done` and `drop` are
     * then called for each of them.
     */
    const remqtt_publish_options *options;
} remqtt_publication;

/**
 * Called for each publish that remqtt_client_drop_publishes gives up, before it returns. `publication` and everything
 * it points to live until the function returns; of its options, QoS, retain flag and properties are filled in.
 */
typedef void (*remqtt_dropped_fn)(void *user, remqtt_token token, const remqtt_publication *publication);

/**
 * Counters of a client since it was created, and gauges. Start from REMQTT_STATS_INIT.
 */
typedef struct {
    /**
     * sizeof(remqtt_stats).
     */
    size_t size;
    /**
     * Attempts to connect.
     */
    uint64_t connect_attempts;
    /**
     * Connections that were accepted.
     */
    uint64_t connections;
    /**
     * Connections that were lost.
     */
    uint64_t outages;
    /**
     * Accepted connections for which the server had lost the session.
     */
    uint64_t sessions_lost;
    /**
     * Bytes handed to the transport.
     */
    uint64_t sent_bytes;
    /**
     * Bytes received.
     */
    uint64_t received_bytes;
    /**
     * PUBLISH packets written, resent ones included.
     */
    uint64_t sent_publishes;
    /**
     * Publishes and releases written again after an outage.
     */
    uint64_t resent;
    /**
     * Application messages delivered to the application.
     */
    uint64_t received_messages;
    /**
     * Redelivered messages that were recognised and not delivered again.
     */
    uint64_t duplicates_suppressed;
    /**
     * Publishes that completed successfully.
     */
    uint64_t published;
    /**
     * Accepted publishes that failed, were dropped or expired.
     */
    uint64_t failed;
    /**
     * Irregularities of the server that were tolerated (unknown acknowledgements, too many in flight, ...).
     */
    uint64_t tolerated;
    /**
     * Gauge: publishes that wait for their first sending.
     */
    uint64_t backlog_messages;
    /**
     * Gauge: bytes of those.
     */
    uint64_t backlog_bytes;
    /**
     * Gauge: QoS 1 and 2 publishes sent and not acknowledged.
     */
    uint64_t inflight;
    /**
     * Gauge: received messages that the application has not finished with.
     */
    uint64_t unacknowledged;
    /**
     * Gauge: wanted subscriptions.
     */
    uint64_t subscriptions;
    /**
     * Milliseconds without a connection, in all outages that are over: from the detection to the CONNACK.
     */
    uint64_t downtime_ms;
    /**
     * Messages that were taken out of the traffic because they ended one connection after the other.
     */
    uint64_t quarantined;
    /**
     * Gaps in the sequences that the options follow.
     */
    uint64_t gaps;
    /**
     * Messages that are missing there.
     */
    uint64_t missing_messages;
    /**
     * Times that a second way to the server was opened beside a link that seemed dead.
     */
    uint64_t probes;
} remqtt_stats;

/**
 * Called for each line of the log, before the function for what the line tells. `text` lives until the function
 * returns. No line holds a payload or a password, and only those of REMQTT_LOG_DEBUG tell topics.
 */
typedef void (*remqtt_log_fn)(void *user, remqtt_client *client, int32_t level, remqtt_str text);

/**
 * Called before each attempt to connect, for passwords that expire and for methods of authentication whose first
 * message is another one each time: gives user name and password of this attempt to `login`, by remqtt_login_set,
 * and first authentication data, by remqtt_login_set_auth_data. Any other status than REMQTT_OK ends the attempt,
 * and the next one asks again. Unlike other callbacks it runs on a thread of its own, beside the others of its
 * client, and may take its time: the attempt waits for it, up to the option "connect_timeout". What the attempt gave
 * up may still be running when the next one asks, and when remqtt_client_close has returned: only the `drop`
 * function says that no call follows.
 */
typedef remqtt_status (*remqtt_credentials_fn)(void *user, remqtt_client *client, remqtt_login *login);

/**
 * An AUTH of the server: the next step of an exchange that authenticates, by the method of the CONNECT.
 */
typedef struct {
    /**
     * Size of the struct in the library's version.
     */
    size_t size;
    /**
     * What remqtt_client_authenticate answers. 0: it wants no answer.
     */
    uint64_t exchange;
    /**
     * 0x18: the exchange goes on. 0: the connection is authenticated anew.
     */
    uint8_t reason;
    /**
     * Zero.
     */
    uint8_t reserved[7];
    /**
     * The authentication data; its `ptr` is NULL where there is none. The library shows it in no log.
     */
    remqtt_bytes data;
    /**
     * All properties: method, data, reason string, user properties; never NULL.
     */
    const remqtt_props *props;
} remqtt_auth;

/**
 * Called when the server sends an AUTH. `auth` and everything it points to live until the function returns. Returns
 * REMQTT_OK: it is answered by remqtt_client_authenticate, here or later, within the time of the option
 * "connect_timeout", which counts from the beginning of the attempt or of the re-authentication. Any other status:
 * it is not, and the attempt or the connection ends with REMQTT_E_AUTHENTICATION_FAILED; the next attempt follows
 * the schedule.
 */
typedef remqtt_status (*remqtt_auth_fn)(void *user, remqtt_client *client, const remqtt_auth *auth);

/**
 * Where a connection shall lead to.
 */
typedef struct {
    /**
     * Size of the struct in the library's version.
     */
    size_t size;
    /**
     * Host name or address of the server's URL (of its SRV record, where it names one), or the path of a Unix socket.
     */
    remqtt_str host;
    /**
     * Port; 0 for a Unix socket.
     */
    uint16_t port;
    /**
     * 1 if the URL asks for TLS.
     */
    uint8_t tls;
    /**
     * Zero.
     */
    uint8_t reserved;
    /**
     * Milliseconds that the whole attempt may take, up to the CONNACK (option "connect_timeout").
     */
    uint32_t timeout_ms;
} remqtt_target;

/**
 * Called for each connection that is tried, in place of the library's own sockets, proxies and TLS, for a tunnel, a TLS
 * stack or a device that it does not know; where a server is slow to answer, a second time beside the first. Returns
 * the descriptor of a connected stream socket (of any family; one end of a socket pair is fine) whose bytes are MQTT, or
 * WebSocket where the URL says so; if `target->tls` is 1 it is the function that encrypts. From the return on the
 * descriptor is the library's, which makes it non-blocking, closes it on exec, and closes it when the connection has
 * ended, or at once if it comes too late for its attempt.
 * A negative number is a status that says why there is no connection, and so when the next attempt follows:
 * REMQTT_E_CONNECT_FAILED for what may pass by itself, REMQTT_E_CERTIFICATE_REFUSED for what needs somebody's help. One
 * that is no status, and a descriptor that is not open, count as REMQTT_E_CONNECT_FAILED.
 * `target` lives until the function returns. The function runs as a remqtt_credentials_fn does: on a thread of its own,
 * while the attempt waits for it.
 */
typedef int32_t (*remqtt_dial_fn)(void *user, remqtt_client *client, const remqtt_target *target);

/**
 * The call did what it says.
 */
#define REMQTT_OK 0

/**
 * A parameter is out of its range or of the wrong form.
 */
#define REMQTT_E_INVALID_ARGUMENT -1

/**
 * An option is unknown, or its value is out of range.
 */
#define REMQTT_E_INVALID_OPTION -2

/**
 * A topic name to publish to is empty, too long, has a wildcard or U+0000.
 */
#define REMQTT_E_INVALID_TOPIC -3

/**
 * A topic filter breaks the rules of MQTT 4.7.
 */
#define REMQTT_E_INVALID_FILTER -4

/**
 * A QoS other than 0, 1 and 2.
 */
#define REMQTT_E_INVALID_QOS -5

/**
 * The packet is larger than the protocol or the server accepts.
 */
#define REMQTT_E_PACKET_TOO_LARGE -6

/**
 * The server of this connection does not offer it: its maximum QoS, retain, wildcards, shared subscriptions
 * or subscription identifiers.
 */
#define REMQTT_E_NOT_SUPPORTED -7

/**
 * The backlog is full and its policy is to refuse.
 */
#define REMQTT_E_QUEUE_FULL -8

/**
 * An accepted message was dropped by the backlog's policy when it overflowed.
 */
#define REMQTT_E_DROPPED -9

/**
 * The message expired before it could be sent.
 */
#define REMQTT_E_EXPIRED -10

/**
 * The server lost the session, and the policy is to fail what was in flight.
 */
#define REMQTT_E_SESSION_LOST -11

/**
 * The client was closed before the operation was complete.
 */
#define REMQTT_E_CLOSED -12

/**
 * The client is stopped and the operation needs a connection.
 */
#define REMQTT_E_NOT_CONNECTED -13

/**
 * A wait ended before what it waited for; the operation goes on.
 */
#define REMQTT_E_TIMEOUT -14

/**
 * A blocking call inside a callback would wait for itself.
 */
#define REMQTT_E_DEADLOCK -15

/**
 * The process forked; the client belongs to the parent.
 */
#define REMQTT_E_FORKED -16

/**
 * A defect of this library was caught at its border; please report it.
 */
#define REMQTT_E_PANIC -17

/**
 * The operating system refused a resource: threads, descriptors, memory.
 */
#define REMQTT_E_RESOURCE -18

/**
 * The server refused user name or password.
 */
#define REMQTT_E_BAD_CREDENTIALS -20

/**
 * The server refused the client identifier.
 */
#define REMQTT_E_BAD_CLIENT_IDENTIFIER -21

/**
 * The server does not speak this protocol version.
 */
#define REMQTT_E_UNSUPPORTED_VERSION -22

/**
 * The server refused the connection for another reason that will last.
 */
#define REMQTT_E_CONNECTION_REFUSED -23

/**
 * The server is unavailable or busy.
 */
#define REMQTT_E_SERVER_BUSY -24

/**
 * A certificate was refused: the server's by us, or ours by the server.
 */
#define REMQTT_E_CERTIFICATE_REFUSED -25

/**
 * A proxy refused to connect, or its user name or password.
 */
#define REMQTT_E_PROXY_REFUSED -26

/**
 * The handshake of TLS, WebSocket or a proxy failed.
 */
#define REMQTT_E_HANDSHAKE_FAILED -27

/**
 * The application did not answer the server's AUTH, or could not.
 */
#define REMQTT_E_AUTHENTICATION_FAILED -28

/**
 * The host name does not resolve.
 */
#define REMQTT_E_RESOLVE_FAILED -30

/**
 * No connection could be made: refused port, no route.
 */
#define REMQTT_E_CONNECT_FAILED -31

/**
 * The attempt was not complete, up to the CONNACK, within connect_timeout.
 */
#define REMQTT_E_CONNECT_TIMEOUT -32

/**
 * The connection was reset or closed.
 */
#define REMQTT_E_CONNECTION_LOST -33

/**
 * The server went silent: no PINGRESP within ping_timeout.
 */
#define REMQTT_E_KEEP_ALIVE_TIMEOUT -34

/**
 * The server broke the protocol.
 */
#define REMQTT_E_PROTOCOL_ERROR -40

/**
 * The server closed the connection with a DISCONNECT.
 */
#define REMQTT_E_SERVER_DISCONNECTED -41

/**
 * Another client took the session over by using the same client identifier.
 */
#define REMQTT_E_SESSION_TAKEN_OVER -42

/**
 * The server answered a publish, subscribe or unsubscribe with a failure.
 */
#define REMQTT_E_REJECTED -43

/**
 * The publish stood at the end of as many connections in a row as the option "quarantine_after" says, and was taken
 * out, so that the others can pass.
 */
#define REMQTT_E_QUARANTINED -44

/**
 * The store cannot be written: full, read-only, an error of the disk. It is tried again until it can.
 */
#define REMQTT_E_STORE_FAILED -50

/**
 * Another process, or another client of this one, uses the store.
 */
#define REMQTT_E_STORE_LOCKED -51

/**
 * Part of the store could not be read. What could be counts; the damaged file was set aside.
 */
#define REMQTT_E_STORE_DAMAGED -52

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the library that is loaded. A program whose header has a larger REMQTT_ABI_VERSION may miss
 * functions in it. Any thread.
 */
uint32_t remqtt_abi_version(void);

/**
 * The version of the library that is loaded, as in `0.1.0`. A static string. Any thread.
 */
const char *remqtt_version(void);

/**
 * The name of a status, as in `QueueFull`: `ok` for REMQTT_OK, `unknown` for a number that is no status. A static
 * string, never NULL. Any thread.
 */
const char *remqtt_status_name(remqtt_status status);

/**
 * What a status means, in words. A static string, never NULL. Any thread.
 */
const char *remqtt_status_text(remqtt_status status);

/**
 * Who caused it: `you` (the application), `us` (this library), `peer` (the server) or `network`; `none` for
 * REMQTT_OK and for what is no status. A static string, never NULL. Any thread.
 */
const char *remqtt_status_who(remqtt_status status);

/**
 * 1 if the same call may succeed later, or the client itself tries again; 0 if not. Any thread.
 */
int32_t remqtt_status_is_retriable(remqtt_status status);

/**
 * Copies the words of this thread's last failed call into `buffer`, cut to `capacity` bytes with the terminating
 * NUL (`buffer` may be NULL when `capacity` is 0). A successful call leaves them alone.
 * Returns the length of the whole text without the NUL; 0 when no call has failed. Any thread.
 */
size_t remqtt_last_error(char *buffer,
                         size_t capacity);

/**
 * The MQTT reason code that came with this thread's last failed call (MQTT 3.1.1: the CONNACK return code), or -1
 * when the server had no part in it. Any thread.
 */
int32_t remqtt_last_error_reason(void);

/**
 * The specification's name of the property with this identifier, as in `SessionExpiryInterval`; NULL if there is
 * none. A static string. Any thread.
 */
const char *remqtt_property_name(uint8_t id);

/**
 * What kind of value the property with this identifier has, REMQTT_PROPERTY_... Any thread.
 */
int32_t remqtt_property_kind(uint8_t id);

/**
 * An empty list, to be freed with remqtt_props_free. NULL only when memory is out. Any thread.
 */
remqtt_props *remqtt_props_new(void);

/**
 * Frees a list of remqtt_props_new. NULL is allowed.
 */
void remqtt_props_free(remqtt_props *props);

/**
 * Appends a property whose value is a number (Byte, Two Byte, Four Byte, Variable Byte Integer).
 * REMQTT_E_INVALID_ARGUMENT: `props` is NULL, `id` is unknown or no number, `value` is too large for it.
 */
remqtt_status remqtt_props_add_int(remqtt_props *props, uint8_t id, uint32_t value);

/**
 * Appends a property whose value is text, binary data or a pair of texts. `key` is for the pair (User Property,
 * 0x26) and empty for all others. Both are copied.
 * REMQTT_E_INVALID_ARGUMENT: `props` is NULL, `id` is unknown or a number, a text is not UTF-8.
 */
remqtt_status remqtt_props_add_bytes(remqtt_props *props,
                                     uint8_t id,
                                     remqtt_bytes key,
                                     remqtt_bytes value);

/**
 * How many properties there are; 0 for NULL.
 */
size_t remqtt_props_count(const remqtt_props *props);

/**
 * The property at `index`, counted from 0. Each of the last four may be NULL: its identifier; its value if it is a
 * number, else 0; its key if it is a pair, else empty; its text or binary value, else empty. Views live as long as
 * the list is not changed.
 * REMQTT_E_INVALID_ARGUMENT: `props` is NULL or `index` is past the end.
 */
remqtt_status remqtt_props_get(const remqtt_props *props,
                               size_t index,
                               uint8_t *id,
                               uint32_t *number,
                               remqtt_bytes *key,
                               remqtt_bytes *value);

/**
 * A config with every option at its default, to be freed with remqtt_config_free. NULL only when memory is out.
 * Any thread.
 */
remqtt_config *remqtt_config_new(void);

/**
 * Frees a config. Clients made from it live on. NULL is allowed.
 */
void remqtt_config_free(remqtt_config *config);

/**
 * Sets an option from text. Numbers are decimal, times are milliseconds unless the key says otherwise, booleans
 * are true or false. Both strings are NUL-terminated and copied.
 * REMQTT_E_INVALID_OPTION: no such key, or the value is out of its range; remqtt_last_error says which.
 *
 *   client_id: text; default empty
 *     Client identifier. Empty: one is made from the seed when the client is created and kept for its
 *     life, so that its session survives every outage.
 *   protocol_version: one of 4 5; default 5
 *     Protocol version: 4 is MQTT 3.1.1, 5 is MQTT 5. Default 5: only there can a client open the
 *     server's send window, and an outage's backlog drains at window per round trip.
 *   mqtt31: boolean; default false
 *     Call MQTT 3.1.1 by the name and number of its predecessor MQTT 3.1, for servers that know
 *     nothing newer. Default off: nearly every server does.
 *   bridge: boolean; default false
 *     Connect as a bridge does to mosquitto or RSMB: they send back nothing that this client
 *     published, and keep the retain flag of what they pass on. Default off; other servers may refuse
 *     the connection.
 *   server_client_id: boolean; default false
 *     Where no client identifier is given and the session is to end with its connection, let the
 *     server make one. Default off: one that stays the same makes the server's log readable.
 *   clean_start: boolean; default false
 *     Ask the server for a fresh session: on MQTT 5 at the first connection only, because a session
 *     that outlives an outage is what this client is for; on MQTT 3.1.1 at every connection, because
 *     there the flag also says what happens to the session afterwards. Default off.
 *   session_expiry: integer, 0 to 4294967295; default 86400
 *     MQTT 5 session expiry interval in seconds, 0 = ends with the connection, 4294967295 = never
 *     ends. Default one day: longer than most outages, and no broker keeps it for ever. [MQTT5
 *     3.1.2.11.2]
 *   keepalive: integer, 0 to 65535; default 60
 *     Keep alive in seconds: after that long without sending, PINGREQ is sent; 0 = off. Default 60, as
 *     the servers' documents suggest; an MQTT 5 server may override it for a connection.
 *     [MQTT-3.1.2-21]
 *   heartbeat: boolean; default true
 *     Send PINGREQ, so that the server and we know that the other one is there. Off: for an
 *     application that has stopped looking. The server takes it for dead after 1.5 keep alives and
 *     publishes its will. Default on.
 *   ping_timeout: milliseconds, 1 to 3600000; default 5000
 *     How long a PINGREQ may stay unanswered at most, in milliseconds, before the connection counts as
 *     lost; where `detect_within` is not 0 the time follows the round trips that were measured, from
 *     200 ms on. Default 5000: above any honest round trip, far below the 1.5 keep alives of the
 *     protocol.
 *   detect_within: milliseconds, 0 to 3600000; default 5000
 *     How soon a dead connection is to be noticed, in milliseconds, even when nothing is sent: PINGREQ
 *     goes out as often as that takes, and a busy stream that stops, bytes that TCP has to send again,
 *     a network that changed or a machine that slept are reasons to ask at once. Default 5000: about
 *     36 bytes a second on an idle connection, both ways and with all headers. 500 is fast; 0 is
 *     frugal: only keep alive and `ping_timeout` count.
 *   connect_timeout: milliseconds, 1 to 3600000; default 5000
 *     Time for one attempt from resolving to CONNACK, in milliseconds, or for the exchange that
 *     authenticates a connection anew. One whose CONNECT was not answered by then is kept until the
 *     next attempt begins. Default 5000.
 *   reconnect_min_delay: milliseconds, 0 to 86400000; default 50
 *     Smallest delay before a repeated attempt, in milliseconds. The first attempt after a stable
 *     connection is lost is always made at once. Default 50: a server that restarts is missed by no
 *     more.
 *   reconnect_max_delay: milliseconds, 0 to 86400000; default 120000
 *     Largest delay between attempts, in milliseconds, except after refusals. Against a busy server
 *     each is drawn between the smallest delay and a bound that doubles up to this; while nobody is
 *     there (the port is refused, the name does not resolve) it is a share of the outage so far, and
 *     30 seconds at most. Default 120000: a server that stays busy for minutes needs that much peace.
 *   refused_min_delay: milliseconds, 0 to 86400000; default 30000
 *     Smallest delay after a refusal that is unlikely to pass by itself (credentials, client
 *     identifier, certificate, taken over again and again), in milliseconds; the first time that
 *     another client takes the session over, a third of it. Default 30000: at most two attempts a
 *     minute, because a wrong password must not hammer the server, and so for a client that was taken
 *     over again: the third attempt waits until twice this time after the first is over.
 *   stable_after: milliseconds, 0 to 86400000; default 5000
 *     How long a connection must last, in milliseconds, before its loss starts the schedule anew.
 *     Default 5000: a link that flaps faster keeps its backoff.
 *   max_inflight: integer, 1 to 65535; default 1024
 *     Most QoS 1 and 2 publishes in flight; the server's receive maximum also bounds it. Default 1024:
 *     at 50 ms of round trip 20,000 messages a second. On MQTT 3.1.1 at most 19 of them are QoS 2,
 *     because brokers have a limit there that they cannot announce.
 *   receive_maximum: integer, 1 to 65535; default 65535
 *     MQTT 5 receive maximum that we announce, explicitly unless `announce_receive_maximum` is off:
 *     brokers fall back to 20 without it. Default 65535; what bounds memory is `receive_buffer`.
 *   announce_receive_maximum: boolean; default true
 *     Announce also a receive maximum that is the protocol's own default. Default on; for clients that
 *     receive nothing it makes no difference.
 *   receive_buffer: integer, 1 to 1099511627776; default 16777216
 *     Bytes of received messages that may wait for the application before the socket is no longer
 *     read. Default 16 MiB.
 *   maximum_packet_size: integer, 16 to 268435460; default 268435460
 *     Largest packet we accept, in bytes. MQTT 5 tells the server. Default the protocol's largest: a
 *     smaller bound turns one large message into a connection that dies at every redelivery.
 *   topic_alias_maximum: integer, 0 to 65535; default 0
 *     MQTT 5 topic aliases that the server may use towards us. Default 0: few servers do, and each
 *     costs a topic.
 *   backlog_messages: integer, 1 to 1099511627776; default 1000000
 *     Most messages that wait for their first sending. Default 1,000,000.
 *   backlog_bytes: integer, 1 to 1099511627776; default 268435456
 *     Most bytes (topics and payloads) that wait for their first sending. Default 256 MiB.
 *   backlog_when_full: one of refuse drop_oldest drop_newest; default refuse
 *     What happens to a publish that finds the backlog full: refuse, drop_oldest or drop_newest.
 *     Default refuse: nothing accepted is ever dropped unasked.
 *   queue_qos0_offline: boolean; default true
 *     Queue QoS 0 publishes while there is no connection. Default on; off refuses them with
 *     `NotConnected`.
 *   lost_session_publishes: one of resend fail; default resend
 *     Unacknowledged publishes when the server lost the session: resend or fail. Default resend.
 *   lost_session_dup: boolean; default false
 *     Mark publishes that are sent again in a new session with DUP, as paho does. Default off: in that
 *     session nobody has seen them before. [MQTT-3.3.1-1]
 *   deliver_invalid_topics: boolean; default false
 *     Deliver messages whose topic is not UTF-8, with the bytes of the topic beside its text, instead
 *     of closing the connection as the specification asks [MQTT-1.5.3-1]. Default off.
 *   bare_topic_aliases: boolean; default false
 *     Send a publish that has a topic alias and no topic as the application says, and leave it to the
 *     server to judge the alias. Such a publish belongs to the connection that it is first sent on: it
 *     fails with `InvalidTopic` where that is lost. Default off: it is refused.
 *   lost_session_subscriptions: one of restore forget; default restore
 *     Subscriptions when the server lost the session: restore or forget. Default restore.
 *   store: text; default empty
 *     Path of the file that keeps the session, so that it survives the death of the process: publishes
 *     of QoS 1 and 2 and their phases, identifiers of received QoS 2 messages, wanted subscriptions,
 *     the client identifier. One client uses it at a time; the directory is made if it is missing.
 *     Empty (default): the session lives in memory.
 *   pipeline: boolean; default true
 *     Send the SUBSCRIBE that restores right behind the CONNECT where the session is probably lost: a
 *     round trip less. MQTT 5 only. Default on; a server that does not bear it is remembered.
 *   follow_references: boolean; default true
 *     Go to another server when this one says so (MQTT 5 reason codes 0x9C and 0x9D with a server
 *     reference), over the same transport. Default on.
 *   race_servers: boolean; default false
 *     While nobody answers at one server, the next ones of the list are tried beside it, a quarter of
 *     a second apart at first, and the one whose TCP answers first is taken. Default false: they are
 *     tried one after the other, so that the first of the list is used as long as it can be. Each
 *     server has sessions of its own: one that does not know the session counts as one that lost it.
 *   quarantine_after: integer, 0 to 65535; default 3
 *     A message that stands at the end of so many connections in a row is taken out of the traffic,
 *     with an event, so that the others can pass. 0: never. Default 3: two may be chance.
 *   sequence_property: text; default empty
 *     Name of an MQTT 5 user property in which the publisher counts the messages of a topic, in
 *     decimal: what is missing is told. One publisher and one QoS for each topic, no shared
 *     subscription. Default empty: none.
 *   sequence_in_payload: boolean; default false
 *     Where `sequence_property` is empty: every payload begins with the number of the message in its
 *     topic, in decimal. What is missing is told. Default off.
 *   acknowledge: one of finished stored; default finished
 *     When a received QoS 1 or 2 message is acknowledged. finished (default): when the application has
 *     finished with it, so that the server sends it again after a crash; any of them may then come
 *     twice, and nothing tells. stored, which needs a `store`: as soon as it is durable, before the
 *     application gets it. It stays in the store until the application has finished with it; the next
 *     process delivers it again under the same token, marked as redelivered.
 *   resume_after: text; default empty
 *     Token of the last message that the application has finished with, as it wrote it down together
 *     with the effects of that message: what is stored up to it is not delivered again, so that the
 *     effects of every message happen once. A token of another store skips nothing. Default empty.
 *   manual_ack: boolean; default false
 *     Acknowledge received messages by call instead of when the message callback returns. Default off.
 *   reconnect: boolean; default true
 *     Try again by itself after a connection is lost or refused. Default on.
 *   tls_ca_file: text; default empty
 *     File with the authorities that may vouch for the server, in PEM; then those of the system no
 *     longer count. Default empty: the system's.
 *   tls_ca_path: text; default empty
 *     Folder with such files; each that is no certificate is skipped. Default empty.
 *   tls_cert_file: text; default empty
 *     File with our certificate and its chain, in PEM, for servers that ask for one. Default empty:
 *     none.
 *   tls_key_file: text; default empty
 *     File with the private key of our certificate, in PEM: PKCS#8 (also encrypted), PKCS#1 or SEC1.
 *     Default empty: the key is in `tls_cert_file`.
 *   tls_key_password: secret text; default empty
 *     Password of the private key. Never shown or logged. Default empty: the key is not encrypted.
 *   tls_alpn: text; default empty
 *     Application protocols (ALPN) to offer, separated by commas, as in mqtt. Default empty: few
 *     servers ask.
 *   tls_server_name: text; default empty
 *     Name that the server's certificate must have, and that SNI sends. Default empty: the host of the
 *     endpoint.
 *   tls_min_version: one of 1.2 1.3; default 1.2
 *     Oldest version of TLS that is accepted. Older ones than 1.2 are broken and not implemented.
 *     Default 1.2.
 *   tls_ciphers: text; default empty
 *     Cipher suites in order of preference, separated by colons, by their OpenSSL or IANA names.
 *     Default empty: all that the library has, which are all good.
 *   tls_common_name: boolean; default false
 *     A certificate that names no hosts but has the host as its common name is for that host, as
 *     OpenSSL has it. Default off: such certificates are out of use since 2011. [RFC 6125, 6.4.4]
 *   tls_insecure_skip_hostname: boolean; default false
 *     DANGER: accept a certificate that was issued for another host. Whoever has any certificate of a
 *     trusted authority can pretend to be the server. Default off.
 *   tls_insecure_skip_verification: boolean; default false
 *     DANGER: accept any certificate whatsoever. Anybody on the way can read and change everything.
 *     Default off.
 *   proxy: secret text; default empty
 *     Proxy, as http://user:password@host:port, socks5://... or socks5h://...; socks5 resolves the
 *     server's name here, socks5h and http at the proxy. Never shown. Default empty: none.
 *   proxy_from_environment: boolean; default false
 *     Where `proxy` is empty, use the proxy that the environment names: mqtt_proxy (socks:// is
 *     socks5h://), unless no_proxy lists the host. Default off: a library does what its options say.
 *   bind_address: text; default empty
 *     Local address of connections. Default empty: the system chooses.
 *   bind_port: integer, 0 to 65535; default 0
 *     Local port of connections. Default 0: the system chooses. A fixed one can make a reconnect wait
 *     until the system gives the port free.
 *   socket_send_buffer: integer, 0 to 1073741824; default 0
 *     Size of the socket's send buffer in bytes. Default 0: the system's, which grows by itself.
 *   socket_receive_buffer: integer, 0 to 1073741824; default 0
 *     Size of the socket's receive buffer in bytes. Default 0: the system's, which grows by itself.
 *   dns_servers: text; default empty
 *     Name servers for SRV records, as address or address:port, separated by commas. Default empty:
 *     the system's.
 *   dispatch: one of thread poll; default thread
 *     Where callbacks run: on threads of the library, or in remqtt_client_dispatch.
 */
remqtt_status remqtt_config_set(remqtt_config *config,
                                const char *key,
                                const char *value);

/**
 * The option with this key as remqtt_config_set takes it, copied to `buffer`, cut to `capacity` with its NUL (`buffer`
 * may be NULL when that is 0). A secret shows only that it is set. Returns the length of the whole text without the
 * NUL; 0: it is empty, there is no such option, or NULL.
 */
size_t remqtt_config_get(const remqtt_config *config,
                         const char *key,
                         char *buffer,
                         size_t capacity);

/**
 * The key of the option with this index, counted from 0, as in `client_id`; NULL past the last one. A static string.
 * Any thread.
 */
const char *remqtt_option_name(size_t index);

/**
 * Appends a server: a NUL-terminated URL as in `mqtt://host:1883`. Servers are tried in their order. What is wrong
 * with a URL is told by remqtt_client_new.
 */
remqtt_status remqtt_config_add_server(remqtt_config *config,
                                       const char *url);

/**
 * Sets the client identifier: `length` bytes of UTF-8. Empty: the library makes one and keeps it for the client's
 * life, not longer.
 */
remqtt_status remqtt_config_set_client_id(remqtt_config *config,
                                          const char *id,
                                          size_t length);

/**
 * Sets user name and password. The password may hold any bytes. A `ptr` of NULL means that there is none; an empty
 * one is sent as such.
 */
remqtt_status remqtt_config_set_credentials(remqtt_config *config,
                                            remqtt_str user,
                                            remqtt_bytes password);

/**
 * Sets `clean_start` (0 or 1) and `session_expiry` (seconds; 0 = ends with the connection, 4294967295 = never).
 */
remqtt_status remqtt_config_set_session(remqtt_config *config,
                                        uint8_t clean_start,
                                        uint32_t expiry_s);

/**
 * Sets the smallest and the largest delay between attempts, in milliseconds. The first attempt after a stable
 * connection is lost is always made at once.
 * REMQTT_E_INVALID_OPTION: out of range.
 */
remqtt_status remqtt_config_set_reconnect(remqtt_config *config, uint32_t min_ms, uint32_t max_ms);

/**
 * Sets the last will: topic, payload, QoS (0 to 2), retain flag (0 or 1) and MQTT 5 properties (NULL = none), the
 * Will Delay Interval (0x18, seconds) among them. All are copied.
 * REMQTT_E_INVALID_QOS, REMQTT_E_INVALID_ARGUMENT here; what is wrong with the topic is told by remqtt_client_new.
 */
remqtt_status remqtt_config_set_will(remqtt_config *config,
                                     remqtt_str topic,
                                     remqtt_bytes payload,
                                     uint8_t qos_level,
                                     uint8_t retain,
                                     const remqtt_props *props);

/**
 * Sets MQTT 5 CONNECT properties beyond those that have an option; those given here win. NULL removes them.
 */
remqtt_status remqtt_config_set_connect_props(remqtt_config *config, const remqtt_props *props);

/**
 * Sets the function for changes of the connection's state. A later call replaces the function; `drop` (may
 * be NULL) runs when it is replaced or when the config and every client made from it are gone. NULL for
 * `function` removes it, and `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_state(remqtt_config *config,
                                     remqtt_state_fn function,
                                     void *user,
                                     remqtt_drop_fn drop);

/**
 * Sets the function for messages. Without one they are acknowledged and forgotten. A later call replaces the
 * function; `drop` (may be NULL) runs when it is replaced or when the config and every client made from it
 * are gone. NULL for `function` removes it, and `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_message(remqtt_config *config,
                                       remqtt_message_fn function,
                                       void *user,
                                       remqtt_drop_fn drop);

/**
 * Sets the function for the end of outages. A later call replaces the function; `drop` (may be NULL) runs
 * when it is replaced or when the config and every client made from it are gone. NULL for `function` removes
 * it, and `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_recovered(remqtt_config *config,
                                         remqtt_recovered_fn function,
                                         void *user,
                                         remqtt_drop_fn drop);

/**
 * Sets the function for troubles of the store. A later call replaces the function; `drop` (may be NULL) runs
 * when it is replaced or when the config and every client made from it are gone. NULL for `function` removes
 * it, and `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_store(remqtt_config *config,
                                     remqtt_store_fn function,
                                     void *user,
                                     remqtt_drop_fn drop);

/**
 * Sets the function for quarantined messages. A later call replaces the function; `drop` (may be NULL) runs
 * when it is replaced or when the config and every client made from it are gone. NULL for `function` removes
 * it, and `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_quarantined(remqtt_config *config,
                                           remqtt_quarantined_fn function,
                                           void *user,
                                           remqtt_drop_fn drop);

/**
 * Sets the function for gaps. A later call replaces the function; `drop` (may be NULL) runs when it is
 * replaced or when the config and every client made from it are gone. NULL for `function` removes it, and
 * `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_gap(remqtt_config *config,
                                   remqtt_gap_fn function,
                                   void *user,
                                   remqtt_drop_fn drop);

/**
 * Sets the authorities that may vouch for the server: certificates in PEM, or one in DER. They count beside those of
 * `tls_ca_file` and `tls_ca_path`, and like these in place of the system's. A `ptr` of NULL takes them away. What is
 * wrong with them is told by the first attempt to connect.
 */
remqtt_status remqtt_config_set_tls_ca(remqtt_config *config,
                                       remqtt_bytes certificates);

/**
 * Sets our certificate, for servers that ask for one: in PEM with its chain, or one in DER, in place of
 * `tls_cert_file`. A `ptr` of NULL takes it away.
 */
remqtt_status remqtt_config_set_tls_cert(remqtt_config *config, remqtt_bytes certificate);

/**
 * Sets the private key of our certificate, PEM or DER, in place of `tls_key_file`; an encrypted one is opened with
 * `tls_key_password`. Never shown or logged. A `ptr` of NULL takes it away.
 */
remqtt_status remqtt_config_set_tls_key(remqtt_config *config,
                                        remqtt_bytes key);

/**
 * Adds a header to the WebSocket handshake. The headers of a name that were added replace the default ones of that
 * name, such as Host or Origin. What the handshake cannot do without is refused by remqtt_client_new.
 */
remqtt_status remqtt_config_add_ws_header(remqtt_config *config,
                                          remqtt_str name,
                                          remqtt_str value);

/**
 * Makes a client and stores the first reference to it in `out` (NULL on failure). Sends nothing: the client connects
 * after remqtt_client_start. Opens the store (option "store") and reads all of it; while another client has it, this
 * waits up to a second for it.
 * REMQTT_E_INVALID_OPTION, REMQTT_E_INVALID_TOPIC: what is wrong with the config. REMQTT_E_RESOURCE: no thread or
 * descriptor to be had. REMQTT_E_STORE_LOCKED: another client uses the store. REMQTT_E_STORE_FAILED: the system refuses
 * the file. Any thread.
 */
remqtt_status remqtt_client_new(const remqtt_config *config,
                                remqtt_client **out);

/**
 * Another reference to the client: returns `client`. NULL stays NULL.
 */
remqtt_client *remqtt_client_ref(remqtt_client *client);

/**
 * Gives a reference back. With the last one the client is closed: no message is delivered any more, operations that
 * are not complete complete with REMQTT_E_CLOSED, and the drop functions run last. None of this is waited for (in
 * poll mode the `done` functions do not run, only their drop functions). Allowed in callbacks. NULL is allowed.
 */
void remqtt_client_free(remqtt_client *client);

/**
 * Connects and stays connected until remqtt_client_stop or remqtt_client_close: after a failure the client tries
 * again by itself. Returns at once; remqtt_client_wait_state and the state function tell how it goes.
 * REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_start(remqtt_client *c);

/**
 * Sends DISCONNECT and stays away until remqtt_client_start. Session and queued messages are kept. `reason` is the
 * MQTT 5 reason code: 0 is normal, 4 makes the server publish the last will. `props` may be NULL. Returns at once.
 * REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_stop(remqtt_client *c,
                                 uint8_t reason,
                                 const remqtt_props *props);

/**
 * Closes the client for good: waits up to `drain_timeout_ms` until every accepted operation is complete, completes
 * the others with REMQTT_E_CLOSED, disconnects, and waits until the last callback has returned (in poll mode: runs
 * them here). The reference stays and must still be freed. A second call does nothing.
 * REMQTT_E_DEADLOCK: called in a callback of this client; nothing was done. REMQTT_E_TIMEOUT: the client is closed,
 * but a callback was still running after REMQTT_CLOSE_GRACE_MS.
 */
remqtt_status remqtt_client_close(remqtt_client *c,
                                  uint32_t drain_timeout_ms);

/**
 * Waits up to `timeout_ms` until the connection has this state (REMQTT_STATE_...).
 * REMQTT_E_TIMEOUT; REMQTT_E_DEADLOCK: called in a callback of this client; REMQTT_E_CLOSED: it never will.
 */
remqtt_status remqtt_client_wait_state(remqtt_client *c, int32_t wanted, uint32_t timeout_ms);

/**
 * The state of the connection, REMQTT_STATE_...; REMQTT_STATE_CLOSED for NULL. Takes no lock.
 */
int32_t remqtt_client_state(const remqtt_client *c);

/**
 * Skips the wait before the next attempt, whatever it is for. No effect while there is none. Any thread.
 * REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_reconnect_now(remqtt_client *c);

/**
 * Says that the network has changed, for programs that know it: a new link, address or route. A wait for the way to
 * the server ends within 100 ms; a wait that a busy or refusing server asked for goes on (remqtt_client_reconnect_now
 * ends that too). A connection that stands is asked at once whether it lives. Any thread.
 * REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_network_changed(remqtt_client *c);

/**
 * Uses the options of this config from the next connection on; the bounds of the backlog and "receive_buffer" hold at
 * once. Functions and "dispatch" of the client stay what they are.
 * REMQTT_E_INVALID_OPTION: what is wrong with the config; it names another store, or another client identifier than
 * that whose session the store holds. REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_reconfigure(remqtt_client *c,
                                        const remqtt_config *config);

/**
 * Another descriptor of the connection's socket, for options of the socket that only the application knows. It is
 * yours to close; the server sees the end of the connection only when it is closed too. Neither read nor write it.
 * Returns it, or a negative status: REMQTT_E_NOT_CONNECTED.
 */
int32_t remqtt_client_duplicate_socket(remqtt_client *c);

/**
 * Ends the library's threads if every client is closed, and waits up to `timeout_ms` for that. For programs that must
 * leave no thread behind, before exit() or under a leak checker; the next client makes new ones. Meanwhile no other
 * thread may make a client.
 * REMQTT_E_TIMEOUT: a client is not closed, a callback is still running, or this is one. Any thread.
 */
remqtt_status remqtt_wind_down(uint32_t timeout_ms);

/**
 * Publishes `payload` under `topic`, connected or not: what cannot be sent now is queued. Everything is copied.
 * `options` may be NULL: QoS 0, not retained. `token` may be NULL; it gets the number of the operation (before the
 * `done` function can run), 0 on failure. Returns at once.
 * REMQTT_E_INVALID_TOPIC, REMQTT_E_INVALID_QOS, REMQTT_E_PACKET_TOO_LARGE, REMQTT_E_NOT_SUPPORTED: it can never be
 * sent. REMQTT_E_INVALID_ARGUMENT: likewise, or its level needs a store and there is none. REMQTT_E_QUEUE_FULL: try again
 * later. REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_publish(remqtt_client *c,
                                    remqtt_str topic,
                                    remqtt_bytes payload,
                                    const remqtt_publish_options *options,
                                    remqtt_token *token);

/**
 * Subscribes, now or as soon as there is a connection, and again whenever the server lost the session.
 * `subscriptions`: `count` structs, at least one. `props` may be NULL. `done` is called with a reason code for each
 * filter, then `drop` with `user`, once; each may be NULL. When the call fails neither is called and `user` is
 * still the caller's. `token` as for remqtt_client_publish. Returns at once.
 * REMQTT_E_INVALID_FILTER, REMQTT_E_INVALID_QOS, REMQTT_E_INVALID_ARGUMENT, REMQTT_E_PACKET_TOO_LARGE,
 * REMQTT_E_NOT_SUPPORTED, REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_subscribe(remqtt_client *c,
                                      const remqtt_subscription *subscriptions,
                                      size_t count,
                                      const remqtt_props *props,
                                      remqtt_done_fn done,
                                      void *user,
                                      remqtt_drop_fn drop,
                                      remqtt_token *token);

/**
 * Unsubscribes from `count` filters, at least one. The rest is as for remqtt_client_subscribe.
 */
remqtt_status remqtt_client_unsubscribe(remqtt_client *c,
                                        const remqtt_str *filters,
                                        size_t count,
                                        const remqtt_props *props,
                                        remqtt_done_fn done,
                                        void *user,
                                        remqtt_drop_fn drop,
                                        remqtt_token *token);

/**
 * Waits up to `timeout_ms` until the operation is complete and returns how it ended (the last 1,024 failures are
 * remembered); remqtt_last_error and remqtt_last_error_reason tell more about a failure.
 * REMQTT_E_TIMEOUT: the operation goes on. REMQTT_E_DEADLOCK: called in a callback of this client.
 */
remqtt_status remqtt_client_wait(remqtt_client *c,
                                 remqtt_token token,
                                 uint32_t timeout_ms);

/**
 * Waits up to `timeout_ms` until every accepted operation is complete.
 * REMQTT_E_TIMEOUT: they go on. REMQTT_E_DEADLOCK: called in a callback of this client.
 */
remqtt_status remqtt_client_flush(remqtt_client *c, uint32_t timeout_ms);

/**
 * Waits up to `timeout_ms` until everything accepted so far is durable in the store (option "store"): from then on it
 * survives kill -9 and a power cut. Without a store there is nothing to wait for.
 * REMQTT_E_TIMEOUT: the disk goes on. REMQTT_E_DEADLOCK: called in a callback of this client. REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_sync(remqtt_client *c,
                                 uint32_t timeout_ms);

/**
 * Publishes `count` messages in their order, as remqtt_client_publish does, up to the first that it refuses: its
 * status is returned. `tokens` (NULL, or room for `count`) gets the number of each, 0 for those that were not
 * accepted; `accepted` (may be NULL) gets how many were. Returns at once.
 */
remqtt_status remqtt_client_publish_many(remqtt_client *c,
                                         const remqtt_publication *publications,
                                         size_t count,
                                         remqtt_token *tokens,
                                         size_t *accepted);

/**
 * The operations that are accepted and not complete, oldest first: at most `capacity` of them in `tokens` (may be NULL
 * when that is 0), how many there are in `count`. With a store (option "store") the publishes that an earlier process
 * left are among them from remqtt_client_new on, under the numbers that they had there.
 * REMQTT_E_INVALID_ARGUMENT: `count` is NULL.
 */
remqtt_status remqtt_client_pending(const remqtt_client *c,
                                    remqtt_token *tokens,
                                    size_t capacity,
                                    size_t *count);

/**
 * Sets the `done` function of an operation that has none, such as a publish of an earlier process: it is called when
 * the operation is complete, then `drop` with `user`, once. On failure neither is called and `user` is still the
 * caller's.
 * REMQTT_E_INVALID_ARGUMENT: no such operation is pending, it has a function, or `done` is NULL.
 */
remqtt_status remqtt_client_on_done(remqtt_client *c,
                                    remqtt_token token,
                                    remqtt_done_fn done,
                                    void *user,
                                    remqtt_drop_fn drop);

/**
 * Gives up every publish of QoS 1 and 2 that is not complete: each completes with REMQTT_E_DROPPED. A server that has
 * one of them already keeps it. `function` (may be NULL) is called for each of them, oldest first; `count` (may be
 * NULL) gets how many there were. Waits for the library's own thread, which answers at once.
 * REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_drop_publishes(remqtt_client *c,
                                           remqtt_dropped_fn function,
                                           void *user,
                                           size_t *count);

/**
 * Sets the function for the messages whose topic `filter` covers, subscribed or not: of a message that several such
 * functions are for, each is called, in the order in which they were set, and the function of remqtt_config_on_message
 * is not. The message is acknowledged later if one of them returns REMQTT_ACK_LATER. A later call for the same filter
 * replaces the function; `drop` (may be NULL) runs when it is replaced or removed, or when the client is closed. NULL
 * for `function` removes it, and `user` is not taken. On failure `user` is not taken either. Of a shared subscription,
 * give what follows `$share/name/`, or the whole.
 * REMQTT_E_INVALID_FILTER, REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_on_topic(remqtt_client *c,
                                     remqtt_str filter,
                                     remqtt_message_fn function,
                                     void *user,
                                     remqtt_drop_fn drop);

/**
 * 1 if `filter` covers `topic`, 0 if not; both are checked. A shared subscription covers what its filter covers, and
 * wildcards at the beginning cover no topic that begins with `$`. Any thread.
 * REMQTT_E_INVALID_FILTER, REMQTT_E_INVALID_TOPIC, REMQTT_E_INVALID_ARGUMENT.
 */
int32_t remqtt_topic_matches(remqtt_str filter,
                             remqtt_str topic);

/**
 * The name of the statistic with this index, counted from 0, as in `connect_attempts`; NULL past the last one. A
 * static string. Any thread.
 */
const char *remqtt_stat_name(size_t index);

/**
 * The statistic with this index, counted from 0, in `value`.
 * REMQTT_E_INVALID_ARGUMENT: past the last one, or NULL.
 */
remqtt_status remqtt_client_stat(const remqtt_client *c, size_t index, uint64_t *value);

/**
 * All statistics at one moment. `out->size` must be set: start from REMQTT_STATS_INIT.
 * REMQTT_E_INVALID_ARGUMENT: NULL, or a size that no version has.
 */
remqtt_status remqtt_client_stats(const remqtt_client *c, remqtt_stats *out);

/**
 * The name of the mark with this index (REMQTT_MARK_...), as in `FirstMessage`; NULL past the last one. A static
 * string. Any thread.
 */
const char *remqtt_mark_name(size_t index);

/**
 * How many outages remqtt_client_outage can tell: the last 64 at most. 0 for NULL.
 */
size_t remqtt_client_outage_count(const remqtt_client *c);

/**
 * The outage with this index, 0 being the oldest that is remembered. One is there when it is over. `out->size` must
 * be set: start from REMQTT_OUTAGE_INIT. `out->number` tells when a new outage has moved the indexes.
 * REMQTT_E_INVALID_ARGUMENT: NULL, no such outage, or a size that no version has.
 */
remqtt_status remqtt_client_outage(const remqtt_client *c,
                                   size_t index,
                                   remqtt_outage *out);

/**
 * The outage with this index (as for remqtt_client_outage) in one line of words, for a log: copied to `buffer`, cut to
 * `capacity` with its NUL. Returns the length of the whole text without NUL; 0: NULL, or no such outage.
 */
size_t remqtt_client_outage_text(const remqtt_client *c,
                                 size_t index,
                                 char *buffer,
                                 size_t capacity);

/**
 * Sets the function for the log; it gets the lines whose level is `level` or less (REMQTT_LOG_...). A later call
 * replaces the function; `drop` (may be NULL) runs when it is replaced or when the config and every client made from
 * it are gone. NULL for `function` removes it, and `user` is not taken. On failure `user` is not taken either.
 * REMQTT_E_INVALID_ARGUMENT: no such level.
 */
remqtt_status remqtt_config_on_log(remqtt_config *config,
                                   int32_t level,
                                   remqtt_log_fn function,
                                   void *user,
                                   remqtt_drop_fn drop);

/**
 * Sets the function for user name and password. Without one those of remqtt_config_set_credentials are sent. A later
 * call replaces the function; `drop` (may be NULL) runs when it is replaced or when the config and every client made
 * from it are gone. NULL for `function` removes it, and `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_credentials(remqtt_config *config,
                                           remqtt_credentials_fn function,
                                           void *user,
                                           remqtt_drop_fn drop);

/**
 * Sets user name and password in a credentials function. Both are copied. A `ptr` of NULL means that there is none.
 */
remqtt_status remqtt_login_set(remqtt_login *login,
                               remqtt_str user,
                               remqtt_bytes password);

/**
 * Sets the authentication data (0x16) of this attempt's CONNECT in a credentials function, for the method (0x15)
 * that stands in its properties, remqtt_config_set_connect_props. Copied. A `ptr` of NULL: what stands there, too.
 */
remqtt_status remqtt_login_set_auth_data(remqtt_login *login,
                                         remqtt_bytes data);

/**
 * Sets the function for AUTH packets. The method, and first data that are the same for all attempts, are properties
 * of the CONNECT (remqtt_config_set_connect_props, 0x15 and 0x16); other first data for each attempt come from a
 * remqtt_credentials_fn. Without a function a server that sends AUTH is refused, with
 * REMQTT_E_AUTHENTICATION_FAILED. A later call replaces the function; `drop` (may be NULL) runs when it is replaced
 * or when the config and every client made from it are gone. NULL for `function` removes it, and `user` is not
 * taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_auth(remqtt_config *config,
                                    remqtt_auth_fn function,
                                    void *user,
                                    remqtt_drop_fn drop);

/**
 * Answers an AUTH of the server, `exchange` of its remqtt_auth; an answer that comes too late, or twice, does
 * nothing. 0: asks the server of the connection that is up to authenticate us anew, by the method of the CONNECT,
 * for credentials that expire; nothing happens while an exchange is under way. A function of remqtt_config_on_auth
 * hears what comes of it: further steps, then `reason` 0; a server that refuses ends the connection. `data`: the
 * authentication data; a `ptr` of NULL means that there is none. `props` (reason string 0x1F, user properties 0x26)
 * may be NULL. All is copied. Returns at once.
 * REMQTT_E_INVALID_ARGUMENT: the properties are others, or `exchange` is 0 and the CONNECT has no method.
 * REMQTT_E_NOT_CONNECTED: `exchange` is 0, and there is no connection. REMQTT_E_CLOSED.
 */
remqtt_status remqtt_client_authenticate(remqtt_client *c,
                                         uint64_t exchange,
                                         remqtt_bytes data,
                                         const remqtt_props *props);

/**
 * Sets the function that makes connections. Without one the library makes them. A later call replaces the function;
 * `drop` (may be NULL) runs when it is replaced or when the config and every client made from it are gone. NULL for
 * `function` removes it, and `user` is not taken. On failure `user` is not taken either.
 */
remqtt_status remqtt_config_on_dial(remqtt_config *config,
                                    remqtt_dial_fn function,
                                    void *user,
                                    remqtt_drop_fn drop);

/**
 * Reads the store in the file `path` (NUL-terminated) and verifies every page and every row of it; `out` gets what was
 * found (NULL on failure), to be freed with remqtt_inspection_free. A damaged store is read as far as it can be and is
 * no failure: see remqtt_inspection_damage. Changes nothing in the file; that of its lock (`path` with `.lock`) may
 * appear beside it, and no client can use the store meanwhile. Takes as long as the disk takes to copy the file to the
 * folder for temporary files and to read it there.
 * REMQTT_E_STORE_LOCKED: a client uses it. REMQTT_E_STORE_FAILED: there is no such file, or the system refuses it. Any
 * thread.
 */
remqtt_status remqtt_inspection_new(const char *path,
                                    remqtt_inspection **out);

/**
 * Frees what remqtt_inspection_new gave. NULL is allowed.
 */
void remqtt_inspection_free(remqtt_inspection *inspection);

/**
 * Bytes of the file; 0 for NULL.
 */
uint64_t remqtt_inspection_size(const remqtt_inspection *inspection);

/**
 * What is wrong with the store and what is lost, in words; empty: it is whole, or NULL. Lives as long as the
 * inspection.
 */
remqtt_str remqtt_inspection_damage(const remqtt_inspection *inspection);

/**
 * How many records a client would find there; 0 for NULL.
 */
size_t remqtt_inspection_count(const remqtt_inspection *inspection);

/**
 * The record with this index, counted from 0, as a JSON object in one line of ASCII: its `kind` (`session`, `publish`,
 * `message`: received, and the application has not finished with it, `identifier`: of a received QoS 2 message, taken
 * until its PUBREL, `subscription`), then its fields; a payload as hexadecimal digits. Copied to `buffer`, cut to
 * `capacity` with its NUL (`buffer` may be NULL when that is 0). Returns the length of the whole text without the NUL;
 * 0: NULL, or past the last one.
 */
size_t remqtt_inspection_record(const remqtt_inspection *inspection,
                                size_t index,
                                char *buffer,
                                size_t capacity);

/**
 * The topic; empty for NULL. Lives as long as the message.
 */
remqtt_str remqtt_message_topic(const remqtt_message *message);

/**
 * The payload; empty for NULL. Lives as long as the message.
 */
remqtt_bytes remqtt_message_payload(const remqtt_message *message);

/**
 * QoS and flags, REMQTT_FLAG_...; 0 for NULL.
 */
uint32_t remqtt_message_flags(const remqtt_message *message);

/**
 * The packet identifier of a QoS 1 or 2 message; 0 for QoS 0 and for NULL. The server uses it again later.
 */
uint16_t remqtt_message_id(const remqtt_message *message);

/**
 * The token of a message that was stored before its acknowledgement (option "acknowledge"): a name that stays the same
 * when the next process delivers it again, for the option "resume_after". Empty for other messages and for NULL. Lives
 * as long as the message.
 */
remqtt_str remqtt_message_token(const remqtt_message *message);

/**
 * The MQTT 5 properties, NULL for NULL only. They live as long as the message.
 */
const remqtt_props *remqtt_message_props(const remqtt_message *message);

/**
 * A reference that lives until remqtt_message_free, also after the callback that showed the message. It may differ
 * from `message`. NULL for NULL.
 */
remqtt_message *remqtt_message_ref(const remqtt_message *message);

/**
 * Gives a reference of remqtt_message_ref back. It acknowledges nothing. NULL is allowed, and so is the message of
 * a running callback, for which it does nothing.
 */
void remqtt_message_free(remqtt_message *message);

/**
 * Acknowledges a message whose callback returned REMQTT_ACK_LATER, in any order. `reason` is an MQTT 5 reason code,
 * 0 for success; 0x80 and above refuse the message. No effect for QoS 0, for a message that is acknowledged
 * already, and for one of an earlier connection that the server sends again.
 * REMQTT_E_INVALID_ARGUMENT: NULL. REMQTT_E_CLOSED.
 */
remqtt_status remqtt_message_ack(const remqtt_message *message,
                                 uint8_t reason);

/**
 * Poll mode (option "dispatch" = "poll"): a descriptor that is readable while remqtt_client_dispatch has work. It
 * stays the same for the life of the client, which owns it: wait on it, neither read nor close it.
 * Returns it, or a negative status: REMQTT_E_INVALID_ARGUMENT: NULL, or not in poll mode. REMQTT_E_RESOURCE.
 */
int32_t remqtt_client_event_fd(remqtt_client *c);

/**
 * Poll mode: waits up to `timeout_ms` for events and runs the functions for at most `max_events` of them (0 = all
 * that are there) on this thread. One thread at a time; a second one waits for its turn within its time.
 * Returns how many events there were, or a negative status: REMQTT_E_INVALID_ARGUMENT: NULL, or not in poll mode.
 * REMQTT_E_DEADLOCK: called in a callback of this client. REMQTT_E_TIMEOUT: another thread dispatches.
 */
int32_t remqtt_client_dispatch(remqtt_client *c,
                               uint32_t timeout_ms,
                               uint32_t max_events);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/** A remqtt_str of a NUL-terminated string. */
static inline remqtt_str remqtt_str_of(const char *text)
{
    remqtt_str view = { text, 0 };
    while (text && text[view.len]) {
        view.len++;
    }
    return view;
}

/** A remqtt_bytes of `length` bytes. */
static inline remqtt_bytes remqtt_bytes_of(const void *data, size_t length)
{
#ifdef __cplusplus
    remqtt_bytes view = { static_cast<const uint8_t *>(data), length };
#else
    remqtt_bytes view = { (const uint8_t *)data, length };
#endif
    return view;
}

/** Initial value of remqtt_publish_options, which sets its size. */
#define REMQTT_PUBLISH_OPTIONS_INIT { sizeof(remqtt_publish_options), 0, 0, 0, {0}, NULL, NULL, NULL, NULL }
/** Initial value of remqtt_subscription, which sets its size. */
#define REMQTT_SUBSCRIPTION_INIT { sizeof(remqtt_subscription), {NULL, 0}, 0, 0, 0, 0, {0}, NULL, NULL, NULL }
/** Initial value of remqtt_publication, which sets its size. */
#define REMQTT_PUBLICATION_INIT { sizeof(remqtt_publication), {NULL, 0}, {NULL, 0}, NULL }
/** Initial value of remqtt_stats, which sets its size. */
#define REMQTT_STATS_INIT { sizeof(remqtt_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** Initial value of remqtt_outage, which sets its size. */
#define REMQTT_OUTAGE_INIT { sizeof(remqtt_outage), 0, 0, 0, 0, 0, 0, 0, {0}, {0}, 0, 0, 0, 0, {{0, 0, 0}} }

#endif /* REMQTT_H */
