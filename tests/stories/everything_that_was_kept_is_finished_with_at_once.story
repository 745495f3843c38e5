# more than 100 outputs for one input
option protocol_version 4
option max_inflight 1024
option manual_ack true
option stable_after 5000
option reconnect_max_delay 1000
option keepalive 60
option detect_within 0
option lost_session_publishes resend
option lost_session_subscriptions restore
option quarantine_after 0
option store simulated
option acknowledge stored
engine 11154454010497755966
started
Exchange
Burst(2)
Die
