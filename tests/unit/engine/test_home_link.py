"""Addresses that are nobody's home address, and lifetimes of prefixes."""

from __future__ import annotations

import math

import pytest

from mip6core.addresses import Prefix
from mip6core.home_link import HomePrefix, eui64_link_local, is_subnet_anycast
from tests.unit.engine.wire import address


@pytest.mark.parametrize(
    ("text", "prefix", "anycast"),
    [
        ("2001:db8::", "2001:db8::/64", True),  # RFC 4291 2.6.1
        ("2001:db8::1", "2001:db8::/64", False),
        ("2001:db8::fdff:ffff:ffff:fffe", "2001:db8::/64", True),  # RFC 2526: Mobile IPv6 Home-Agents
        ("2001:db8::fdff:ffff:ffff:ff80", "2001:db8::/64", True),
        ("2001:db8::fdff:ffff:ffff:ff7f", "2001:db8::/64", False),
        ("2001:db8::ffff:ffff:ffff:fffe", "2001:db8::/64", False),  # the universal/local bit is set
        ("2001:db8::ffff:fffe", "2001:db8::/96", True),  # other lengths: all ones but the last 7 bits
        ("2001:db8::fdff:fffe", "2001:db8::/96", False),
        ("2001:db8:0:ffff:ffff:ffff:ffff:ffff", "2001:db8::/48", True),
        ("2001:db8::7f", "2001:db8::/122", False),
        ("2001:db8::1", "2001:db8::1/128", False),
    ],
)
def test_anycast_addresses_of_a_subnet(text: str, prefix: str, anycast: bool) -> None:
    assert is_subnet_anycast(address(text), Prefix.parse(prefix)) is anycast


def test_link_local_address_of_an_ethernet_address() -> None:
    """The example of RFC 2464 section 4."""
    assert eui64_link_local(bytes.fromhex("34567890abcd")) == address("fe80::3656:78ff:fe90:abcd")


def test_prefix_lifetimes_run_down_only_from_a_given_moment() -> None:
    prefix = Prefix.parse("2001:db8::/64")
    steady = HomePrefix(prefix, 100.0)
    ending = HomePrefix(prefix, 100.0, since=1000.0)
    assert steady.remaining(100.0, 1e9) == 100.0
    assert ending.remaining(100.0, 1030.0) == 70.0
    assert (ending.remaining_units(100.0, 1030.0), ending.remaining_units(100.0, 2000.0)) == (17, 0)
    assert HomePrefix(prefix, since=0.0).remaining_units(math.inf, 1e9) == math.inf
