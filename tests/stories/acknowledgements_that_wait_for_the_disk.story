# More than 64 acknowledgements waited for a slow disk, and their queue was thrown away with them. Clients that were
# killed by `make crash` found it.
option protocol_version 5
option store simulated
option acknowledge stored
engine 1
started
Exchange
Disk(Slow)
Burst(1)
Burst(2)
Exchange
