# "d1" (QoS 2) reached the application 2 times
option protocol_version 4
option max_inflight 2
option manual_ack false
option stable_after 5000
option reconnect_max_delay 1000
option keepalive 0
option lost_session_publishes fail
option lost_session_subscriptions restore
option store simulated
option acknowledge stored
engine 11560880314562602444
started
Exchange
Deliver(2)
Die
