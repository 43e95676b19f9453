"""Addresses and prefixes against the standard library's ipaddress and the RFCs' examples."""

from __future__ import annotations

import ipaddress
import random

import pytest

from mip6core import addresses
from mip6core.addresses import Prefix

SAMPLES = [
    "::",
    "::1",
    "::ffff:192.0.2.1",
    "64:ff9b::c000:201",
    "2001:db8::",
    "2001:db8:0:0:1:0:0:1",
    "2001:db8:100::10",
    "fc00::1",
    "fdff:ffff::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
    "3ffe::1",
]


@pytest.mark.parametrize("text", SAMPLES)
def test_classes_are_those_of_ipaddress(text: str) -> None:
    address = addresses.parse(text)
    reference = ipaddress.IPv6Address(text)
    assert address == reference.packed
    assert addresses.is_multicast(address) == reference.is_multicast
    assert addresses.is_link_local(address) == reference.is_link_local
    assert addresses.is_unspecified(address) == reference.is_unspecified
    assert addresses.is_loopback(address) == reference.is_loopback
    routable = not (
        reference.is_multicast
        or reference.is_link_local
        or reference.is_site_local
        or reference.is_unspecified
        or reference.is_loopback
        or reference.ipv4_mapped
    )
    assert addresses.is_unicast_routable(address) == routable


def test_ipv4_compatible_addresses_are_not_routable() -> None:
    assert not addresses.is_unicast_routable(addresses.parse("::192.0.2.1"))  # RFC 4291 section 2.5.5.1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),  # RFC 5952 section 4.2.3: the first of two equal runs
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),  # 4.2.2: one field of zero stays
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("::ffff:c000:201", "::ffff:192.0.2.1"),  # 5: mixed notation for a well-known prefix
        ("0:0:0:0:0:0:0:0", "::"),
    ],
)
def test_text_is_that_of_rfc_5952(text: str, expected: str) -> None:
    assert addresses.text(addresses.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "2001:db8::/64", "192.0.2.1", "fe80::1%eth0", "2001:db8::g", "::1 "])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        addresses.parse(text)


def test_derived_addresses() -> None:
    address = addresses.parse("4037::1:800:200e:8c6c")
    group = addresses.solicited_node(address)
    assert addresses.text(group) == "ff02::1:ff0e:8c6c"  # the example of RFC 4291 section 2.7.1
    assert addresses.multicast_mac(group).hex(":") == "33:33:ff:0e:8c:6c"
    assert addresses.text(addresses.link_local(address)) == "fe80::1:800:200e:8c6c"
    assert addresses.text(addresses.ALL_NODES) == "ff02::1"
    assert addresses.text(addresses.ALL_ROUTERS) == "ff02::2"
    assert addresses.text(addresses.UNSPECIFIED) == "::"


class TestPrefix:
    @pytest.mark.parametrize("length", range(129))
    def test_contains_as_ipaddress(self, length: int) -> None:
        chance = random.Random(length)
        network = ipaddress.IPv6Network((chance.randbytes(16), length), strict=False)
        prefix = Prefix.parse(str(network))
        assert (prefix.network, prefix.length) == (network.network_address.packed, length)
        first = int(network.network_address)
        for candidate in (first, first + network.num_addresses - 1, first + network.num_addresses, first - 1):
            address = (candidate % 2**128).to_bytes(16, "big")
            assert prefix.contains(address) == (ipaddress.IPv6Address(address) in network)

    def test_text_and_equality(self) -> None:
        prefix = Prefix.parse("2001:DB8:0:0::/32")
        assert str(prefix) == "2001:db8::/32"
        assert prefix == Prefix(addresses.parse("2001:db8::"), 32)
        assert {prefix: 1}[Prefix.parse("2001:db8::/32")] == 1
        assert prefix != Prefix.parse("2001:db8::/33")

    @pytest.mark.parametrize(
        "text",
        [
            "2001:db8::",
            "2001:db8::/",
            "2001:db8::/129",
            "2001:db8::/-1",
            "2001:db8::/+64",
            "2001:db8::/\u0666",  # a digit, but not an ASCII one
            "/64",
            "2001:db8::1/64",
            "2001:db8::/64/64",
            "192.0.2.0/24",
        ],
    )
    def test_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError):
            Prefix.parse(text)
