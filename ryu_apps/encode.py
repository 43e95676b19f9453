"""Flow and meter data to OpenFlow 1.3 messages, and the few encodings that Ryu lacks."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from typing import Any, Final

from ryu_apps import flowspec
from ryu_apps.flowspec import FlowSpec, MeterSpec
from ryu_apps.of_compat import nicira_ext, offline_datapath, ofproto, parser

NICIRA: Final = 0x00002320
NXAST_CHECK_PKT_LARGER: Final = 49
ERICSSON_OXM_CLASS: Final = 0x1000  # nd_reserved and nd_options_type in OVS 2.11 and later
NXM_NX_CLASS: Final = 0x0001
PREREQUISITES_FIRST: Final = ("eth_type", "ip_proto", "icmpv6_type")
ND_FIELD_LENGTH: Final = {1: 4, 2: 1}  # octets


class _SetNdFieldAction(parser.OFPActionSetField):
    """A set-field action for an OXM that Ryu has no name for."""

    def __init__(self, number: int, value: int) -> None:
        length = ND_FIELD_LENGTH[number]
        self.type = ofproto.OFPAT_SET_FIELD
        self.oxm = struct.pack("!HBB", ERICSSON_OXM_CLASS, number << 1, length) + value.to_bytes(length, "big")
        self.len = -(-(4 + len(self.oxm)) // 8) * 8

    def serialize(self, buf: bytearray, offset: int) -> None:
        octets = struct.pack("!HH", self.type, self.len) + self.oxm
        buf[offset : offset + self.len] = octets.ljust(self.len, b"\0")


def _check_packet_larger(action: flowspec.CheckPacketLarger) -> Any:
    register = struct.pack("!HBB", NXM_NX_CLASS, action.register << 1, 4)
    data = struct.pack("!HHH4s6x", NXAST_CHECK_PKT_LARGER, action.length, 0, register)
    return parser.OFPActionExperimenterUnknown(NICIRA, data)


def _action(action: flowspec.Action) -> Any:
    match action:
        case flowspec.Output(port, max_len):
            return parser.OFPActionOutput(port, max_len)
        case flowspec.SetField(field, value):
            return parser.OFPActionSetField(**{field: value})
        case flowspec.Load(field, value, bits):
            return parser.NXActionRegLoad(ofs_nbits=nicira_ext.ofs_nbits(0, bits - 1), dst=field, value=value)
        case flowspec.Move(source, destination, bits):
            return parser.NXActionRegMove(src_field=source, dst_field=destination, n_bits=bits)
        case flowspec.DecrementHopLimit():
            return parser.OFPActionDecNwTtl()
        case flowspec.CheckPacketLarger():
            return _check_packet_larger(action)
        case flowspec.SetNdField(number, value):
            return _SetNdFieldAction(number, value)
        case flowspec.Resubmit(table):
            return parser.NXActionResubmitTable(table_id=table)


def ofp_match(fields: Iterable[tuple[str, object]]) -> Any:
    """OVS wants the fields that others depend on first; Ryu's own order does not know the Nicira fields' needs."""

    def order(pair: tuple[str, object]) -> int:
        return PREREQUISITES_FIRST.index(pair[0]) if pair[0] in PREREQUISITES_FIRST else len(PREREQUISITES_FIRST)

    return parser.OFPMatch(_ordered_fields=[(name, _masked(value)) for name, value in sorted(fields, key=order)])


def _masked(value: object) -> object:
    if isinstance(value, str) and "/" in value:
        address, _, mask = value.partition("/")
        if ":" in mask:
            return address, mask
        network = ipaddress.IPv6Network(value)
        return str(network.network_address), str(network.netmask)
    return value


def flow_mod(spec: FlowSpec, command: int = ofproto.OFPFC_ADD) -> Any:
    """The message that adds, or with another command deletes, one flow."""
    instructions: list[Any] = []
    if command == ofproto.OFPFC_ADD:
        if spec.meter is not None:
            instructions.append(parser.OFPInstructionMeter(spec.meter, ofproto.OFPIT_METER))
        if spec.actions:
            actions = [_action(action) for action in spec.actions]
            instructions.append(parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, actions))
        if spec.goto is not None:
            instructions.append(parser.OFPInstructionGotoTable(int(spec.goto)))
    return parser.OFPFlowMod(
        offline_datapath(),
        cookie=spec.cookie,
        table_id=int(spec.table),
        command=command,
        idle_timeout=spec.idle_timeout,
        hard_timeout=spec.hard_timeout,
        priority=spec.priority,
        out_port=ofproto.OFPP_ANY,  # a delete with the default, 0, deletes nothing
        out_group=ofproto.OFPG_ANY,
        flags=ofproto.OFPFF_SEND_FLOW_REM * spec.notify_removal | ofproto.OFPFF_RESET_COUNTS * spec.reset_counts,
        match=ofp_match(spec.match),
        instructions=instructions,
    )


def delete_generation(cookie: int, mask: int) -> Any:
    """The message that deletes every flow whose cookie agrees with `cookie` in the bits of `mask`."""
    return parser.OFPFlowMod(
        offline_datapath(),
        cookie=cookie,
        cookie_mask=mask,
        table_id=ofproto.OFPTT_ALL,
        command=ofproto.OFPFC_DELETE,
        out_port=ofproto.OFPP_ANY,
        out_group=ofproto.OFPG_ANY,
        match=parser.OFPMatch(),
        instructions=[],
    )


def meter_mod(spec: MeterSpec, command: int) -> Any:
    """The message that adds or modifies a meter which drops above its rate."""
    band = parser.OFPMeterBandDrop(rate=spec.rate_pps, burst_size=spec.burst)
    flags = ofproto.OFPMF_PKTPS | ofproto.OFPMF_BURST | ofproto.OFPMF_STATS
    return parser.OFPMeterMod(offline_datapath(), command, flags, spec.meter_id, [band])


def wire(message: Any, xid: int = 0) -> bytes:
    """The octets of a message."""
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def packet_out(actions: Iterable[flowspec.Action], in_port: int = flowspec.LOCAL) -> bytes:
    """A packet-out without its packet: append the frame, and correct the length as `finish_packet_out` does."""
    message = parser.OFPPacketOut(
        offline_datapath(),
        buffer_id=ofproto.OFP_NO_BUFFER,
        in_port=in_port,
        actions=[_action(action) for action in actions],
        data=b"",
    )
    return wire(message)
