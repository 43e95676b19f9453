"""What runs on the host under test: an ordinary UDP echo server, and an ordinary TCP server that talks all the time.

Standard library only, plain sockets: this program knows nothing of mobility.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from typing import Final

PORT: Final = 7000  # of both
INTERVAL: Final = 0.05  # seconds between two lines of the TCP server
REPEAT: Final = b"repeat"  # a datagram with this is answered many times
REPETITIONS: Final = 400  # at the same interval


def serve_udp() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind((sys.argv[1], PORT))  # replies come from where the request went to
        while True:
            data, peer = server.recvfrom(65536)
            if data == REPEAT:
                threading.Thread(target=repeat, args=(server, peer), daemon=True).start()
            else:
                server.sendto(data, peer)


def repeat(server: socket.socket, peer: tuple[str, int, int, int]) -> None:
    for number in range(REPETITIONS):
        with contextlib.suppress(OSError):  # a route that is gone for a moment
            server.sendto(b"%d" % number, peer)
        time.sleep(INTERVAL)


def serve_tcp() -> None:
    with socket.create_server(("::", PORT), family=socket.AF_INET6) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()


def talk(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        for number in range(1_000_000):
            connection.sendall(b"%06d\n" % number)
            time.sleep(INTERVAL)


if __name__ == "__main__":
    threading.Thread(target=serve_udp, daemon=True).start()
    serve_tcp()
