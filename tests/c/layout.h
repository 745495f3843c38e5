/* The ABI on 64-bit machines. Written by ffi/src/layout.rs (REMQTT_WRITE=1 cargo test -p remqtt-ffi). */
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
#define REMQTT_LAYOUT(fact) static_assert(fact, #fact)
#else
/* A negative array size: C99 has no _Static_assert. */
#define REMQTT_LAYOUT(fact) extern char remqtt_layout[(fact) ? 1 : -1]
#endif
#if UINTPTR_MAX == 0xFFFFFFFFFFFFFFFFu
REMQTT_LAYOUT(sizeof(remqtt_str) == 16);
REMQTT_LAYOUT(offsetof(remqtt_str, ptr) == 0);
REMQTT_LAYOUT(offsetof(remqtt_str, len) == 8);
REMQTT_LAYOUT(sizeof(remqtt_bytes) == 16);
REMQTT_LAYOUT(offsetof(remqtt_bytes, ptr) == 0);
REMQTT_LAYOUT(offsetof(remqtt_bytes, len) == 8);
REMQTT_LAYOUT(sizeof(remqtt_result) == 64);
REMQTT_LAYOUT(offsetof(remqtt_result, size) == 0);
REMQTT_LAYOUT(offsetof(remqtt_result, token) == 8);
REMQTT_LAYOUT(offsetof(remqtt_result, status) == 16);
REMQTT_LAYOUT(offsetof(remqtt_result, reason) == 20);
REMQTT_LAYOUT(offsetof(remqtt_result, has_reason) == 21);
REMQTT_LAYOUT(offsetof(remqtt_result, reserved) == 22);
REMQTT_LAYOUT(offsetof(remqtt_result, codes) == 24);
REMQTT_LAYOUT(offsetof(remqtt_result, text) == 40);
REMQTT_LAYOUT(offsetof(remqtt_result, props) == 56);
REMQTT_LAYOUT(sizeof(remqtt_state_event) == 80);
REMQTT_LAYOUT(offsetof(remqtt_state_event, size) == 0);
REMQTT_LAYOUT(offsetof(remqtt_state_event, state) == 8);
REMQTT_LAYOUT(offsetof(remqtt_state_event, prev) == 12);
REMQTT_LAYOUT(offsetof(remqtt_state_event, cause) == 16);
REMQTT_LAYOUT(offsetof(remqtt_state_event, reason) == 20);
REMQTT_LAYOUT(offsetof(remqtt_state_event, has_reason) == 21);
REMQTT_LAYOUT(offsetof(remqtt_state_event, session_present) == 22);
REMQTT_LAYOUT(offsetof(remqtt_state_event, session) == 23);
REMQTT_LAYOUT(offsetof(remqtt_state_event, from_server) == 24);
REMQTT_LAYOUT(offsetof(remqtt_state_event, was_connected) == 25);
REMQTT_LAYOUT(offsetof(remqtt_state_event, reserved) == 26);
REMQTT_LAYOUT(offsetof(remqtt_state_event, attempt) == 28);
REMQTT_LAYOUT(offsetof(remqtt_state_event, next_delay_ms) == 32);
REMQTT_LAYOUT(offsetof(remqtt_state_event, server) == 36);
REMQTT_LAYOUT(offsetof(remqtt_state_event, restoring) == 40);
REMQTT_LAYOUT(offsetof(remqtt_state_event, resending) == 44);
REMQTT_LAYOUT(offsetof(remqtt_state_event, reserved2) == 48);
REMQTT_LAYOUT(offsetof(remqtt_state_event, text) == 56);
REMQTT_LAYOUT(offsetof(remqtt_state_event, props) == 72);
REMQTT_LAYOUT(sizeof(remqtt_publish_options) == 48);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, size) == 0);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, qos) == 8);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, retain) == 9);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, reserved) == 11);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, props) == 16);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, done) == 24);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, user) == 32);
REMQTT_LAYOUT(offsetof(remqtt_publish_options, drop) == 40);
REMQTT_LAYOUT(sizeof(remqtt_subscription) == 32);
REMQTT_LAYOUT(offsetof(remqtt_subscription, size) == 0);
REMQTT_LAYOUT(offsetof(remqtt_subscription, filter) == 8);
REMQTT_LAYOUT(offsetof(remqtt_subscription, qos) == 24);
REMQTT_LAYOUT(offsetof(remqtt_subscription, no_local) == 25);
REMQTT_LAYOUT(offsetof(remqtt_subscription, retain_as_published) == 26);
REMQTT_LAYOUT(offsetof(remqtt_subscription, retain_handling) == 27);
REMQTT_LAYOUT(offsetof(remqtt_subscription, reserved) == 28);
REMQTT_LAYOUT(sizeof(remqtt_stats) == 152);
REMQTT_LAYOUT(offsetof(remqtt_stats, size) == 0);
REMQTT_LAYOUT(offsetof(remqtt_stats, connect_attempts) == 8);
REMQTT_LAYOUT(offsetof(remqtt_stats, connections) == 16);
REMQTT_LAYOUT(offsetof(remqtt_stats, outages) == 24);
REMQTT_LAYOUT(offsetof(remqtt_stats, sessions_lost) == 32);
REMQTT_LAYOUT(offsetof(remqtt_stats, sent_bytes) == 40);
REMQTT_LAYOUT(offsetof(remqtt_stats, received_bytes) == 48);
REMQTT_LAYOUT(offsetof(remqtt_stats, sent_publishes) == 56);
REMQTT_LAYOUT(offsetof(remqtt_stats, resent) == 64);
REMQTT_LAYOUT(offsetof(remqtt_stats, received_messages) == 72);
REMQTT_LAYOUT(offsetof(remqtt_stats, duplicates_suppressed) == 80);
REMQTT_LAYOUT(offsetof(remqtt_stats, published) == 88);
REMQTT_LAYOUT(offsetof(remqtt_stats, failed) == 96);
REMQTT_LAYOUT(offsetof(remqtt_stats, tolerated) == 104);
REMQTT_LAYOUT(offsetof(remqtt_stats, backlog_messages) == 112);
REMQTT_LAYOUT(offsetof(remqtt_stats, backlog_bytes) == 120);
REMQTT_LAYOUT(offsetof(remqtt_stats, inflight) == 128);
REMQTT_LAYOUT(offsetof(remqtt_stats, unacknowledged) == 136);
REMQTT_LAYOUT(offsetof(remqtt_stats, subscriptions) == 144);
REMQTT_LAYOUT(sizeof(remqtt_outage) == 168);
REMQTT_LAYOUT(offsetof(remqtt_outage, size) == 0);
REMQTT_LAYOUT(offsetof(remqtt_outage, number) == 8);
REMQTT_LAYOUT(offsetof(remqtt_outage, resent) == 16);
REMQTT_LAYOUT(offsetof(remqtt_outage, cause) == 24);
REMQTT_LAYOUT(offsetof(remqtt_outage, attempts) == 28);
REMQTT_LAYOUT(offsetof(remqtt_outage, session_kept) == 32);
REMQTT_LAYOUT(offsetof(remqtt_outage, reserved) == 33);
REMQTT_LAYOUT(offsetof(remqtt_outage, marks_ns) == 40);
#endif
