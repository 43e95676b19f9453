"""Answers about flows, as Open vSwitch sends them: made by Ryu, for our own reader."""

from __future__ import annotations

import struct

from ryu_apps import encode
from ryu_apps.flowspec import FlowSpec
from ryu_apps.of_compat import ofproto

ENTRY = struct.Struct("!HBxIIHHHH4xQQQ")  # OpenFlow 1.3, A.3.5.2: length, table, age, ..., counters


def answer(xid: int, *flows: tuple[FlowSpec, int], more: bool = False) -> bytes:
    """A multipart reply; of each flow the packets that it has counted, of 100 octets each."""
    body = b""
    for flow, packets in flows:
        message = encode.flow_mod(flow)
        rest = bytearray()
        message.match.serialize(rest, 0)
        for instruction in message.instructions:
            instruction.serialize(rest, len(rest))
        length = ENTRY.size + len(rest)
        counted = (flow.cookie, packets, packets * 100)
        body += ENTRY.pack(length, flow.table, 10, 0, flow.priority, 0, flow.hard_timeout, 0, *counted) + rest
    flags = ofproto.OFPMPF_REPLY_MORE if more else 0
    head = ofproto.OFP_VERSION.to_bytes(1, "big") + bytes((ofproto.OFPT_MULTIPART_REPLY,))
    head += (16 + len(body)).to_bytes(2, "big") + xid.to_bytes(4, "big")
    return head + ofproto.OFPMP_FLOW.to_bytes(2, "big") + flags.to_bytes(2, "big") + bytes(4) + body
