"""The sections `home_links` and `correspondent_links`: Open vSwitch bridges and what is at them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from deploy.config import discovery
from deploy.config import reading as read
from mip6core.addresses import Address, Prefix
from mip6core.constants import LIFETIME_UNIT, MAX_RR_BINDING_LIFETIME
from mip6core.home_link import MAX_PREFIXES, HomePrefix, MobilePrefixSettings, RouterAdvertisementSettings

MAX_LIFETIME: Final = 0xFFFF * LIFETIME_UNIT  # seconds: a 16-bit field (RFC 6275 section 6.1.7)
MIN_MTU: Final = 1280  # RFC 8200 section 5
MAX_MTU: Final = 65_535
IPV6_HEADER: Final = 40  # octets
ROUTE_OPTIMIZATION_HEADER: Final = 24  # octets: a type 2 routing header, or a Home Address option in its header

FIRST_FREE_TABLE: Final = 64  # OpenFlow tables below are the application's (ryu_apps.pipeline)

# Seconds. The longest that the protocol can say (a multiple of 4) and that fits a flow's 16-bit hard timeout:
# the flows of a binding end by themselves if the controller does.
DEFAULT_MAX_LIFETIME: Final = 65_532

Lifetime = Annotated[int, read.integer(LIFETIME_UNIT, MAX_LIFETIME, "seconds")]


@dataclass(frozen=True, kw_only=True)
class BridgeLinkConfig:
    """What home links and correspondent links have in common: a bridge, and the application's place on its link."""

    name: Annotated[str, read.name]
    bridge: Annotated[str, read.device]
    address: Annotated[Address, read.address]  # the bridge's own on the link, and the tunnels' end point
    router: Annotated[Address, read.next_hop]  # next hop towards everything off the link
    # Devices by which mobile nodes' packets come and go.
    uplinks: Annotated[tuple[str, ...], read.several(read.device, least=1)]
    # The two-bridge layout: uplinks are ports of this bridge, and a patch pair leads from it to `bridge`.
    uplink_bridge: Annotated[str | None, read.optional(read.device)] = None
    # None: the datapath is known by the bridge's name.
    datapath_id: Annotated[int | None, read.optional(read.datapath_id)] = None
    # The operator's table for traffic that is not ours, beyond the application's own tables; None: NORMAL.
    next_table: Annotated[int | None, read.optional(read.integer(FIRST_FREE_TABLE, 253))] = None
    tunnel_port: Annotated[str, read.device] = ""  # "": derived from the bridge's name

    def __post_init__(self) -> None:
        if not self.tunnel_port:
            object.__setattr__(self, "tunnel_port", derived_name("mip6-", self.bridge))

    @property
    def patch_ports(self) -> tuple[str, str] | None:
        """The patch pair of the two-bridge layout: the port of `bridge`, the port of `uplink_bridge`."""
        if self.uplink_bridge is None:
            return None
        return derived_name("mip6u-", self.bridge), derived_name("mip6d-", self.bridge)

    @property
    def underlay_ports(self) -> tuple[str, ...]:
        """The ports of `bridge` through which mobile nodes' packets leave and arrive."""
        return self.uplinks if self.patch_ports is None else self.patch_ports[:1]

    @property
    def link_prefixes(self) -> tuple[Prefix, ...]:
        """The prefixes of the link."""
        raise NotImplementedError

    @property
    def link_mtu(self) -> int:
        """The longest packet, in octets, that the uplinks must carry on the wire."""
        raise NotImplementedError

    @property
    def own_prefix(self) -> Prefix:
        """The prefix on the link that the bridge's own address is in."""
        for prefix in self.link_prefixes:
            if prefix.contains(self.address):
                return prefix
        # The home agent of a virtual link may be on any other one; RFC 4291 section 2.5.4: 64 bits of subnet prefix.
        return Prefix(self.address[:8] + bytes(8), 64)


@dataclass(frozen=True)
class HomePrefixConfig:
    """The long form of an entry of `prefixes`; lifetimes in seconds (RFC 4861 section 6.2.1)."""

    prefix: Annotated[Prefix, read.prefix]
    valid_lifetime: Annotated[float, read.prefix_lifetime] = math.inf
    preferred_lifetime: Annotated[float, read.prefix_lifetime] = math.inf


def _show_home_prefix(home_prefix: HomePrefix) -> Any:
    if home_prefix.valid_lifetime == home_prefix.preferred_lifetime == math.inf:
        return str(home_prefix.prefix)
    return read.shown(HomePrefixConfig(home_prefix.prefix, home_prefix.valid_lifetime, home_prefix.preferred_lifetime))


@read.takes(lambda: {"anyOf": [dict(read.PREFIX), read.section_schema(HomePrefixConfig)]}, _show_home_prefix)
def home_prefix(value: Any, path: str) -> HomePrefix:
    """A home prefix as a text, or as a section with its lifetimes."""
    if not isinstance(value, Mapping):
        return HomePrefix(read.prefix(value, path))
    given = read.build(HomePrefixConfig, value, path)
    if given.preferred_lifetime > given.valid_lifetime:  # RFC 4861 section 4.6.2
        raise read.wrong(f"{path}.preferred_lifetime", "at most valid_lifetime", given.preferred_lifetime)
    return HomePrefix(given.prefix, given.valid_lifetime, given.preferred_lifetime)


@dataclass(frozen=True, kw_only=True)
class HomeLinkConfig(BridgeLinkConfig):
    """A home link: an Open vSwitch bridge with home prefixes; `address` is the home agent's."""

    prefixes: Annotated[tuple[HomePrefix, ...], read.several(home_prefix, least=1, most=MAX_PREFIXES)]
    virtual: Annotated[bool, read.flag] = False  # prefixes without a link: every mobile node is away
    max_lifetime: Lifetime = DEFAULT_MAX_LIFETIME  # where the file does not say: that of `limits`
    # The largest packet inside the tunnel.
    tunnel_mtu: Annotated[int, read.integer(MIN_MTU, MAX_MTU - IPV6_HEADER, "octets")] = 1460
    router_advertisement: Annotated[RouterAdvertisementSettings, discovery.router_advertisement] = (
        discovery.NO_ADVERTISEMENTS
    )
    mobile_prefix: Annotated[MobilePrefixSettings, discovery.mobile_prefix] = discovery.PREFIX_DISCOVERY

    @property
    def link_prefixes(self) -> tuple[Prefix, ...]:
        return tuple(entry.prefix for entry in self.prefixes)

    @property
    def link_mtu(self) -> int:
        return self.tunnel_mtu + IPV6_HEADER


@dataclass(frozen=True, kw_only=True)
class CorrespondentLinkConfig(BridgeLinkConfig):
    """A link whose hosts are correspondents without knowing: the bridge they are behind optimises their routes.

    The bridge may be a home link's. Then everything about bridge and uplinks is as the home link says.
    """

    prefixes: Annotated[tuple[Prefix, ...], read.several(read.prefix, least=1)]  # of the correspondents
    # Of the link; hosts' packets get a routing header on top. On a home link's bridge: tunnel_mtu and an IPv6 header.
    mtu: Annotated[int, read.integer(MIN_MTU + ROUTE_OPTIMIZATION_HEADER, MAX_MTU, "octets")] = 1500
    max_lifetime: Annotated[int, read.integer(LIFETIME_UNIT, MAX_RR_BINDING_LIFETIME, "seconds")] = (
        MAX_RR_BINDING_LIFETIME
    )

    @property
    def link_prefixes(self) -> tuple[Prefix, ...]:
        return self.prefixes

    @property
    def link_mtu(self) -> int:
        return self.mtu


def derived_name(prefix: str, bridge: str) -> str:
    """A port name made of a bridge's; where that gets too long, a checksum takes the place of its end."""
    name = prefix + bridge
    if len(name) <= read.MAX_DEVICE_NAME:
        return name
    return f"{name[: read.MAX_DEVICE_NAME - 4]}{zlib.crc32(bridge.encode()) & 0xFFFF:04x}"
