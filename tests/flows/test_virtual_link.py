"""A virtual home link: nobody has its addresses but mobile nodes that are bound."""

from __future__ import annotations

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6, Raw
from scapy.layers.l2 import Ether

from tests.flows.campus import HOME_ADDRESS, HOME_AGENT, REMOTE, ROUTER, Campus, Settings
from topo.lab import run

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize(
        "campus", [Settings("virtual", link={"virtual": True})], ids=["virtual"], indirect=True, scope="module"
    ),
]

UNBOUND = "2001:db8:1::77"


def test_a_packet_for_nobody_does_not_go_back_to_the_router(registered: Campus) -> None:
    """It would come again, until its hop limit is used up."""
    sent = IPv6(src=REMOTE.address, dst=UNBOUND) / UDP(sport=5, dport=7) / Raw(b"for nobody")
    with ROUTER.recording() as router:
        router.send(Ether(src=ROUTER.mac, dst=registered.bridge_mac) / sent)
        error = router.wait_for(lambda frame: ICMPv6DestUnreach in frame, "Destination Unreachable")[IPv6]
        assert not [packet for packet in router.packets() if packet.dst == UNBOUND]
    assert (error.src, error.dst, error[ICMPv6DestUnreach].code) == (HOME_AGENT, REMOTE.address, 3)
    assert bytes(error[ICMPv6DestUnreach].payload) == bytes(sent)


def test_nor_does_one_out_of_the_reverse_tunnel(registered: Campus) -> None:
    mobile = registered.mobile
    sent = IPv6(src=HOME_ADDRESS, dst=UNBOUND) / UDP(sport=5, dport=7) / Raw(b"for nobody")
    with ROUTER.recording() as router, mobile.recording() as visited:
        visited.send(mobile.reverse_tunnelled(sent))
        error = visited.wait_for(lambda frame: ICMPv6DestUnreach in frame, "Destination Unreachable in the tunnel")
        assert not [packet for packet in router.packets() if packet.dst == UNBOUND]
    assert (error[IPv6].src, error[IPv6].nh) == (HOME_AGENT, 41)
    assert (error[IPv6:2].dst, error[ICMPv6DestUnreach].code) == (HOME_ADDRESS, 3)


def test_a_bound_one_is_reached(registered: Campus) -> None:
    mobile = registered.mobile
    run(f"ip -6 route add {HOME_ADDRESS} via {HOME_AGENT}", ROUTER.ns)  # nobody answers for it
    assert mobile.ping(REMOTE.address) == REMOTE.ping(HOME_ADDRESS) == 3
