"""A long line: frames that come in by one device leave by the other a fixed time later.

    python delay_line.py DEVICE DEVICE MILLISECONDS

Kernels do this with netem, where they have it. This file imports nothing of ours: a topology runs it by its path.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time
from collections import deque
from typing import Final

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_ADD_MEMBERSHIP: Final = 1
_PACKET_MR_PROMISC: Final = 1
_FRAME: Final = 65_536


def open_end(device: str) -> socket.socket:
    """An end of the line, which takes frames for anybody. OSError if there is no such device."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    membership = struct.pack("=iHH8x", socket.if_nametoindex(device), _PACKET_MR_PROMISC, 0)
    end.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
    end.bind((device, _ETH_P_ALL))
    return end


def carry(one: socket.socket, other: socket.socket, delay: float) -> None:
    """Carry frames until an end is gone (OSError); `delay` in seconds."""
    opposite = {one: other, other: one}
    line: deque[tuple[float, socket.socket, bytes]] = deque()  # when due, where, what
    while True:
        timeout = max(0.0, line[0][0] - time.monotonic()) if line else None
        readable = select.select([one, other], [], [], timeout)[0]
        now = time.monotonic()
        for end in readable:
            with contextlib.suppress(BlockingIOError):
                while True:
                    frame, address = end.recvfrom(_FRAME)
                    if address[2] != socket.PACKET_OUTGOING:
                        line.append((now + delay, opposite[end], frame))
        while line and line[0][0] <= now:
            _, end, frame = line.popleft()
            with contextlib.suppress(BlockingIOError):  # a queue is full: a lost frame
                end.send(frame)


def main() -> None:
    """The command line."""
    one, other, milliseconds = sys.argv[1:]
    carry(open_end(one), open_end(other), float(milliseconds) / 1000)


if __name__ == "__main__":
    main()
