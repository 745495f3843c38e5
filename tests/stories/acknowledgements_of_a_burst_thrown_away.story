# it does not settle: operation None, connected true, unacknowledged by the client [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71]
option protocol_version 4
option max_inflight 7
option manual_ack false
option stable_after 5000
option reconnect_max_delay 1000
option keepalive 0
option lost_session_publishes fail
option lost_session_subscriptions restore
option store simulated
option acknowledge finished
engine 2502062767571063144
started
Exchange
Disk(Slow)
Burst(2)
Wait(231)
