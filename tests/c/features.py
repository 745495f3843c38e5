"""What the C library promises, and the tests that hold it: features.py ROOT.

Each row names the functions that a feature consists of and the tests that play it from C. A function that the
header does not have, a test that is not there and an exported function that no row names are errors.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])

#: Feature; its functions (a name ending in `*` stands for all that begin so); its tests, by file.
FEATURES: list[tuple[str, str, dict[str, str]]] = [
    (
        "MQTT 5 properties both ways",
        "props_* property_* config_set_connect_props message_props",
        {"features.c": "properties_of_mqtt_5_go_both_ways"},
    ),
    (
        "publish, subscribe and connect options",
        "client_publish client_subscribe client_unsubscribe config_set config_get"
        " config_new config_free config_set_client_id config_set_session config_set_reconnect option_name",
        {
            "arguments.c": "bad_topics_qos_and_flags_are_refused",
            "settings.c": "an_option_can_be_read_by_the_name_that_it_is_set_by",
            "ride.c": "a_session_rides_through_with_mqtt_5",
        },
    ),
    (
        "changes of the connection's state",
        "config_on_state client_state client_wait_state",
        {"callbacks.c": "the_client_may_be_stopped_in_a_callback_and_started_again"},
    ),
    ("will", "config_set_will", {"features.c": "the_will_goes_with_the_connect"}),
    ("several servers", "config_add_server", {"features.c": "the_next_server_is_tried_where_one_refuses"}),
    (
        "transports",
        "config_set_tls_* config_add_ws_header",
        {
            "roads.c": "a_client_certificate_given_as_bytes_opens_mqtts headers_of_ours_go_over_wss"
            " messages_go_over_a_unix_socket"
        },
    ),
    ("proxies", "config_set", {"features.c": "a_proxy_is_asked_for_the_way"}),
    (
        "store levels",
        "client_sync config_on_store",
        {"features.c": "a_publish_is_as_durable_as_its_level_says"},
    ),
    ("tokens", "message_token", {"features.c": "a_stored_message_keeps_its_token_for_the_next_process"}),
    (
        "a store that no client uses",
        "inspection_*",
        {"inspection.c": "an_inspection_shows_what_a_client_has_left"},
    ),
    (
        "manual acknowledgement",
        "message_* config_on_message",
        {
            "features.c": "with_manual_ack_a_message_waits_for_its_acknowledgement",
            "callbacks.c": "a_kept_message_is_acknowledged_when_its_keeper_says_so",
        },
    ),
    (
        "per-subscription callbacks",
        "client_subscribe",
        {"topics.c": "the_function_of_a_subscription_gets_its_messages_until_the_unsubscribe_is_complete"},
    ),
    (
        "topic callbacks",
        "client_on_topic topic_matches",
        {"topics.c": "a_message_goes_to_each_function_for_its_topic_and_else_to_the_clients"},
    ),
    ("statistics", "stat_name client_stat client_stats", {"features.c": "an_outage_is_counted_and_told"}),
    (
        "timeline and recovery report",
        "client_outage* mark_name config_on_recovered",
        {"features.c": "an_outage_is_counted_and_told", "ride.c": "a_session_rides_through_with_mqtt_3_1_1"},
    ),
    (
        "gaps and quarantine",
        "config_on_gap config_on_quarantined",
        {"every.c": "every_function_may_be_called_in_every_callback"},
    ),
    (
        "connections that the application makes",
        "config_on_dial",
        {"dial.c": "each_connection_is_one_that_the_application_made"},
    ),
    ("logging callback", "config_on_log", {"settings.c": "the_log_says_what_happens_and_no_secret"}),
    (
        "credentials callback before each attempt",
        "config_on_credentials login_set config_set_credentials",
        {"settings.c": "user_name_and_password_are_asked_for_before_each_attempt"},
    ),
    (
        "authentication exchange (AUTH)",
        "config_on_auth client_authenticate login_set_auth_data",
        {"auth.c": "challenges_are_answered_at_each_attempt_and_a_connection_is_authenticated_anew"},
    ),
    (
        "poll mode with one descriptor",
        "client_event_fd client_dispatch",
        {"features.c": "in_poll_mode_one_descriptor_serves_all_connections"},
    ),
    (
        "batch publish",
        "client_publish_many",
        {"topics.c": "a_batch_is_accepted_up_to_the_first_that_is_refused"},
    ),
    (
        "pending operations after a restart",
        "client_pending client_on_done client_drop_publishes",
        {"topics.c": "operations_of_an_earlier_client_are_pending_and_tell_their_end"},
    ),
    (
        "reconnect_now",
        "client_reconnect_now",
        {"features.c": "reconnect_now_ends_a_wait_that_the_server_asked_for"},
    ),
    ("network_changed", "client_network_changed", {"features.c": "network_changed_ends_a_wait_for_the_way"}),
    (
        "other options for a client that lives",
        "client_reconfigure",
        {"settings.c": "other_options_hold_from_the_next_connection_on"},
    ),
    (
        "the socket of the connection",
        "client_duplicate_socket",
        {"settings.c": "the_socket_of_the_connection_can_be_had_for_its_options"},
    ),
]

#: The rules that the header states; its functions are those without which there is no rule.
RULES: list[tuple[str, str, dict[str, str]]] = [
    (
        "status",
        "status_* last_error*",
        {"arguments.c": "statuses_describe_themselves bad_options_are_refused_with_words"},
    ),
    ("versions", "abi_version version", {"arguments.c": "statuses_describe_themselves"}),
    (
        "ownership: what is passed in is copied",
        "config_set client_publish",
        {"features.c": "what_is_passed_in_is_copied_before_the_call_returns"},
    ),
    (
        "ownership: NULL is an error, and freeing it nothing",
        "client_free config_free props_free message_free",
        {"arguments.c": "null_handles_of_clients_are_refused null_messages_are_refused"},
    ),
    (
        "ownership: user is dropped once, after the last call",
        "client_ref client_free",
        {
            "callbacks.c": "a_failed_call_leaves_the_user_pointer_to_the_caller"
            " replacing_a_callback_drops_the_one_before"
        },
    ),
    (
        "bounded blocking",
        "client_close client_wait client_wait_state client_flush client_sync client_dispatch wind_down",
        {
            "arguments.c": "waits_end_with_their_time",
            "every.c": "every_function_may_be_called_in_every_callback",
        },
    ),
    (
        "no lock is held in user code",
        "client_new",
        {"every.c": "every_function_may_be_called_in_every_callback"},
    ),
    (
        "free, stop and close in every callback",
        "client_free client_stop client_close",
        {"every.c": "the_client_may_be_stopped_and_freed_in_every_callback"},
    ),
    (
        "a slow callback holds up its client alone",
        "client_start client_state",
        {"callbacks.c": "a_callback_that_takes_long_holds_up_no_other_client"},
    ),
    (
        "any thread",
        "client_publish",
        {
            "faults.c": "a_hundred_threads_publish_at_once clients_come_and_go_on_many_threads"
            " a_client_may_be_closed_while_others_use_it"
        },
    ),
    ("no SIGPIPE", "client_publish", {"faults.c": "a_reset_during_a_write_raises_no_sigpipe"}),
    (
        "signals are blocked in our threads alone",
        "client_new",
        {"faults.c": "the_threads_of_the_library_block_every_signal"},
    ),
    ("fork", "client_new", {"faults.c": "the_child_of_a_fork_leaves_the_client_alone_and_makes_its_own"}),
    ("exit with live clients", "client_start", {"faults.c": "a_process_may_exit_with_live_clients"}),
    ("dlopen and dlclose in a loop", "client_close", {"dlopen.c": "use_and_close"}),
    ("structs may grow", "client_stats", {"arguments.c": "structs_say_their_size_and_may_grow"}),
]

#: What stands elsewhere than in C: file and words.
ELSEWHERE = {
    "ffi/src/boundary.rs": "a_panic_becomes_a_status_and_its_words_are_kept",
    "ffi/tests/header.rs": "a_panic_boundary_stands_around_every_exported_function",
    "core/src/driver/tests.rs": "a_panic_ends_the_client_and_completes_what_is_open",
    "core/tests/store_fork.rs": "a_forked_child_may_drop_its_copy_but_not_use_it",
    "tests/python/test_two_copies.py": "test_both_copies_work_side_by_side",
}


def wrong() -> list[str]:
    """What the tables have and the tree has not, and the other way round."""
    functions = set((ROOT / "ffi/symbols.txt").read_text().split())
    unnamed, found = set(functions), []
    for row, names, tests in FEATURES + RULES:
        for name in names.split():
            pattern = "remqtt_" + name.replace("*", r"\w*")
            matching = {each for each in functions if re.fullmatch(pattern, each)}
            unnamed -= matching
            found += [] if matching else [f"{row}: no function {name}"]
        for file, wanted in tests.items():
            text = (ROOT / "tests/c" / file).read_text()
            gone = [each for each in wanted.split() if not re.search(rf"\b{each}\b", text)]
            found += [f"{row}: no test {each} in {file}" for each in gone]
    found += [
        f"no {word} in {file}" for file, word in ELSEWHERE.items() if word not in (ROOT / file).read_text()
    ]
    return found + [f"no row names {name}" for name in sorted(unnamed)]


def main() -> None:
    """Compares the tables with the tree."""
    if found := wrong():
        raise SystemExit("\n".join(found))
    print(f"features: {len(FEATURES)} features and {len(RULES) + len(ELSEWHERE)} rules, each with its test")
    print("features: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
