"""The other end of the application under test: a switch that keeps its flows, and looks at everything it is told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mip6core.codec import checksum, ipv6
from mip6core.constants import ICMPV6, MOBILITY_HEADER
from mip6core.errors import ParseError
from ryu_apps import cookies
from ryu_apps.connection import FastDatapath
from ryu_apps.cookies import Category
from ryu_apps.of_compat import ofproto, parser

HEADER: Final = struct.Struct("!BBHI")
FLOW_MOD: Final = struct.Struct("!QQBBHHHIIIHxx")  # behind the header, up to the match
FLOW_STATISTICS: Final = struct.Struct("!HBxIIHHHH4xQQQ")
BINDING_FLOWS: Final = (
    Category.TUNNEL,
    Category.REVERSE_TUNNEL,
    Category.PROXY_ND,
    Category.WATCH,
    Category.HOME_TEST,
    Category.NARROW_PATH,
)
MINIMUM_MTU: Final = 1280
NEIGHBOR_SOLICITATION: Final = 135


@dataclass(frozen=True)
class Flow:
    cookie: int
    ends_at: float  # on the clock of the test; inf: never
    hard_timeout: int
    tail: bytes  # match and instructions


class Switch(FastDatapath):
    """A connection past its handshake. What is sent to it is carried out at once, but for barriers."""

    def __init__(self, datapath_id: int, names: dict[int, str], mac: str, clock: Callable[[], float]) -> None:
        self.id = datapath_id
        self.ports = {
            number: parser.OFPPort(number, mac, name.encode(), 0, 0, 0, 0, 0, 0, 0, 0) for number, name in names.items()
        }
        self.clock = clock
        self.own: bytes = b""  # the address of the home agent
        self.router: bytes = b""  # who answers
        self.router_asked = False
        self.flows: dict[tuple[int, int, bytes], Flow] = {}
        self.barriers: list[int] = []
        self.dump_requests: list[int] = []
        self.last_flow_xid = 0
        self.kinds: set[str] = set()  # what was sent since the last look
        self.given = b""  # what the test has punted: part of it may be forwarded as it is

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        assert not close_socket
        offset = 0
        while offset < len(buf):
            version, kind, length, xid = HEADER.unpack_from(buf, offset)
            assert version == 4 and length >= 8 and offset + length <= len(buf), buf.hex()
            self._carry_out(kind, xid, buf[offset : offset + length])
            offset += length
        return True

    def _carry_out(self, kind: int, xid: int, message: bytes) -> None:
        if kind == ofproto.OFPT_FLOW_MOD:
            self.last_flow_xid = xid
            self._flow_mod(message)
        elif kind == ofproto.OFPT_PACKET_OUT:
            (actions,) = struct.unpack_from("!H", message, 16)
            self._packet_out(message[24 + actions :])
        elif kind == ofproto.OFPT_BARRIER_REQUEST:
            self.barriers.append(xid)
        elif kind == ofproto.OFPT_MULTIPART_REQUEST:
            self.dump_requests.append(xid)
        else:
            assert kind == ofproto.OFPT_METER_MOD, kind

    def _flow_mod(self, message: bytes) -> None:
        cookie, mask, table, command, _idle, hard, priority, *_ = FLOW_MOD.unpack_from(message, 8)
        tail = message[8 + FLOW_MOD.size :]
        (match_length,) = struct.unpack_from("!H", tail, 2)
        key = (table, priority, tail[:match_length])
        self.kinds.add(f"flow {command} {cookies.category(cookie)}")
        if command == ofproto.OFPFC_ADD:
            self.flows[key] = Flow(cookie, self.clock() + hard if hard else float("inf"), hard, tail)
        elif command == ofproto.OFPFC_DELETE_STRICT:
            self.flows.pop(key, None)
        else:
            assert command == ofproto.OFPFC_DELETE and mask
            for found in [key for key, flow in self.flows.items() if flow.cookie & mask == cookie & mask]:
                del self.flows[found]

    def _packet_out(self, frame: bytes) -> None:
        assert len(frame) >= 54 and frame[12:14] == b"\x86\xdd", frame.hex()
        packet = frame[14:]
        if packet[8:24] != self.own or packet[40:] in self.given:
            self.kinds.add("packet-out")
            return
        assert len(packet) <= MINIMUM_MTU and len(packet) == 40 + int.from_bytes(packet[4:6], "big"), frame.hex()
        try:
            datagram = ipv6.parse(packet)
        except ParseError as error:
            raise AssertionError(f"{error} in {frame.hex()}") from error
        protocol = datagram.upper_protocol
        self.kinds.add(f"packet-out {protocol} {datagram.upper[:3].hex()}")
        if protocol == ICMPV6 and datagram.upper[0] == NEIGHBOR_SOLICITATION and datagram.upper[8:24] == self.router:
            self.router_asked = True
        if protocol in (ICMPV6, MOBILITY_HEADER):
            ends = datagram.checksum_source, datagram.checksum_destination
            assert checksum.upper_layer(*ends, protocol, datagram.upper) == 0, frame.hex()

    def binding_flows(self) -> list[Flow]:
        """The flows of bindings and of addresses under test that have not ended by themselves."""
        now = self.clock()
        self.flows = {key: flow for key, flow in self.flows.items() if flow.ends_at > now}
        return [flow for flow in self.flows.values() if cookies.category(flow.cookie) in BINDING_FLOWS]

    def dump(self, xid: int) -> bytes:
        """The reply to a request for all flows."""
        self.binding_flows()
        entries = b""
        for (table, priority, _), flow in self.flows.items():
            hard = flow.hard_timeout
            past = int(hard - (flow.ends_at - self.clock())) if hard else 0
            length = FLOW_STATISTICS.size + len(flow.tail)
            entries += FLOW_STATISTICS.pack(length, table, max(past, 0), 0, priority, 0, hard, 0, flow.cookie, 0, 0)
            entries += flow.tail
            if len(entries) > 60_000:
                break
        body = struct.pack("!HH4x", ofproto.OFPMP_FLOW, 0) + entries
        return HEADER.pack(4, ofproto.OFPT_MULTIPART_REPLY, 8 + len(body), xid) + body
