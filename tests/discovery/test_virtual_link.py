"""Discovery for a virtual home link: a prefix that is routed to the home agent and is on no link."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import ICMPv6HAADReply, ICMPv6NDOptPrefixInfo

from tests.discovery.messages import ask
from tests.discovery.test_prefixes import solicit
from tests.flows.campus import HOME_AGENT, ROUTER, Campus, Settings
from topo.lab import run

SETTINGS = Settings(
    link={"virtual": True, "prefixes": ["2001:db8:7::/64"], "mobile_prefix": {"dhcpv6": False}},
)
HOME_ADDRESS = "2001:db8:7::100"

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", [SETTINGS], ids=["virtual"], indirect=True, scope="module"),
]


def test_discovery(campus: Campus) -> None:
    run(f"ip -6 route add 2001:db8:7::/64 via {HOME_AGENT} dev {ROUTER.device}", ROUTER.ns)
    for number, destination in enumerate(("2001:db8:7:0:fdff:ffff:ffff:fffe", HOME_AGENT), 1):
        packet = ask(campus.mobile, destination, number)
        assert (packet.src, packet[ICMPv6HAADReply].addresses) == (HOME_AGENT, [HOME_AGENT])
    campus.mobile.home_address = HOME_ADDRESS
    assert campus.mobile.register() == 0
    option = solicit(campus.mobile, 0x0606)[ICMPv6NDOptPrefixInfo]
    assert (option.prefix, option.prefixlen, option.L, option.A, option.R) == ("2001:db8:7::", 64, 1, 1, 0)
