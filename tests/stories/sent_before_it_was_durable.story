# sent again without DUP: PUBLISH qos=2 dup=0 retain=0 topic="t" id=1 payload="m0"
option protocol_version 4
option max_inflight 7
option manual_ack false
option stable_after 5000
option reconnect_max_delay 30000
option keepalive 0
option lost_session_publishes fail
option lost_session_subscriptions forget
option store simulated
option acknowledge finished
engine 12853835814819039225
started
Publish(2)
DieAfter(1)
