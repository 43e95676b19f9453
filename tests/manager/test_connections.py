"""Who only connects to the OpenFlow port holds up no switch."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from ryu_apps.connection import HANDSHAKE_TIMEOUT, MAX_CONNECTIONS

HELLO = 8  # octets
SPARE = 15  # seconds: the longest that a reader sleeps is 5


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_TIMEOUT + SPARE)


def test_connections_without_a_switch_are_bounded_and_end(manager: Callable[..., Any]) -> None:
    running = manager()
    silent = [connect(running.openflow_port) for _ in range(MAX_CONNECTIONS)]
    try:
        assert all(len(connection.recv(HELLO, socket.MSG_WAITALL)) == HELLO for connection in silent)
        with connect(running.openflow_port) as refused:
            assert refused.recv(1) == b""
        for connection in silent:
            while connection.recv(1 << 16):  # echo requests, and then the end
                pass
        with connect(running.openflow_port) as accepted:
            assert len(accepted.recv(HELLO, socket.MSG_WAITALL)) == HELLO
    finally:
        for connection in silent:
            connection.close()
    assert "Traceback" not in running.log.read_text()
