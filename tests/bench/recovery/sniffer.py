"""Tells each SYN that arrives at a device, before anything can drop it: sniffer.py DEVICE. A line is
`syn ADDRESS PORT T`, of the destination."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import time

ETH_P_IP, SO_ATTACH_FILTER, PACKET_OUTGOING = 0x0800, 26, 4
# tcp[13] & 0x12 == 2 of an IPv4 packet without options, as instructions of the classic packet filter; so the
# kernel wakes this process for handshakes only.
FILTER = [
    (0x30, 0, 0, 23),  # protocol
    (0x15, 0, 4, 6),  # TCP
    (0x30, 0, 0, 47),  # flags
    (0x54, 0, 0, 0x12),  # SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
]


def main() -> None:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    code = b"".join(struct.pack("HBBI", *step) for step in FILTER)
    buffer = ctypes.create_string_buffer(code)
    tap.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(FILTER), ctypes.addressof(buffer))
    )
    tap.bind((sys.argv[1], ETH_P_IP))
    print("ready", flush=True)
    while True:
        packet, where = tap.recvfrom(128)
        if where[2] != PACKET_OUTGOING:
            address, port = socket.inet_ntoa(packet[30:34]), int.from_bytes(packet[36:38], "big")
            os.write(1, f"syn {address} {port} {time.monotonic_ns()}\n".encode())


if __name__ == "__main__":
    main()
