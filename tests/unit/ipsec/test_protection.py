"""The bridge's side of IPsec with any octets: what is dropped is counted, and nothing raises."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import config
from mip6core import addresses
from mip6core.addresses import Prefix
from mip6core.codec import ipv6
from mip6core.home_agent import HomeAgent, HomeLink, HomePrefix, Limits
from ryu_apps.bridge import Bridge
from ryu_apps.home_bridge import HomeBridge
from ryu_apps.home_pipeline import HomeLayout
from ryu_apps.ipsec.gateway import Gateway
from ryu_apps.pipeline import BridgeLayout, Punt
from tests.unit.ipsec.test_gateway import CARE_OF, HOME, LINK, OWN, Site, binding_update, from_away

MAC = bytes.fromhex("020000000002")
CORRESPONDENT = addresses.parse("2001:db8:9::9")
SITE = Site()


def bridge() -> tuple[Bridge, dict[str, int]]:
    """A bridge in front of nothing, with one binding and all its associations."""
    statistics: dict[str, int] = defaultdict(int)
    link = HomeLink("homenet", OWN, (HomePrefix(Prefix.parse("2001:db8:1::/64")),), MAC)
    engine = HomeAgent([link], Limits(), lambda n: bytes(n))
    prefixes = ("2001:db8:1::/64",)
    layout = BridgeLayout("2001:db8:1::2", MAC.hex(":"), prefixes, 1, (2,), None, 1476)
    security = config.parse({"home_links": [LINK], "security": {"mobile_nodes": SITE.nodes}}).security
    gateway = Gateway(security, bytes, 0, statistics)
    made = Bridge(layout, OWN, addresses.parse("2001:db8:1::1"), _sent.append, lambda: 0.0, statistics)
    made.add_role(HomeBridge(made, engine, link, HomeLayout(prefixes, 1460, ipsec=True), gateway, _no_actions))
    made.ready = True
    assert engine.adopt(link, HOME, CARE_OF, 1, 0xC000, 400.0, 0.0)
    return made, statistics


_sent: list[bytes] = []


def _no_actions(actions: list[Any]) -> None:
    raise AssertionError("there is one link")


BRIDGE, STATISTICS = bridge()
NEXT_HEADERS = st.sampled_from([0, 41, 43, 44, 50, 51, 58, 59, 60, 135])
KINDS = st.sampled_from(
    [Punt.ESP, Punt.HOME_TEST, Punt.HOME_TEST_INIT, Punt.SIGNALLING, Punt.UPLINK_FRAGMENT, Punt.LINK_FRAGMENT]
)


def punted(kind: Punt, packet: bytes) -> None:
    BRIDGE.punted(kind, MAC + MAC + b"\x86\xdd" + packet)
    BRIDGE.outbox.flush()


@settings(max_examples=300)
@given(KINDS, st.binary(max_size=200))
def test_any_frame(kind: Punt, octets: bytes) -> None:
    punted(kind, octets)


@settings(max_examples=300)
@given(KINDS, NEXT_HEADERS, st.binary(max_size=150), st.booleans(), st.sampled_from([OWN, HOME, CORRESPONDENT]))
def test_any_upper_layer(kind: Punt, next_header: int, octets: bytes, option: bool, destination: bytes) -> None:
    for source in (HOME, CARE_OF, CORRESPONDENT):
        home_address = HOME if option else None
        punted(kind, ipv6.build(source, destination, next_header, octets, home_address=home_address))


@settings(max_examples=300)
@given(st.sampled_from(["binding", "return_routability", "prefix_discovery"]), NEXT_HEADERS, st.binary(max_size=150))
def test_any_octets_under_the_right_keys(kind: str, next_header: int, octets: bytes) -> None:
    sealed = SITE.octets(kind, next_header, octets)
    for source, home_address in ((HOME, None), (CARE_OF, HOME), (CARE_OF, None)):
        punted(Punt.ESP, ipv6.build(source, OWN, 50, sealed, home_address=home_address))


@settings(max_examples=300)
@given(st.data())
def test_a_real_packet_with_some_octets_changed(data: st.DataObject) -> None:
    octets = bytearray(SITE.sealed(from_away(binding_update())).packet)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    punted(Punt.ESP, bytes(octets[: data.draw(st.integers(0, len(octets)))]))


def _home() -> HomeBridge:
    home = BRIDGE.roles["homenet"]
    assert isinstance(home, HomeBridge)
    return home


def dropped(reason: str) -> int:
    """By the bridge and by the engine."""
    return STATISTICS[f"dropped_{reason}"] + _home().engine.statistics[f"dropped_{reason}"]


def test_what_is_wrong_is_counted() -> None:
    good = SITE.sealed(from_away(binding_update())).packet
    for packet, reason in (
        (good[:50], "truncated"),
        (good[:-1] + bytes((good[-1] ^ 1,)), "esp_bad_integrity"),
        (ipv6.build(CARE_OF, OWN, 50, b"\0\0\x09\x99" + bytes(60), home_address=HOME), "esp_unknown_spi"),
        (ipv6.build(CARE_OF, OWN, 50, b"\0\0\x01", home_address=HOME), "esp_truncated"),
        (ipv6.build(CARE_OF, OWN, 50, ipv6.parse(good).upper, home_address=CORRESPONDENT), "esp_home_address"),
    ):
        before = dropped(reason)
        punted(Punt.ESP, packet)
        assert dropped(reason) == before + 1


def cut(packet: bytes, size: int = 32) -> list[bytes]:
    """The fragments of a packet with a Home Address option, which each of them has."""
    found = []
    for start in range(64, len(packet), size):
        part = packet[start : start + size]
        flags = start - 64 | int(start + size < len(packet))
        body = bytes((packet[40], 0)) + flags.to_bytes(2, "big") + b"\0\0\0\7" + part
        head = bytearray(packet[:64])
        head[4:6] = (24 + len(body)).to_bytes(2, "big")
        head[40] = 44
        found.append(bytes(head) + body)
    return found


@pytest.mark.parametrize("kind", [Punt.UPLINK_FRAGMENT, Punt.LINK_FRAGMENT])
def test_protected_signalling_in_fragments(kind: Punt) -> None:
    """Put together before it is unwrapped (RFC 4303 section 3.4.1)."""
    fragments = cut(SITE.sealed(from_away(binding_update())).packet)
    assert len(fragments) >= 3
    before = STATISTICS["esp_received"], dropped("esp_bad_integrity")
    for fragment in reversed(fragments):
        punted(kind, fragment)
    assert (STATISTICS["esp_received"], dropped("esp_bad_integrity")) == (before[0] + 1, before[1])


def test_fragments_that_stay_alone() -> None:
    """After a minute the sender of the first one is told (RFC 8200 section 4.5), at most."""
    fragments = cut(SITE.sealed(from_away(binding_update())).packet)
    for first in (True, False):
        punted(Punt.UPLINK_FRAGMENT, fragments[0 if first else 1])
        statistics = _home().engine.statistics
        before = statistics["icmpv6_sent_time_exceeded"]
        BRIDGE.tick(59.0)
        assert statistics["icmpv6_sent_time_exceeded"] == before
        BRIDGE.tick(60.0)
        assert statistics["icmpv6_sent_time_exceeded"] == before + first


def test_fragments_towards_the_mobile_node() -> None:
    """One may be a part of a Home Test, and may not pass in clear."""
    before, sent = STATISTICS["dropped_fragment"], len(_sent)
    fragment = bytes((135, 0, 0, 1)) + bytes(4) + b"\x3b\x02\x03\0" + bytes(12)
    punted(Punt.HOME_TEST, ipv6.build(CORRESPONDENT, HOME, 44, fragment))
    assert STATISTICS["dropped_fragment"] == before + 1
    assert len(_sent) == sent
