"""Prefix discovery of mobile nodes, through the real switch: on a real and on a virtual home link."""

from __future__ import annotations

import socket
import time

import pytest
from scapy.layers.inet6 import MIP6MH_BE, ICMPv6HAADReply, ICMPv6MPAdv, ICMPv6NDOptPrefixInfo, IPv6, in6_chksum
from scapy.packet import Packet

from tests.discovery.messages import ask, is_prefix_advertisement, prefix_solicitation
from tests.flows.campus import HOME_AGENT, Campus
from tests.flows.stations import MobileNode
from topo import lab

pytestmark = pytest.mark.lab

UNBOUND = "2001:db8:1::dead"


def read(frame: Packet, node: MobileNode, home_agent: str = HOME_AGENT) -> ICMPv6MPAdv:
    """A Mobile Prefix Advertisement, after the checks of 6.8 and 11.4.3 that every one must pass."""
    octets = bytes(frame[IPv6])
    packet = IPv6(octets)
    assert (packet.src, packet.dst) == (home_agent, node.at.care_of_address)
    assert octets[40:48] == bytes([58, 2, 2, 1, 0, 0, 0, 0])  # Type 2 Routing header
    home = socket.inet_ntop(socket.AF_INET6, octets[48:64])
    assert in6_chksum(58, IPv6(src=home_agent, dst=home), octets[64:]) == 0
    message = ICMPv6MPAdv(octets[64:])
    assert (message.code, message.flags, message.res) == (0, 0, 0)
    return message


def solicit(node: MobileNode, identifier: int) -> ICMPv6MPAdv:
    with node.recording() as recorder:
        recorder.send(prefix_solicitation(node, identifier))
        frame = recorder.wait_for(lambda f: is_prefix_advertisement(f, identifier), "an advertisement")
    return read(frame, node)


def test_solicited(campus: Campus) -> None:
    campus.register(campus.mobile)
    for identifier in (0x0101, 0x0202):  # the second one sooner than a second after the first
        option = solicit(campus.mobile, identifier)[ICMPv6NDOptPrefixInfo]
        assert (option.prefix, option.prefixlen) == (HOME_AGENT, 64)
        assert (option.L, option.A, option.R) == (1, 1, 1)
        assert option.validlifetime == option.preferredlifetime == 0xFFFFFFFF
    assert campus.manager.statistics("engine")["mpa_delayed"] == 1


def test_not_registered(campus: Campus) -> None:
    """9.3.1: a Home Address option without a binding draws a Binding Error."""
    node = campus.second
    with node.recording() as recorder:
        recorder.send(prefix_solicitation(node, 0x0303, UNBOUND))
        error = recorder.wait_for(lambda frame: MIP6MH_BE in frame, "a Binding Error")
        assert (error[MIP6MH_BE].status, error[MIP6MH_BE].ha) == (1, UNBOUND)
        assert not [one for one in recorder.packets() if is_prefix_advertisement(one, 0x0303)]


def test_unsolicited_until_it_is_acknowledged(campus: Campus) -> None:
    """10.6.2: after MaxMobPfxAdvInterval, here 6 s, and repeated 3 s later; a solicitation ends it."""
    node = campus.mobile
    campus.register(node)
    with node.recording() as recorder:

        def unsolicited() -> list[Packet]:
            return [frame for frame in recorder.packets() if is_prefix_advertisement(frame, 0)]

        lab.wait_until(lambda: len(unsolicited()) == 2, "the repetition", timeout=20, interval=0.1)
        solicit(node, 0x0404)
        for packet in unsolicited():
            assert read(packet, node)[ICMPv6NDOptPrefixInfo].prefix == HOME_AGENT
        before = campus.manager.statistics("engine")
        assert before["mpa_unsolicited"] >= 1 and before["mpa_retransmitted"] >= 1
        time.sleep(6.5)  # the next repetition would be due after 6 s, and the next silence be over then
        assert len(unsolicited()) == 2
    after = campus.manager.statistics("engine")
    assert after["mpa_retransmitted"] == before["mpa_retransmitted"]


def test_requests_for_the_address_of_the_home_agent_from_a_registered_node(campus: Campus) -> None:
    """From its care-of address, without a Home Address option: the binding plays no part (6.5)."""
    packet = ask(campus.mobile, HOME_AGENT, 0x0505)
    assert packet[ICMPv6HAADReply].addresses == [HOME_AGENT] and packet.nh == 58
