"""Traffic that tells what a handover does to it: numbered pings, and a TCP connection with numbered records both ways.

    python -m topo.traffic serve --bind ADDRESS --connections 2          on the mobile node
    python -m topo.traffic talk --bind ADDRESS --to ADDRESS              on a correspondent

Both print a line of JSON when they are ready, and one with all they have seen at each SIGUSR1 and at the end. `talk`
goes on until SIGTERM; then it closes its half of the connection, `serve` does the same when it sees that, and either
has received all that the other has sent, or not. Times are seconds of the monotonic clock, which all network
namespaces share.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

PORT: Final = 5001
RECORD: Final = 1000  # octets
RECORDS_PER_SECOND: Final = 50
PINGS_PER_SECOND: Final = 50
MAX_UNSENT: Final = 100 * RECORD  # octets kept for a connection that takes none
LAST_WAIT: Final = 20.0  # seconds from the end of sending to the end of receiving
NEVER: Final = float("inf")

_SEQUENCE = struct.Struct("!Q")
_ECHO = struct.Struct("!BBHHH")
_ECHO_REQUEST: Final = 128
_ECHO_REPLY: Final = 129
_ICMP6_FILTER: Final = 1


def record(flow: str, sequence: int) -> bytes:
    """A record that no other is like: its number, and octets that follow from that and the flow."""
    content = hashlib.shake_128(f"{flow} {sequence}".encode()).digest(RECORD - _SEQUENCE.size)
    return _SEQUENCE.pack(sequence) + content


@dataclass
class Seen:
    """What one end of a connection has sent and received."""

    peer: str
    sent: int = 0  # records
    received: int = 0  # records, each in its turn and intact
    damaged: int = 0  # records that were not
    ended: bool = False  # the peer has closed its half in order
    error: str | None = None
    arrivals: list[float] = field(default_factory=list)  # when each record was complete


class Connection:
    """One end: sends records at a steady pace and checks those that come."""

    def __init__(self, connected: socket.socket, now: float) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own, peer = connected.getsockname()[0], connected.getpeername()[0]
        self.socket = connected
        self.seen = Seen(peer)
        self._outgoing, self._incoming = f"{own} {peer}", f"{peer} {own}"
        self._unsent = bytearray()
        self._partial = bytearray()
        self._next = now  # time of the next record
        self._half_closed = False

    @property
    def heard_out(self) -> bool:
        """Whether nothing can come any more."""
        return self.seen.ended or self.seen.error is not None

    @property
    def done(self) -> bool:
        """Whether both halves are closed, or the connection has broken."""
        return self.seen.error is not None or (self.seen.ended and self._half_closed)

    def finish(self) -> None:
        """Make no further records; this half is closed when all are on their way."""
        self._next = NEVER

    def send(self, now: float) -> None:
        """Make the records that are due, and hand over what the kernel takes."""
        while now >= self._next:
            self._next += 1 / RECORDS_PER_SECOND
            if len(self._unsent) < MAX_UNSENT:
                self._unsent += record(self._outgoing, self.seen.sent)
                self.seen.sent += 1
        if self.done or self._half_closed:
            return
        try:
            if self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
            elif self._next == NEVER:
                self.socket.shutdown(socket.SHUT_WR)
                self._half_closed = True
        except BlockingIOError:
            pass
        except OSError as error:
            self.seen.error = error.strerror

    def read(self, now: float) -> None:
        """Take what has come and check it."""
        try:
            data = self.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError as error:
            self.seen.error = error.strerror
            return
        self.seen.ended = not data
        self._partial += data
        while len(self._partial) >= RECORD:
            if self._partial[:RECORD] == record(self._incoming, self.seen.received + self.seen.damaged):
                self.seen.received += 1
            else:
                self.seen.damaged += 1
            self.seen.arrivals.append(round(now, 4))
            del self._partial[:RECORD]


class Pinger:
    """Echo requests at a steady pace."""

    def __init__(self, own: str, target: str, now: float) -> None:
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
        blocked = [0xFFFFFFFF] * 8  # struct icmp6_filter: a bit for each type
        blocked[_ECHO_REPLY // 32] &= ~(1 << _ECHO_REPLY % 32)
        self.socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
        self.socket.bind((own, 0))
        self.socket.connect((target, 0))
        self.sent: list[float] = []  # when each was sent
        self.replies: list[float | None] = []  # when its reply came
        self._next = now

    def finish(self) -> None:
        """Send no more."""
        self._next = NEVER

    def send(self, now: float) -> None:
        """Send what is due."""
        while now >= self._next:
            self._next += 1 / PINGS_PER_SECOND
            number = len(self.sent)
            self.sent.append(round(now, 4))
            self.replies.append(None)
            try:  # the kernel fills in the checksum
                self.socket.send(_ECHO.pack(_ECHO_REQUEST, 0, 0, 0, number & 0xFFFF) + _SEQUENCE.pack(number))
            except OSError:
                continue  # no way to the target at the moment: a lost packet

    def read(self, now: float) -> None:
        """Take a reply."""
        try:
            data = self.socket.recv(65_536)
        except OSError:
            return
        if len(data) == _ECHO.size + _SEQUENCE.size:
            (number,) = _SEQUENCE.unpack_from(data, _ECHO.size)
            if number < len(self.replies) and self.replies[number] is None:
                self.replies[number] = round(now, 4)


class Signals:
    """SIGTERM is remembered, SIGUSR1 answered with a report."""

    def __init__(self, report: Callable[[], dict[str, Any]]) -> None:
        self.told_to_end = False
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGUSR1, lambda *_: _say(report()))

    def _end(self, *_: object) -> None:
        self.told_to_end = True


def talk(own: str, target: str, port: int) -> None:
    """A correspondent's part, until SIGTERM."""
    connected = socket.create_connection((target, port), timeout=10.0, source_address=(own, 0))
    now = time.monotonic()
    connection, pinger = Connection(connected, now), Pinger(own, target, now)

    def report() -> dict[str, Any]:
        return {"connection": asdict(connection.seen), "pings": {"sent": pinger.sent, "replies": pinger.replies}}

    signals = Signals(report)
    _say({"ready": own})
    deadline = NEVER
    with selectors.DefaultSelector() as selector:
        selector.register(connection.socket, selectors.EVENT_READ, connection.read)
        selector.register(pinger.socket, selectors.EVENT_READ, pinger.read)
        while not connection.heard_out and now < deadline:
            connection.send(now)
            pinger.send(now)
            now = _wait(selector)
            if signals.told_to_end and deadline == NEVER:
                connection.finish()
                pinger.finish()
                deadline = now + LAST_WAIT
    _say(report())


def serve(own: str, port: int, connections: int) -> None:
    """The mobile node's part: until all connections have ended, or SIGTERM."""
    found: list[Connection] = []

    def report() -> dict[str, Any]:
        return {"connections": [asdict(connection.seen) for connection in found]}

    signals = Signals(report)
    with socket.create_server((own, port), family=socket.AF_INET6) as server, selectors.DefaultSelector() as selector:
        server.setblocking(False)

        def accept(now: float) -> None:
            connection = Connection(server.accept()[0], now)
            found.append(connection)
            selector.register(connection.socket, selectors.EVENT_READ, connection.read)

        selector.register(server, selectors.EVENT_READ, accept)
        _say({"ready": own})
        now = time.monotonic()
        while not signals.told_to_end and not (len(found) == connections and all(one.done for one in found)):
            for connection in found:
                connection.send(now)
                if connection.heard_out and connection.socket in selector.get_map():
                    connection.finish()
                    selector.unregister(connection.socket)
            now = _wait(selector)
    _say(report())


def _wait(selector: selectors.BaseSelector) -> float:
    """Read what comes until it is time to send again; the time then."""
    for key, _ in selector.select(0.5 / RECORDS_PER_SECOND):
        key.data(time.monotonic())
    return time.monotonic()


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser("python -m topo.traffic", description="Traffic that a handover is measured with.")
    roles = parser.add_subparsers(required=True, dest="role")
    server = roles.add_parser("serve")
    server.add_argument("--connections", type=int, required=True, metavar="N")
    talker = roles.add_parser("talk")
    talker.add_argument("--to", required=True, metavar="ADDRESS")
    for role in (server, talker):
        role.add_argument("--bind", required=True, metavar="ADDRESS", help="its own")
        role.add_argument("--port", type=int, default=PORT)
    options = parser.parse_args(arguments)
    try:
        if options.role == "serve":
            serve(options.bind, options.port, options.connections)
        else:
            talk(options.bind, options.to, options.port)
    except OSError as error:
        print(f"traffic: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
