# published again after PUBREC: PUBLISH qos=2 dup=1 retain=0 topic="t" id=3 payload="m4"
option protocol_version 4
option max_inflight 2
option manual_ack false
option stable_after 5000
option reconnect_max_delay 1000
option keepalive 60
option detect_within 0
option lost_session_publishes resend
option lost_session_subscriptions forget
option quarantine_after 0
option store simulated
option acknowledge stored
engine 4914510193903989717
started
Publish(2)
CutFromServer(15)
Publish(1)
Exchange
Publish(2)
Publish(2)
CutFromServer(9)
Exchange
Wait(42601)
Disk(Refusing)
Exchange
KeepSession(false)
DieAfter(8)
Die
Publish(1)
Publish(1)
Publish(1)
Exchange
Subscribe(3)
KeepSession(true)
