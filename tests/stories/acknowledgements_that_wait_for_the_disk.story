# More than 64 acknowledgements waited for a disk that refused, and their queue was thrown away with them. Clients that were
# killed by `make crash` found it.
option protocol_version 5
option store simulated
option acknowledge stored
engine 1
started
Exchange
Disk(Refusing)
Burst(1)
Burst(2)
Exchange
Disk(Quick)
Exchange
