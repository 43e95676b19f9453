"""Packets whose headers are wrong, by the real switch: what is punted is answered by nobody else."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BU,
    HBHOptUnknown,
    ICMPv6HAADRequest,
    ICMPv6ParamProblem,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.flows.campus import HOME_ADDRESS, HOME_AGENT, LOCAL, REMOTE, REMOTE_GATEWAY_MAC, Campus
from topo import lab

pytestmark = pytest.mark.lab

UNKNOWN_OPTION = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0xBE, optdata=b"abcd")])
UNKNOWN_ROUTING = IPv6ExtHdrRouting(type=9, segleft=1, addresses=["2001:db8:9::1"])
OPTION = IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)])


@pytest.mark.parametrize(
    ("headers", "code", "pointer"),
    [
        (UNKNOWN_OPTION / MIP6MH_BU(), 2, 42),
        (OPTION / UNKNOWN_OPTION / MIP6MH_BU(), 2, 66),
        (UNKNOWN_ROUTING / MIP6MH_BU(), 0, 42),
        (OPTION / IPv6ExtHdrHopByHop() / MIP6MH_BU(), 1, 40),
        (UNKNOWN_ROUTING / ICMPv6HAADRequest(id=1), 0, 42),
    ],
    ids=["option", "option behind a home address", "routing header", "hop-by-hop options second", "discovery"],
)
def test_the_sender_is_told(registered: Campus, headers: Packet, code: int, pointer: int) -> None:
    packet = IPv6(src=REMOTE.address, dst=HOME_AGENT) / headers
    with REMOTE.recording() as recorder:
        recorder.send(Ether(src=REMOTE.mac, dst=REMOTE_GATEWAY_MAC) / packet)
        found = recorder.wait_for(lambda frame: ICMPv6ParamProblem in frame, "Parameter Problem")
        assert REMOTE.ping(HOME_AGENT) == 3
        assert len([packet for packet in recorder.packets() if ICMPv6ParamProblem in packet]) == 1
    message = found[ICMPv6ParamProblem]
    assert (found[IPv6].src, message.code, message.ptr) == (HOME_AGENT, code, pointer)
    quoted, sent = bytearray(bytes(found[IPv6])[48:]), bytearray(bytes(packet))
    quoted[7] = sent[7] = 0
    assert quoted == sent


def test_a_node_on_the_home_link_is_told_directly(registered: Campus) -> None:
    packet = IPv6(src=LOCAL.address, dst=HOME_AGENT) / UNKNOWN_ROUTING / MIP6MH_BU()
    with LOCAL.recording() as recorder:
        recorder.send(Ether(src=LOCAL.mac, dst=registered.bridge_mac) / packet)
        found = recorder.wait_for(lambda frame: ICMPv6ParamProblem in frame, "Parameter Problem")
    assert (found.src, found[IPv6].dst) == (registered.bridge_mac, LOCAL.address)
    lab.wait_until(
        lambda: registered.manager.statistics("engine")["dropped_bad_routing_header"] >= 1, "the count of it"
    )
