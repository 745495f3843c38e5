# "m5" arrived out of order
option protocol_version 4
option max_inflight 2
option manual_ack false
option stable_after 5000
option reconnect_max_delay 30000
option keepalive 60
option lost_session_publishes fail
option lost_session_subscriptions restore
option store
option acknowledge stored
engine 8076467803738839415
Restart
Exchange
Publish(2)
Publish(2)
Wait(156)
Publish(0)
Publish(0)
