"""Matches and actions of flows as text, nearly as ovs-ofctl writes them: for people who look at a switch from afar."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, Final

from ryu_apps import encode, meanings
from ryu_apps.flowspec import CONTROLLER, IN_PORT, LOCAL, NORMAL
from ryu_apps.of_compat import ofproto, parser
from ryu_apps.pipeline import ICMPV6, IPV6

# Open vSwitch's names of what Ryu calls otherwise.
NAMES: Final = {
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
    "ip_proto": "nw_proto",
    "icmpv6_type": "icmp_type",
    "icmpv6_code": "icmp_code",
    "ipv6_nd_target": "nd_target",
    "ipv6_nd_sll": "nd_sll",
    "ipv6_nd_tll": "nd_tll",
    "tunnel_id": "tun_id",
    "ip_frag": "nw_frag",
    "in_port_nxm": "in_port",
}
PORTS: Final = {NORMAL: "NORMAL", LOCAL: "LOCAL", IN_PORT: "IN_PORT"}
ORDER: Final = ("reg", "tun_", "in_port", "dl_", "ipv6_src", "ipv6_dst", "nw_proto", "nw_ttl", "nw_frag", "icmp_type")
FRAGMENTS: Final = {0: "no", 1: "first", 3: "later"}
_CHECK_PACKET_LARGER: Final = struct.Struct("!HxxxxB")  # length, then offset and NXM header of the register


def match(octets: bytes) -> str:
    """The OXM fields of a flow; "any" without any."""
    fields = dict(_fields(octets))
    protocol = []
    if fields.get("dl_type") == hex(IPV6):
        del fields["dl_type"]
        protocol = ["ipv6"]
        if fields.get("nw_proto") == str(ICMPV6):
            del fields["nw_proto"]
            protocol = ["icmp6"]
    shown = sorted(fields.items(), key=lambda pair: _rank(pair[0]))
    return ",".join([*protocol, *(f"{name}={value}" for name, value in shown)]) or "any"


def _rank(name: str) -> int:
    return next((rank for rank, prefix in enumerate(ORDER) if name.startswith(prefix)), len(ORDER))


def _fields(octets: bytes) -> Iterator[tuple[str, str]]:
    offset = 0
    while offset + 4 <= len(octets):
        number, value, mask, length = ofproto.oxm_parse(octets, offset)
        offset += length
        name, shown = ofproto.oxm_to_user(number, value, mask)
        if mask is None:
            yield NAMES.get(name, name), _value(name, shown)
        else:
            yield NAMES.get(name, name), _masked(name, *shown)


def _value(name: str, value: Any) -> str:
    if isinstance(value, int) and (name.startswith("reg") or name in ("eth_type", "tunnel_id")):
        return hex(value) if value else "0"
    if name == "in_port":
        return PORTS.get(value, str(value))
    if name == "ip_frag":
        return FRAGMENTS.get(value, str(value))
    return str(value)


def _masked(name: str, value: Any, mask: Any) -> str:
    if name.startswith(("ipv6_", "tun_ipv6_")):
        bits = f"{int(IPv6Address(mask)):0128b}"
        if "01" not in bits:
            return f"{value}/{bits.count('1')}"
    return f"{_value(name, value)}/{_value(name, mask)}"


def actions(octets: bytes) -> str:
    """The instructions of a flow; "drop" without any."""
    found: list[str] = []
    offset = 0
    while offset + 8 <= len(octets):
        instruction = parser.OFPInstruction.parser(octets, offset)
        offset += instruction.len
        if isinstance(instruction, parser.OFPInstructionMeter):
            found.append(f"meter:{instruction.meter_id}")
        elif isinstance(instruction, parser.OFPInstructionGotoTable):
            found.append(f"goto {meanings.table(instruction.table_id)}")
        elif isinstance(instruction, parser.OFPInstructionActions):
            found += map(_action, instruction.actions)
        else:
            found.append(type(instruction).__name__)
    return ",".join(found) or "drop"


def _action(action: Any) -> str:
    if isinstance(action, parser.OFPActionOutput):
        if action.port == CONTROLLER:
            return f"CONTROLLER:{action.max_len}"
        return PORTS.get(action.port, f"output:{action.port}")
    if isinstance(action, parser.OFPActionSetField):
        return f"set_field:{_value(action.key, action.value)}->{NAMES.get(action.key, action.key)}"
    if isinstance(action, parser.OFPActionDecNwTtl):
        return "dec_ttl"
    if isinstance(action, parser.NXActionResubmitTable):
        return f"resubmit {meanings.table(action.table_id)}"
    if isinstance(action, parser.NXActionRegLoad):
        return f"load:{hex(action.value)}->{NAMES.get(action.dst, action.dst)}"
    if isinstance(action, parser.NXActionRegMove):
        return f"move:{NAMES.get(action.src_field, action.src_field)}->{NAMES.get(action.dst_field, action.dst_field)}"
    if isinstance(action, parser.NXActionUnknown) and action.subtype == encode.NXAST_CHECK_PKT_LARGER:
        length, register = _CHECK_PACKET_LARGER.unpack_from(action.data)
        return f"check_pkt_larger({length})->reg{register >> 1}[0]"
    return type(action).__name__
