"""Nothing that the home agent sends is longer than the minimum MTU: no path has to fragment it (RFC 8200 section 5)."""

from __future__ import annotations

import pytest

from deploy import config
from mip6core.addresses import Prefix
from mip6core.errors import ConfigError
from mip6core.home_agent import HomePrefix
from mip6core.home_link import MAX_PREFIXES
from tests.unit.discovery.link import Link, link
from tests.unit.engine.shell import home_link

MINIMUM_MTU = 1280
# AES-CBC with HMAC-SHA-512-256: SPI and sequence number, initialization vector, padding, trailer, ICV (RFC 4303)
ESP = 8 + 16 + 15 + 2 + 32


def prefixes(count: int) -> tuple[HomePrefix, ...]:
    return tuple(HomePrefix(Prefix.parse(f"2001:db8:{n:x}::/64")) for n in range(1, count + 1))


def test_advertisements_of_as_many_prefixes_as_there_can_be() -> None:
    shell = Link(link(advertise={"enabled": True}, prefixes=prefixes(MAX_PREFIXES)))
    shell.ha.link_up(shell.link, shell.now)
    shell.bind()
    shell.advance(20)
    shell.solicit()
    for kind in ("RA", "MPA"):
        found = shell.of_kind(kind)
        assert found
        assert all(len(one.prefixes) == MAX_PREFIXES and one.size + ESP <= MINIMUM_MTU for one in found)


def test_more_prefixes_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 32"):
        home_link(prefixes=prefixes(MAX_PREFIXES + 1))
    shell = Link()
    with pytest.raises(ValueError, match="more than 32"):
        shell.ha.set_prefixes(shell.link, prefixes(MAX_PREFIXES + 1), shell.now)
    assert len(shell.link.prefixes) == 1
    given = {
        "name": "homenet",
        "bridge": "br-home",
        "address": "2001:db8:1::2",
        "prefixes": [str(entry.prefix) for entry in prefixes(MAX_PREFIXES + 1)],
        "router": "2001:db8:1::1",
        "uplinks": ["eth1"],
    }
    with pytest.raises(ConfigError, match=r"home_links\[0\].prefixes: expected at most 32 entries, got 33"):
        config.parse({"home_links": [given]})
    config.parse({"home_links": [{**given, "prefixes": given["prefixes"][:-1]}]})
