"""Other routers' advertisements are compared with the home agent's own (RFC 4861 section 6.2.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo, IPv6
from scapy.packet import Packet

from mip6core.addresses import Prefix
from mip6core.advertisement_consistency import MAX_ROUTERS, differences
from mip6core.codec.icmpv6 import RouterAdvertisement
from mip6core.events import InconsistentRouterAdvertisement
from mip6core.home_agent import HomePrefix
from tests.unit.discovery.link import OTHER_MAC, Link, link
from tests.unit.engine.wire import address

PREFIXES = (HomePrefix(Prefix.parse("2001:db8:1::/64"), 3600.0, 1800.0, since=1000.0),)


def up(enabled: bool = True, **advertise: Any) -> Link:
    shell = Link(link(advertise={"enabled": enabled, **advertise}, prefixes=PREFIXES))
    shell.ha.link_up(shell.link, shell.now)
    shell.statistics.clear()
    return shell


def advertised(
    source: str = "fe80::77", prefix: str = "2001:db8:1::", valid: int = 3600, preferred: int = 1800, **fields: Any
) -> Packet:
    option = ICMPv6NDOptPrefixInfo(
        prefix=prefix, prefixlen=64, validlifetime=valid, preferredlifetime=preferred, R=0, L=1, A=1
    )
    return IPv6(src=source, dst="ff02::1", hlim=255) / ICMPv6ND_RA(**{"chlim": 64, "H": 0, **fields}) / option


def heard(shell: Link, packet: Packet) -> tuple[str, ...]:
    """What is announced of it."""
    before = len(shell.events)
    assert shell.receive(bytes(packet), OTHER_MAC) == []
    told = shell.events[before:]
    if not told:
        return ()
    (event,) = told
    assert isinstance(event, InconsistentRouterAdvertisement)
    assert (event.router, event.link, event.now) == (address(packet[IPv6].src), "homenet", shell.now)
    return event.what


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (advertised(), ()),
        (advertised(M=1), ("AdvManagedFlag",)),
        (advertised(O=1), ("AdvOtherConfigFlag",)),
        (advertised(valid=7200), ("AdvValidLifetime",)),
        (advertised(preferred=900), ("AdvPreferredLifetime",)),
        (advertised(valid=0xFFFFFFFF, preferred=0xFFFFFFFF), ("AdvValidLifetime", "AdvPreferredLifetime")),
        (advertised(valid=3595, preferred=1805), ()),  # clocks and queues
        (advertised(prefix="2001:db8:2::", valid=7), ()),  # not an error: a prefix of its own
        (advertised(prefix="2001:db8:1::77"), ()),
        (advertised(reachabletime=9, retranstimer=9, chlim=3) / ICMPv6NDOptMTU(mtu=1400), ()),  # ours: unspecified
    ],
)
def test_what_is_announced(packet: Packet, expected: tuple[str, ...]) -> None:
    shell = up()
    assert heard(shell, packet) == expected
    assert shell.statistics["ra_inconsistent"] == bool(expected)


def test_lifetimes_run_down() -> None:
    """What counts is when they end."""
    shell = up()
    shell.advance(600)
    shell.events.clear()
    assert heard(shell, advertised(valid=3000, preferred=1200)) == ()
    assert heard(shell, advertised()) == ("AdvValidLifetime", "AdvPreferredLifetime")


def test_values_that_both_specify() -> None:
    """RFC 4861 section 6.2.7: zero is unspecified."""
    own = RouterAdvertisement(0, hop_limit=64, reachable_time=1000, retrans_timer=2000, mtu=1500)
    for name, change in (
        ("AdvCurHopLimit", {"hop_limit": 32}),
        ("AdvReachableTime", {"reachable_time": 1}),
        ("AdvRetransTimer", {"retrans_timer": 1}),
        ("AdvLinkMTU", {"mtu": 1280}),
    ):
        assert differences(own, RouterAdvertisement(0, **change)) == [name]  # type: ignore[arg-type]
    assert differences(own, RouterAdvertisement(1800)) == []


def test_everything_is_announced_once() -> None:
    shell = up()
    assert heard(shell, advertised(M=1)) == ("AdvManagedFlag",)
    assert heard(shell, advertised(M=1)) == ()
    assert heard(shell, advertised(M=1, O=1)) == ("AdvOtherConfigFlag",)
    assert heard(shell, advertised()) == ()
    assert heard(shell, advertised(O=1)) == ()
    assert heard(shell, advertised("fe80::78", O=1)) == ("AdvOtherConfigFlag",)
    assert shell.statistics["ra_inconsistent"] == 5


def test_a_stranger_does_not_fill_the_log() -> None:
    shell = up()
    told = [heard(shell, advertised(f"fe80::{n:x}", M=1)) for n in range(1, 3 * MAX_ROUTERS)]
    assert sum(map(bool, told)) == MAX_ROUTERS
    assert shell.statistics["ra_inconsistent"] == len(told)


@pytest.mark.parametrize("make", [lambda: up(enabled=False), lambda: up()], ids=["silent", "advertising"])
def test_only_where_the_home_agent_advertises(make: Callable[[], Link]) -> None:
    shell = make()
    assert bool(heard(shell, advertised(M=1))) == shell.link.router_advertisement.enabled
