# sent again without DUP: PUBLISH qos=2 dup=0 retain=0 topic="t" id=1 payload="m1"
option protocol_version 4
option max_inflight 1
option manual_ack true
option stable_after 5000
option reconnect_max_delay 1000
option keepalive 0
option lost_session_publishes resend
option lost_session_subscriptions restore
option store
option acknowledge stored
engine 11168034603498703870
CutFromClient(43)
Publish(2)
