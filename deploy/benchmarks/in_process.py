"""The controller inside the benchmark's process: what its own code costs, without a socket and a scheduler."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from deploy.benchmarks.fake_switch import ANSWER_TIMEOUT, port_mac
from deploy.config import load
from ryu_apps.app import HomeAgentApp
from ryu_apps.connection import FastDatapath
from ryu_apps.launcher import GC_THRESHOLD
from ryu_apps.of_compat import MAIN_DISPATCHER, hub, ofp_event, parser

DATAPATH_ID = 0x2700
POLL = 0.01  # seconds


class Connection(FastDatapath):
    """A connection without a socket, past the handshake."""

    def __init__(self, ports: dict[int, str]) -> None:
        self.id = DATAPATH_ID
        self.ports = {
            number: parser.OFPPort(number, port_mac(number).hex(":"), name.encode(), 0, 0, 0, 0, 0, 0, 0, 0)
            for number, name in ports.items()
        }
        self.sent: list[bytes] = []

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        """Keep what would be written."""
        self.sent.append(buf)
        return True

    def arrived(self, octets: bytes) -> None:
        """What the receive loop does with a chunk of whole messages."""
        self._handle(octets)
        if self.receiver is not None:
            self.receiver.chunk_received()

    def _dispatch(self, *_message: Any) -> None:
        """Ryu's part, the handshake, is over."""


class InProcess:
    """The controller's application with one switch; itself the stream that the switch speaks over."""

    def __init__(self, config: Path, ports: dict[int, str]) -> None:
        self.stream = self
        self._nanoseconds = 0
        self._app = HomeAgentApp(config=load(config))
        self._connection = Connection(ports)
        self._app.start()
        connected = ofp_event.EventOFPStateChange(self._connection)
        connected.state = MAIN_DISPATCHER
        self._app.on_state_change(connected)
        gc.freeze()  # as the launcher does
        gc.set_threshold(GC_THRESHOLD)

    def sendall(self, data: bytes) -> None:
        """Let the controller handle what the switch sends."""
        begin = time.process_time_ns()
        self._connection.arrived(data)
        self._nanoseconds += time.process_time_ns() - begin

    def recv(self, _size: int) -> bytes:
        """All that the controller has sent; its threads and timers run until it is something."""
        sent = self._connection.sent
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while not sent:
            if time.monotonic() > deadline:
                raise TimeoutError
            hub.sleep(POLL)
        octets = b"".join(sent)
        sent.clear()
        return octets

    def cpu(self) -> float:
        """Seconds of CPU that the handling took."""
        return self._nanoseconds / 1e9

    def close(self) -> None:
        """Nothing is open."""
