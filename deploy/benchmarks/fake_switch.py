"""A switch that exists only as an OpenFlow 1.3 connection: it punts Binding Updates and checks what comes back.

It shares no code with the controller, and believes nothing: a Binding Update counts as answered when a Binding
Acknowledgement with status 0 for its sequence number arrives, after flow messages that name the home address and the
new care-of address, and after the reply to a barrier behind them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
PACKET_IN, PACKET_OUT, FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY = 10, 13, 14, 18, 19
BARRIER_REQUEST, BARRIER_REPLY = 20, 21
PORT_DESCRIPTION = 13
LOCAL_PORT = 0xFFFFFFFE
HEADER = struct.Struct("!BBHI")
ANSWER_TIMEOUT = 20  # seconds
PUNT_TABLE = 60
PUNT_BY_NETWORK_TABLE = 61
BY_NETWORK_ITEMS = (1, 7, 13)  # cookies' items of what is punted there: signalling, ESP, signalling to correspondents
SIGNALLING_COOKIE_ITEM = 1
NEIGHBOR_DISCOVERY_ITEM = 2

HOME_AGENT = bytes.fromhex("20010db8000100000000000000000002")
HOME_AGENT_MAC = bytes.fromhex("020000000002")
ROUTER = bytes.fromhex("20010db8000100000000000000000001")
ROUTER_MAC = bytes.fromhex("0200000000fe")


class Stream(Protocol):
    """What is used of a socket."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, size: int, /) -> bytes:
        """Raises TimeoutError if nothing comes for ANSWER_TIMEOUT."""


@dataclass
class Node:
    """One mobile node: what the last acknowledged Binding Update was, and how the next one looks."""

    index: int
    sequence: int = 0
    place: int = 0
    flow_mods: int = 0  # since the last Binding Update
    home_address: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.home_address = bytes.fromhex("20010db800010000") + struct.pack("!II", 0x10000, self.index)

    @property
    def care_of_address(self) -> bytes:
        return struct.pack("!IHH", 0x20010DB8, 0xF000 | self.place & 1, 0) + struct.pack("!II", 1, self.index)


class FakeSwitch:
    """Speaks just enough OpenFlow for the controller to serve a home link on it."""

    def __init__(self, stream: Stream, ports: dict[int, str], datapath_id: int = 0x2700) -> None:
        """`ports` are names by number, the bridge's own with LOCAL_PORT."""
        self.stream = stream
        self.ports = ports
        self.datapath_id = datapath_id
        self.buffer = b""
        self.out: list[bytes] = [HEADER.pack(4, HELLO, 8, 1)]
        self.punt_cookie: int | None = None
        self.barriers_owed: list[int] = []
        self.flow_mods = 0
        self.packet_outs: list[bytes] = []
        self.answered()

    def answered(self) -> None:
        """What is waited for has come, or the waiting begins."""
        self._waiting_since = time.monotonic()

    def send(self, message: bytes) -> None:
        self.out.append(message)

    def flush(self) -> None:
        if self.out:
            self.stream.sendall(b"".join(self.out))
            self.out.clear()

    def receive(self) -> list[tuple[int, bytes]]:
        """Flow messages and packet-outs that have arrived, as (type, message); the rest is answered here.

        Ends the benchmark if `answered` has not been called for ANSWER_TIMEOUT, whatever else arrives.
        """
        try:
            self.flush()
            chunk = self.stream.recv(1 << 18)
            late = time.monotonic() - self._waiting_since > ANSWER_TIMEOUT
        except TimeoutError:
            late = True
        if late:
            raise SystemExit(f"bench: the controller has not answered for {ANSWER_TIMEOUT} seconds")
        if not chunk:
            raise ConnectionError("the controller has closed the connection")
        data = self.buffer + chunk
        offset, end = 0, len(data)
        seen: list[tuple[int, bytes]] = []
        while end - offset >= 8:
            _version, kind, length, xid = HEADER.unpack_from(data, offset)
            if end - offset < length:
                break
            message = data[offset : offset + length]
            offset += length
            if kind in (FLOW_MOD, PACKET_OUT):
                seen.append((kind, message))
                if self.punt_cookie is None:
                    self._look_for_punt(kind, message)
                elif kind == PACKET_OUT:
                    self._answer_for_router(message)
            elif kind == BARRIER_REQUEST:
                self.send(HEADER.pack(4, BARRIER_REPLY, 8, xid))
            else:
                self._answer(kind, xid, message)
        self.buffer = data[offset:]
        return seen

    def _look_for_punt(self, kind: int, message: bytes) -> None:
        """The cookie of the flow that punts signalling: a punt is recognised by it."""
        if kind != FLOW_MOD:
            return
        (cookie,) = struct.unpack_from("!Q", message, 8)
        if message[24] == PUNT_BY_NETWORK_TABLE and cookie & 0xFFFFFFFF == SIGNALLING_COOKIE_ITEM:
            self.punt_cookie = cookie

    def _answer(self, kind: int, xid: int, message: bytes) -> None:
        if kind == ECHO_REQUEST:
            self.send(HEADER.pack(4, ECHO_REPLY, len(message), xid) + message[8:])
        elif kind == FEATURES_REQUEST:
            body = struct.pack("!QIBBxxII", self.datapath_id, 0, 254, 0, 0x4F, 0)
            self.send(HEADER.pack(4, FEATURES_REPLY, 8 + len(body), xid) + body)
        elif kind == MULTIPART_REQUEST:
            (what,) = struct.unpack_from("!H", message, 8)
            body = b"".join(map(self._port, self.ports.items())) if what == PORT_DESCRIPTION else b""
            self.send(HEADER.pack(4, MULTIPART_REPLY, 16 + len(body), xid) + struct.pack("!HHxxxx", what, 0) + body)

    @staticmethod
    def _port(port: tuple[int, str]) -> bytes:
        number, name = port
        return struct.pack("!I4x6s2x16s8I", number, port_mac(number), name.encode(), 0, 0, 0, 0, 0, 0, 0, 0)

    def _answer_for_router(self, message: bytes) -> None:
        """Its neighbours ask for it now and then."""
        (actions,) = struct.unpack_from("!H", message, 16)
        packet = message[24 + actions + 14 :]
        if packet[6] == 58 and packet[40] == 135 and packet[48:64] == ROUTER:
            self.punt(neighbor_advertisement(ROUTER, ROUTER_MAC), item=NEIGHBOR_DISCOVERY_ITEM)

    def punt(self, frame: bytes, in_port: int = 2, item: int | None = None) -> None:
        """Hand a frame to the controller as a punt flow would: that of `punt_cookie`, or another `item` of its kind."""
        match = struct.pack("!HHIIxxxx", 1, 12, 0x80000004, in_port)
        cookie = self.punt_cookie
        assert cookie is not None
        if item is not None:
            cookie = cookie >> 32 << 32 | item
        table = PUNT_BY_NETWORK_TABLE if cookie & 0xFFFFFFFF in BY_NETWORK_ITEMS else PUNT_TABLE
        body = struct.pack("!IHBBQ", 0xFFFFFFFF, len(frame), 1, table, cookie) + match + b"\0\0" + frame
        self.send(HEADER.pack(4, PACKET_IN, 8 + len(body), 0) + body)


def port_mac(number: int) -> bytes:
    """The Ethernet address of a port."""
    return HOME_AGENT_MAC if number == LOCAL_PORT else b"\x02\0\0\0\x0f" + bytes((number & 0xFF,))


def binding_update(node: Node, lifetime_units: int, sign: Callable[[Node, bytes], bytes] | None = None) -> bytes:
    """The Ethernet frame of a home registration: Home Address option, Alternate Care-of Address, right checksum.

    `sign` adds options of its own to the Mobility Header, whose checksum is zero, and returns it.
    """
    care_of, home = node.care_of_address, node.home_address
    header = struct.pack("!BBBBHHHH", 59, 3, 5, 0, 0, node.sequence, 0xC000, lifetime_units)
    message = header + b"\x01\0" + b"\x03\x10" + care_of  # PadN brings the option to 8n + 6
    if sign is not None:
        message = sign(node, message)
    assert len(message) % 8 == 0
    total = int.from_bytes(home + HOME_AGENT + struct.pack("!II", len(message), 135) + message, "big") % 0xFFFF
    checksum = 0xFFFF - total or 0xFFFF
    message = message[:4] + struct.pack("!H", checksum) + message[6:]
    option = b"\x87\x02\x01\x02\0\0\xc9\x10" + home
    payload = option + message
    ipv6 = struct.pack("!IHBB", 0x60000000, len(payload), 60, 64) + care_of + HOME_AGENT
    return HOME_AGENT_MAC + ROUTER_MAC + b"\x86\xdd" + ipv6 + payload


def neighbor_advertisement(target: bytes, mac: bytes) -> bytes:
    """The Ethernet frame of a solicited advertisement to the home agent."""
    message = struct.pack("!BBHI", 136, 0, 0, 0xE0000000) + target + b"\x02\x01" + mac
    total = int.from_bytes(target + HOME_AGENT + struct.pack("!II", len(message), 58) + message, "big") % 0xFFFF
    message = message[:2] + struct.pack("!H", 0xFFFF - total or 0xFFFF) + message[4:]
    ipv6 = struct.pack("!IHBB", 0x60000000, len(message), 58, 255) + target + HOME_AGENT
    return HOME_AGENT_MAC + mac + b"\x86\xdd" + ipv6 + message
