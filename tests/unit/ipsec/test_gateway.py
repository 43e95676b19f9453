"""Which packets pass the IPsec boundary, and as what; the mobile node is scapy's."""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6EchoRequest,
    ICMPv6MPSol,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    MIP6MH_HoT,
    MIP6MH_HoTI,
    MIP6OptAltCoA,
)
from scapy.layers.ipsec import ESP

from deploy import config
from mip6core import addresses
from mip6core.codec import icmpv6, ipv6, mh
from mip6core.codec.icmpv6 import EchoReply, MobilePrefixAdvertisement
from mip6core.codec.mh import BindingAcknowledgement, BindingError
from mip6core.errors import ParseError
from ryu_apps.ipsec import transforms
from ryu_apps.ipsec.esp import Outbound, Rejected
from ryu_apps.ipsec.gateway import Gateway
from tests.unit.ipsec.esp_peer import CARE_OF_ADDRESS, CLASSIC, HOME_ADDRESS, HOME_AGENT, association, from_away, peer

OTHER = "2001:db8:1::200"
CORRESPONDENT = "2001:db8:9::9"
HOME, CARE_OF, OWN = map(addresses.parse, (HOME_ADDRESS, CARE_OF_ADDRESS, HOME_AGENT))
LINK = {
    "name": "homenet",
    "bridge": "br-home",
    "address": HOME_AGENT,
    "prefixes": ["2001:db8:1::/64"],
    "router": "2001:db8:1::1",
    "uplinks": ["uplink0"],
}


def node(home_address: str = HOME_ADDRESS, first_spi: int = 0x111, **more: Any) -> dict[str, Any]:
    """A mobile node with all three kinds, with the SPIs of the IPv6 Ready specifications."""
    selector = {"selector": more.pop("selector")} if "selector" in more else {}
    kinds = ("binding", "return_routability", "prefix_discovery")
    found = [association(kind, first_spi + 2 * i, **selector) for i, kind in enumerate(kinds)]
    return {"home_address": home_address, "associations": found, **more}


class Site:
    """A gateway with its configuration, and the other ends."""

    def __init__(self, *nodes: dict[str, Any], default: str = "refuse") -> None:
        self.nodes = list(nodes) or [node()]
        security = {"unprotected_signalling": default, "mobile_nodes": self.nodes}
        loaded = config.parse({"home_links": [LINK], "security": security})
        self.statistics: dict[str, int] = defaultdict(int)
        self.gateway = Gateway(loaded.security, self._random, 0, self.statistics)
        self._count = itertools.count(1)

    def _random(self, length: int) -> bytes:
        return next(self._count).to_bytes(length, "big")

    def direction(self, kind: str, way: str, index: int = 0) -> dict[str, Any]:
        (found,) = (one for one in self.nodes[index]["associations"] if one["kind"] == kind)
        return found[way]

    def sealed(self, packet: IPv6, kind: str = "binding", index: int = 0) -> ipv6.Datagram:
        """As scapy protects it, in transport mode; Home Address options stay outside."""
        return ipv6.parse(bytes(peer(CLASSIC, self.direction(kind, "inbound", index)).encrypt(packet)))

    def tunnelled(self, packet: IPv6, source: str = CARE_OF_ADDRESS) -> ipv6.Datagram:
        one = self.direction("return_routability", "inbound")
        return ipv6.parse(bytes(peer(CLASSIC, one, (source, HOME_AGENT)).encrypt(packet)))

    def octets(self, kind: str, next_header: int, payload: bytes) -> bytes:
        """Any payload under the right keys: the header of ESP and what is behind it."""
        one = self.direction(kind, "inbound")
        keys = [bytes.fromhex(one[name]) for name in ("encryption_key", "integrity_key")]
        made = transforms.make(CLASSIC.encryption, keys[0], CLASSIC.integrity, keys[1], bytes)
        return Outbound(one["spi"], made, 0, wraps=True).seal(next_header, payload)

    def refuses(self, datagram: ipv6.Datagram) -> str:
        with pytest.raises(Rejected) as caught:
            self.gateway.unwrap(datagram)
        return caught.value.reason


def binding_update(**more: Any) -> MIP6MH_BU:
    return MIP6MH_BU(seq=15, flags="AH", mhtime=105, options=[MIP6OptAltCoA(acoa=CARE_OF_ADDRESS)], **more)


def parsed(packet: IPv6) -> ipv6.Datagram:
    return ipv6.parse(bytes(packet))


def hot_init(source: str = HOME_ADDRESS, destination: str = CORRESPONDENT) -> IPv6:
    return IPv6(bytes(IPv6(src=source, dst=destination) / MIP6MH_HoTI(cookie=b"12345678")))


def acknowledgement(home_at_home: bool = False) -> bytes:
    upper = mh.build(BindingAcknowledgement(0, 0, 15, 105, ()), OWN, HOME)
    if home_at_home:
        return ipv6.build(OWN, HOME, 135, upper)
    return ipv6.build(OWN, CARE_OF, 135, upper, type2_home_address=HOME)


# --- what comes in ---


def test_binding_update_in_transport_mode() -> None:
    """RFC 3776 section 3.1: inside is what was sent, and it counts as protected."""
    site, sent = Site(), from_away(binding_update())
    _association, inner = site.gateway.unwrap(site.sealed(sent))
    assert inner.packet == bytes(sent)
    assert (inner.protected, inner.home_address, inner.source) == (True, HOME, CARE_OF)
    assert isinstance(mh.parse(inner.upper, inner.checksum_source, inner.checksum_destination), mh.BindingUpdate)


def test_binding_update_from_home() -> None:
    """The home address as source, and no Home Address option."""
    site = Site()
    sent = IPv6(bytes(IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / MIP6MH_BU(seq=16, flags="AH")))
    _association, inner = site.gateway.unwrap(site.sealed(sent))
    assert inner.packet == bytes(sent)
    assert inner.home_address is None


def test_mobile_prefix_solicitation() -> None:
    site, sent = Site(), from_away(ICMPv6MPSol(id=7))
    _association, inner = site.gateway.unwrap(site.sealed(sent, "prefix_discovery"))
    assert inner.packet == bytes(sent)


def test_home_test_init_in_tunnel_mode() -> None:
    """RFC 3776 section 3.2."""
    site, sent = Site(), hot_init()
    found, inner = site.gateway.unwrap(site.tunnelled(sent))
    assert found.tunnel
    assert inner.packet == bytes(sent)
    assert not inner.protected  # to the home agent as a correspondent it is as good as any other


def test_nobody_registers_for_another() -> None:
    """RFC 6275 section 5.1: the home address and the association belong together."""
    site = Site(node(), node(OTHER, 0x211))
    assert site.refuses(site.sealed(from_away(binding_update(), OTHER))) == "esp_home_address"
    from_home = IPv6(bytes(IPv6(src=OTHER, dst=HOME_AGENT) / binding_update()))
    assert site.refuses(site.sealed(from_home)) == "esp_home_address"
    without_option = IPv6(bytes(IPv6(src=CARE_OF_ADDRESS, dst=HOME_AGENT) / binding_update()))
    assert site.refuses(site.sealed(without_option)) == "esp_home_address"
    site.gateway.unwrap(site.sealed(from_away(binding_update(), OTHER), index=1))


def test_home_address_option_behind_esp() -> None:
    """Section 6.3: it comes before. One that ESP hides would make the association another mobile node's."""
    site = Site(node(), node(OTHER, 0x211))
    hidden = bytes(IPv6ExtHdrDestOpt(options=[HAO(hoa=OTHER)], nh=135)) + bytes(from_away(binding_update()))[64:]
    from_home = ipv6.build(HOME, OWN, 50, site.octets("binding", 60, hidden))
    assert site.refuses(ipv6.parse(from_home)) == "esp_home_address"
    from_away_with_two = ipv6.build(CARE_OF, OWN, 50, site.octets("binding", 60, hidden), home_address=HOME)
    with pytest.raises(ParseError, match="duplicate_home_address"):
        site.gateway.unwrap(ipv6.parse(from_away_with_two))


@pytest.mark.parametrize(
    ("kind", "upper"),
    [
        ("binding", MIP6MH_HoTI()),
        ("binding", ICMPv6MPSol()),
        ("prefix_discovery", binding_update()),
        ("prefix_discovery", ICMPv6EchoRequest()),
    ],
)
def test_selectors(kind: str, upper: Any) -> None:
    """An association is for its two messages only (RFC 4877 section 5)."""
    site = Site()
    assert site.refuses(site.sealed(from_away(upper), kind)) == "esp_selector"


def test_coarse_selectors() -> None:
    """RFC 3776 section 5.2: all of a protocol; the associations of the IPv6 Ready specifications."""
    site = Site(node(selector="protocol"))
    for kind, upper in (("binding", MIP6MH_HoTI()), ("prefix_discovery", ICMPv6EchoRequest())):
        sent = from_away(upper)
        assert site.gateway.unwrap(site.sealed(sent, kind))[1].packet == bytes(sent)
        assert not site.gateway.admits(parsed(sent))
    assert site.refuses(site.sealed(from_away(binding_update()), "prefix_discovery")) == "esp_selector"


def test_tunnel_mode_is_for_tunnels() -> None:
    site = Site()
    in_transport_mode = site.sealed(from_away(binding_update()), "return_routability")
    assert site.refuses(in_transport_mode) == "esp_selector"
    from_home = IPv6(bytes(IPv6(src=HOME_ADDRESS, dst=HOME_AGENT) / binding_update()))
    assert site.refuses(site.sealed(from_home, "return_routability")) == "esp_selector"
    one = peer(CLASSIC, site.direction("binding", "inbound"), (HOME_ADDRESS, HOME_AGENT))
    assert site.refuses(ipv6.parse(bytes(one.encrypt(hot_init())))) == "esp_selector"
    assert site.refuses(site.tunnelled(hot_init(source=OTHER))) == "esp_home_address"
    other = IPv6(bytes(IPv6(src=HOME_ADDRESS, dst=CORRESPONDENT) / ICMPv6EchoRequest()))
    assert site.refuses(site.tunnelled(other)) == "esp_selector"


def test_hostile_packets() -> None:
    site = Site()
    good = site.sealed(from_away(binding_update()))
    offset = good.upper_offset
    assert site.refuses(ipv6.parse(cut(good.packet, offset + 7))) == "esp_truncated"
    assert site.refuses(ipv6.parse(cut(good.packet, offset + 30))) == "esp_bad_integrity"
    wrong = good.packet[:-1] + bytes((good.packet[-1] ^ 1,))
    assert site.refuses(ipv6.parse(wrong)) == "esp_bad_integrity"
    unknown = good.packet[:offset] + b"\0\0\x09\x99" + good.packet[offset + 4 :]
    assert site.refuses(ipv6.parse(unknown)) == "esp_unknown_spi"


def cut(packet: bytes, length: int) -> bytes:
    return packet[:4] + (length - 40).to_bytes(2, "big") + packet[6:length]


def test_fragment_inside() -> None:
    site = Site()
    fragment = bytes(IPv6ExtHdrFragment(nh=135, offset=0, m=1)) + bytes(8)
    packet = ipv6.build(HOME, OWN, 50, site.octets("binding", 44, fragment))
    assert site.refuses(ipv6.parse(packet)) == "esp_selector"


def test_replays_count_where_the_operator_says_so() -> None:
    counting = association("binding", 0x111, anti_replay=True)
    site = Site({"home_address": HOME_ADDRESS, "associations": [counting]})
    datagram = site.sealed(from_away(binding_update()))
    site.gateway.unwrap(datagram)
    assert site.refuses(datagram) == "esp_replayed"


SITE = Site()


@settings(max_examples=300)
@given(
    st.binary(max_size=120),
    st.sampled_from(["binding", "return_routability"]),
    st.sampled_from([135, 41, 60, 43, 0, 44, 50]),
)
def test_any_octets_under_the_right_keys(octets: bytes, kind: str, next_header: int) -> None:
    """A mobile node that has gone mad brings nothing down."""
    packet = ipv6.build(HOME, OWN, 50, SITE.octets(kind, next_header, octets))
    try:
        found, inner = SITE.gateway.unwrap(ipv6.parse(packet))
    except (Rejected, ParseError):
        return
    assert (inner.home_address or inner.source) == HOME
    assert found.covers_request(inner.upper_protocol, inner.upper)


@given(st.binary(max_size=120))
def test_any_octets_as_esp(octets: bytes) -> None:
    with pytest.raises(Rejected):
        SITE.gateway.unwrap(ipv6.parse(ipv6.build(CARE_OF, OWN, 50, octets, home_address=HOME)))


# --- policy for what comes in clear ---


@pytest.mark.parametrize(
    ("default", "said", "admitted"),
    [("refuse", None, False), ("accept", None, True), ("refuse", "accept", True), ("accept", "refuse", False)],
)
def test_unprotected_signalling(default: str, said: str | None, admitted: bool) -> None:
    more = {"unprotected_signalling": said} if said else {}
    site = Site(node(**more), default=default)
    for upper, counter in ((binding_update(), "binding"), (ICMPv6MPSol(), "prefix_discovery")):
        assert site.gateway.admits(parsed(from_away(upper))) == admitted
        assert site.statistics[f"dropped_unprotected_{counter}"] == (not admitted)
        assert site.gateway.admits(parsed(from_away(upper, OTHER))) == (default == "accept")
    for harmless in (MIP6MH_HoTI(), ICMPv6EchoRequest()):
        assert site.gateway.admits(parsed(from_away(harmless)))


def test_unprotected_home_test_init() -> None:
    site = Site(node(), node(OTHER, 0x211, unprotected_signalling="accept"))
    assert not site.gateway.admits_from_tunnel(parsed(hot_init()))
    assert site.statistics["dropped_unprotected_return_routability"] == 1
    assert site.gateway.admits_from_tunnel(parsed(hot_init(source=OTHER)))
    assert site.gateway.admits_from_tunnel(parsed(IPv6(src=HOME_ADDRESS, dst=CORRESPONDENT) / binding_update()))


def test_authentication_option_instead() -> None:
    """RFC 4285 may stand in for IPsec, but not where IPsec is agreed on; and only for Binding Updates."""
    light = {"spi": 300, "key": "00112233445566778899aabbccddeeff", "mn_id": "mn@example.org"}
    site = Site({"home_address": HOME_ADDRESS, "authentication": light}, node(OTHER, 0x211, authentication=light))
    assert site.gateway.admits(parsed(from_away(binding_update())))
    assert not site.gateway.admits(parsed(from_away(ICMPv6MPSol())))
    assert not site.gateway.admits(parsed(from_away(binding_update(), OTHER)))


# --- what goes out ---


@pytest.mark.parametrize("at_home", [False, True])
def test_acknowledgement_is_wrapped(at_home: bool) -> None:
    """RFC 3776 section 3.1: behind the Type 2 Routing header, if there is one."""
    site, plain = Site(), acknowledgement(at_home)
    wrapped = site.gateway.wrap(plain)
    assert wrapped is not None and wrapped != plain
    seen = IPv6(wrapped)
    assert ESP in seen
    assert (seen.plen, ipv6.parse(wrapped).type2_home_address) == (len(wrapped) - 40, None if at_home else HOME)
    opened = peer(CLASSIC, site.direction("binding", "outbound")).decrypt(seen)
    assert bytes(opened) == plain
    assert MIP6MH_BA in IPv6(bytes(opened))


def test_prefix_advertisement_is_wrapped() -> None:
    site = Site()
    upper = icmpv6.build(MobilePrefixAdvertisement(7), OWN, HOME)
    plain = ipv6.build(OWN, CARE_OF, 58, upper, type2_home_address=HOME)
    wrapped = site.gateway.wrap(plain)
    assert wrapped is not None
    assert bytes(peer(CLASSIC, site.direction("prefix_discovery", "outbound")).decrypt(IPv6(wrapped))) == plain


def test_what_no_selector_fits_leaves_as_it_is() -> None:
    """Binding Errors go to the care-of address, echo replies are not signalling."""
    site = Site()
    error = mh.build(BindingError(1, HOME, ()), OWN, CARE_OF)
    echo = icmpv6.build(EchoReply(1, 1, b""), OWN, HOME)
    for plain in (
        ipv6.build(OWN, CARE_OF, 135, error),
        ipv6.build(OWN, CARE_OF, 58, echo, type2_home_address=HOME),
        ipv6.build(OWN, addresses.parse(OTHER), 135, bytes(16)),
    ):
        assert site.gateway.wrap(plain) == plain
    coarse = Site(node(selector="protocol"))
    wrapped = coarse.gateway.wrap(ipv6.build(OWN, CARE_OF, 58, echo, type2_home_address=HOME))
    assert wrapped is not None and ESP in IPv6(wrapped)


def test_answers_come_as_the_request_came() -> None:
    """Where both are accepted; ESP from then on as soon as it is used once."""
    site, plain = Site(node(unprotected_signalling="accept")), acknowledgement()
    assert site.gateway.admits(parsed(from_away(binding_update())))
    assert site.gateway.wrap(plain) == plain
    site.gateway.unwrap(site.sealed(from_away(binding_update())))
    assert site.gateway.wrap(plain) != plain


def test_home_test_in_the_tunnel() -> None:
    """RFC 3776 section 3.2: from the home agent to the care-of address of now."""
    site = Site()
    found = site.gateway.return_routability(HOME)
    assert found is not None
    sent = bytes(IPv6(src=CORRESPONDENT, dst=HOME_ADDRESS, tc=0xB8) / MIP6MH_HoT(cookie=b"12345678", token=b"abcdefgh"))
    assert found.covers_reply(135, sent[40:])
    outer = site.gateway.wrap_tunnel(found, sent, OWN, CARE_OF)
    assert outer is not None
    seen = IPv6(outer)
    assert (seen.src, seen.dst, seen.nh, seen.tc) == (HOME_AGENT, CARE_OF_ADDRESS, 50, 0xB8)
    one = peer(CLASSIC, site.direction("return_routability", "outbound"), (HOME_AGENT, CARE_OF_ADDRESS))
    assert bytes(one.decrypt(seen)) == sent


def test_used_up_sequence_numbers(caplog: pytest.LogCaptureFixture) -> None:
    """Where the mobile node counts, nothing leaves unprotected either: it does not leave."""
    counting = association("binding", 0x111, anti_replay=True)
    site = Site({"home_address": HOME_ADDRESS, "associations": [counting]})
    loaded = config.parse({"home_links": [LINK], "security": {"mobile_nodes": site.nodes}})
    late = Gateway(loaded.security, bytes, 0xFFFFFFFF, site.statistics)
    assert late.wrap(acknowledgement()) is None
    assert site.statistics["dropped_esp_exhausted"] == 1
    assert "sequence numbers used up" in caplog.text
    assert counting["outbound"]["integrity_key"] not in caplog.text


def test_another_configuration_leaves_the_associations_alone_that_are_in_it_too() -> None:
    site = Site(node(), node(OTHER, 0x211))
    update = from_away(binding_update())
    seen = site.sealed(update)
    site.gateway.unwrap(seen)
    before = site.gateway.unwrap(site.sealed(update))[0]
    assert site.gateway.with_return_routability == {HOME, addresses.parse(OTHER)}
    changed = copy.deepcopy(site.nodes[0])
    changed["associations"][1]["inbound"]["spi"] = 0x999
    loaded = config.parse({"home_links": [LINK], "security": {"mobile_nodes": [changed]}})
    site.gateway.configure(loaded.security, 1_000_000)
    assert site.gateway.with_return_routability == {HOME}
    after = site.gateway.unwrap(site.sealed(update))[0]
    assert after is before  # and with it sequence numbers and replay window
    assert site.refuses(site.sealed(IPv6(src=OTHER, dst=HOME_AGENT) / binding_update(), index=1)) == "esp_unknown_spi"
    site.gateway.configure(config.parse({"home_links": [LINK]}).security, 2_000_000)
    assert not site.gateway.active
