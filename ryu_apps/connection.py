"""The connection to a switch, with a short way for the messages that signalling is made of.

Ryu parses every message into objects and hands it to handlers by way of queues; that costs more than the protocol
itself. This class reads large chunks and gives packet-ins, barrier and multipart replies, and errors to the switch's
own receiver as octets. Everything else, and what the receiver does not want, goes to Ryu's normal dispatch, so that
other applications keep working. What the receiver wants sent leaves in one write a chunk: at once if Ryu's send queue
is idle, else through it.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from ryu_apps.of_compat import (
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    GreenSocket,
    controller,
    hub,
    ofp_event,
    ofproto,
    ofproto_parser,
)

if TYPE_CHECKING:
    from ryu_apps.certificates import Certificates

LOG = logging.getLogger(__name__)

CHUNK: Final = 65_536  # octets
HANDSHAKE_TIMEOUT: Final = 10.0  # seconds for TLS, and as many for that of OpenFlow
MAX_CONNECTIONS: Final = 256
MAX_BATCH: Final = 16  # messages between two writes
MAX_TURN: Final = 0.005  # seconds
OF_HEADER: Final = struct.Struct("!BBHI")
HEADER_LENGTH: Final = OF_HEADER.size
FAST_TYPES: Final = frozenset(
    (ofproto.OFPT_PACKET_IN, ofproto.OFPT_BARRIER_REPLY, ofproto.OFPT_ERROR, ofproto.OFPT_MULTIPART_REPLY)
)


class Receiver(Protocol):
    """What takes the messages of one switch."""

    def receive(self, message_type: int, xid: int, message: bytes) -> bool:
        """Handle one message; False gives it to Ryu. Must not raise."""

    def chunk_received(self) -> None:
        """All messages of a chunk are through: send what they have caused."""


class Tap(Protocol):
    """What looks at everything that comes and goes. Must not raise."""

    def received(self, datapath: Any, message: bytes) -> None:
        """One message from a switch."""

    def sent(self, datapath: Any, octets: bytes) -> None:
        """Whole messages to a switch."""


class FastDatapath(controller.Datapath):
    """Ryu's Datapath with a receive loop of its own."""

    receiver: Receiver | None = None
    tap: ClassVar[Tap | None] = None  # of all switches; None: nobody looks

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        """Write now if nothing waits to be written and the socket takes it; what it does not take is queued."""
        if self.tap is not None:
            self.tap.sent(self, buf)
        queue = self.send_q
        if not close_socket and type(self.socket) is GreenSocket and queue is not None:
            idle = queue.empty() and queue.getting()  # the send loop waits for work, so it is not amid a message
            if idle:
                try:
                    sent = self.socket.fd.send(buf)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return False  # the receive loop finds out and closes
                if sent == len(buf):
                    return True
                buf = buf[sent:]
        return bool(super().send(buf, close_socket))

    def _recv_loop(self) -> None:
        try:
            self._receive_chunks()
        finally:
            self.socket.close()

    def _receive_chunks(self) -> None:
        rest = b""
        turn_ends = time.monotonic() + MAX_TURN
        while self.state != DEAD_DISPATCHER:
            try:
                chunk = self.socket.recv(CHUNK)
            except TimeoutError:
                continue
            except OSError as error:
                if "timed out" in str(error):  # TLS sockets report it this way
                    continue
                return
            if not chunk:
                return
            rest = self._handle(rest + chunk if rest else chunk)
            if self.receiver is not None:
                self.receiver.chunk_received()
            if time.monotonic() > turn_ends:  # a switch that always has something to say must not starve the rest
                hub.sleep(0)
                turn_ends = time.monotonic() + MAX_TURN

    def _handle(self, octets: bytes) -> bytes:
        """Handle the whole messages in `octets` and return what is left."""
        offset, end, handled = 0, len(octets), 0
        tap, unpack, fast_types = self.tap, OF_HEADER.unpack_from, FAST_TYPES
        while offset + HEADER_LENGTH <= end:
            version, message_type, length, xid = unpack(octets, offset)
            if length < HEADER_LENGTH:
                LOG.error("switch sent a message of length %d, closing peer=%s", length, self.address)
                self.close()
                return b""
            following = offset + length
            if following > end:
                break
            message = octets[offset:following]
            offset = following
            if tap is not None:
                tap.received(self, message)
            receiver = self.receiver
            if receiver is None or message_type not in fast_types or not receiver.receive(message_type, xid, message):
                self._dispatch(version, message_type, length, xid, message)
            handled += 1
            if handled == MAX_BATCH:
                handled = 0
                if receiver is not None:
                    receiver.chunk_received()  # the switch gets to work while the rest of a burst is handled
        return octets[offset:] if offset else octets

    def _dispatch(self, version: int, message_type: int, length: int, xid: int, message: bytes) -> None:
        """Ryu's own way for a message: parsed, to its event's observers, and to the handlers of this state."""
        parsed = ofproto_parser.msg(self, version, message_type, length, xid, bytearray(message))
        if not parsed:
            return
        event = ofp_event.ofp_msg_to_ev(parsed)
        self.ofp_brick.send_event_to_observers(event, self.state)
        for handler in self._handlers(event):
            handler(event)

    def _handlers(self, event: Any) -> list[Callable[[Any], None]]:
        return [
            handler
            for handler in self.ofp_brick.get_handlers(event)
            if self.state in handler.callers[event.__class__].dispatchers
        ]


class Connections:
    """Those of all switches; Ryu's server calls this for each. With certificates, they are behind TLS.

    Ryu's own TLS serves one connection and forgets its settings then.
    """

    def __init__(self, certificates: Certificates | None) -> None:
        self._certificates = certificates
        self._open: set[Any] = set()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._open)

    def __call__(self, socket: Any, address: Any) -> None:
        LOG.debug("switch connected peer=%s", address)
        if len(self._open) >= MAX_CONNECTIONS:
            self.refused += 1
            LOG.warning("too many connections of switches, refused peer=%s", address)
            socket.close()
            return
        self._open.add(socket)
        try:
            self._serve(socket, address)
        finally:
            self._open.discard(socket)

    def _serve(self, socket: Any, address: Any) -> None:
        if self._certificates is not None:
            socket = _with_tls(self._certificates.context, socket, address)
            if socket is None:
                return
        with contextlib.closing(FastDatapath(socket, address)) as datapath:
            deadline = hub.spawn_after(HANDSHAKE_TIMEOUT, _end_unless_connected, datapath)
            try:
                datapath.serve()
            except Exception:
                LOG.exception("connection failed peer=%s dpid=%s", address, datapath.id)
            finally:
                deadline.cancel()


def install(certificates: Certificates | None = None) -> Connections:
    """Make Ryu's server use `FastDatapath` for every switch that connects."""
    connections = controller.datapath_connection_factory = Connections(certificates)
    return connections


def _end_unless_connected(datapath: FastDatapath) -> None:
    """Who only connects, and says nothing, does not take the place of a switch."""
    if datapath.state != MAIN_DISPATCHER:
        LOG.info("no switch, closing peer=%s", datapath.address)
        datapath.close()


def _with_tls(context: ssl.SSLContext, plain: Any, address: Any) -> Any:
    """The socket behind TLS; None, and it is closed, if the other side has no right certificate or none in time."""
    plain.settimeout(HANDSHAKE_TIMEOUT)
    try:
        return context.wrap_socket(plain, server_side=True)
    except OSError as error:  # an SSLError is one
        LOG.info("switch without a right certificate peer=%s error=%s", address, error)
        plain.close()
        return None
