# "d3" was acknowledged and never reached the application
option protocol_version 5
option max_inflight 7
option manual_ack true
option stable_after 5000
option reconnect_max_delay 1000
option keepalive 0
option lost_session_publishes resend
option lost_session_subscriptions restore
option store simulated
option acknowledge stored
engine 11033681428626394625
Restart
Exchange
Disk(Refusing)
Deliver(1)
Exchange
Die
