"""The configuration file: YAML to frozen dataclasses, checked before anything runs on it.

Each field says how its value is read. Every mistake is a ConfigError with the place in the file and what is
expected there; a key that nobody knows is refused with the nearest known one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final

from deploy.config import access as access_rules
from deploy.config import associations, discovery, source
from deploy.config import reading as read
from deploy.config.mobile_nodes import MobileNodeConfig
from mip6core import addresses
from mip6core.access import AccessList
from mip6core.addresses import Address, Prefix
from mip6core.errors import ConfigError
from mip6core.home_link import HomePrefix, MobilePrefixSettings, RouterAdvertisementSettings

MAX_LIFETIME: Final = 0xFFFF * 4  # seconds: a 16-bit field in units of 4 s (RFC 6275 section 6.1.7)
MIN_MTU: Final = 1280  # RFC 8200 section 5
IPV6_HEADER: Final = 40  # octets

# Seconds. The longest that the protocol can say (a multiple of 4) and that fits a flow's 16-bit hard timeout:
# the flows of a binding end by themselves if the controller does.
DEFAULT_MAX_LIFETIME: Final = 65_532

Port = Annotated[int, read.integer(1, 65_535)]
Rate = Annotated[int, read.integer(1, 1_000_000)]
Lifetime = Annotated[int, read.integer(4, MAX_LIFETIME, "seconds")]


@dataclass(frozen=True)
class OpenFlow:
    """Where switches find the controller."""

    listen: Annotated[str, read.listen] = "127.0.0.1"
    port: Port = 6653


@dataclass(frozen=True)
class Rest:
    """Where the REST API is served. It asks nobody who he is: loopback unless the operator says otherwise."""

    listen: Annotated[str, read.listen] = "127.0.0.1"
    port: Port = 8080


@dataclass(frozen=True)
class Store:
    """Where bindings survive a restart; nothing to configure yet."""


@dataclass(frozen=True)
class Security:
    """What the home agent believes. RFC 6275 section 5.1 wants IPsec between mobile node and home agent."""

    # Whether Binding Updates and Mobile Prefix Solicitations count that nothing has protected.
    unprotected_signalling: Annotated[str, read.choice("accept", "refuse")] = "refuse"
    mobile_nodes: Annotated[tuple[MobileNodeConfig, ...], read.several(read.section(MobileNodeConfig))] = ()


@dataclass(frozen=True)
class PuntRates:
    """Packets a second that one switch may hand to the controller, by kind: the meters of the punt flows."""

    signalling: Rate = 10_000
    neighbor_discovery: Rate = 1_000
    tunnel_errors: Rate = 100
    esp: Rate = 10_000  # protected signalling; and as many packets of return routability, each way
    discovery: Rate = 1_000  # requests about home agents and prefixes; and as many Router Advertisements


@dataclass(frozen=True)
class LimitsConfig:
    """Bounds on what mobile nodes and strangers can make the application hold or do."""

    max_bindings: Annotated[int, read.integer(1, 10_000_000)] = 100_000
    max_bindings_per_link: Annotated[int | None, read.optional(read.integer(1, 10_000_000))] = None
    max_lifetime: Lifetime = DEFAULT_MAX_LIFETIME
    punt_rates: Annotated[PuntRates, read.section(PuntRates)] = PuntRates()


@dataclass(frozen=True)
class HomePrefixConfig:
    """The long form of an entry of `prefixes`; lifetimes in seconds (RFC 4861 section 6.2.1)."""

    prefix: Annotated[Prefix, read.prefix]
    valid_lifetime: Annotated[float, read.prefix_lifetime] = math.inf
    preferred_lifetime: Annotated[float, read.prefix_lifetime] = math.inf


def home_prefix(value: Any, path: str) -> HomePrefix:
    """A home prefix as a text, or as a section with its lifetimes."""
    if not isinstance(value, Mapping):
        return HomePrefix(read.prefix(value, path))
    given = read.build(HomePrefixConfig, value, path)
    if given.preferred_lifetime > given.valid_lifetime:  # RFC 4861 section 4.6.2
        raise read.wrong(f"{path}.preferred_lifetime", "at most valid_lifetime", given.preferred_lifetime)
    return HomePrefix(given.prefix, given.valid_lifetime, given.preferred_lifetime)


@dataclass(frozen=True)
class HomeLinkConfig:
    """A home link: an Open vSwitch bridge with home prefixes, and the home agent's place on it."""

    name: Annotated[str, read.name]
    bridge: Annotated[str, read.device]
    address: Annotated[Address, read.address]  # the home agent's
    prefixes: Annotated[tuple[HomePrefix, ...], read.several(home_prefix, least=1)]
    router: Annotated[Address, read.next_hop]  # next hop towards everything off the link
    # Devices that carry tunnelled packets.
    uplinks: Annotated[tuple[str, ...], read.several(read.device, least=1)]
    # The two-bridge layout: uplinks are ports of this bridge, and a patch pair leads from it to `bridge`.
    uplink_bridge: Annotated[str | None, read.optional(read.device)] = None
    # None: the datapath is known by the bridge's name.
    datapath_id: Annotated[int | None, read.optional(read.datapath_id)] = None
    virtual: Annotated[bool, read.flag] = False  # prefixes without a link: every mobile node is away
    max_lifetime: Lifetime = DEFAULT_MAX_LIFETIME  # where the file does not say: that of `limits`
    # The operator's table for traffic that is not ours; None: NORMAL.
    next_table: Annotated[int | None, read.optional(read.integer(1, 253))] = None
    tunnel_port: Annotated[str, read.device] = ""  # "": derived from the bridge's name
    # The largest packet inside the tunnel.
    tunnel_mtu: Annotated[int, read.integer(MIN_MTU, 65_535 - IPV6_HEADER, "octets")] = 1460
    router_advertisement: Annotated[RouterAdvertisementSettings, discovery.router_advertisement] = (
        discovery.NO_ADVERTISEMENTS
    )
    mobile_prefix: Annotated[MobilePrefixSettings, discovery.mobile_prefix] = discovery.PREFIX_DISCOVERY

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
        """The ports of `bridge` through which tunnelled packets leave and arrive."""
        return self.uplinks if self.patch_ports is None else self.patch_ports[:1]

    @property
    def own_prefix(self) -> Prefix:
        """The prefix on the link that the home agent's own address is in."""
        for entry in self.prefixes:
            if entry.prefix.contains(self.address):
                return entry.prefix
        # The home agent of a virtual link may be on any other one; RFC 4291 section 2.5.4: 64 bits of subnet prefix.
        return Prefix(self.address[:8] + bytes(8), 64)


@dataclass(frozen=True)
class CorrespondentLinkConfig:
    """A link whose hosts are served as correspondents."""

    name: Annotated[str, read.name]
    bridge: Annotated[str, read.device]
    address: Annotated[Address, read.address]  # the bridge's tunnel end point
    prefixes: Annotated[tuple[Prefix, ...], read.several(read.prefix, least=1)]
    uplinks: Annotated[tuple[str, ...], read.several(read.device, least=1)]
    datapath_id: Annotated[int | None, read.optional(read.datapath_id)] = None


@dataclass(frozen=True)
class Config:
    """The whole file."""

    openflow: Annotated[OpenFlow, read.section(OpenFlow)] = OpenFlow()
    rest: Annotated[Rest, read.section(Rest)] = Rest()
    store: Annotated[Store, read.section(Store)] = Store()
    # A file that says nothing of security is one to try things out with: everything is accepted, and the log warns.
    security: Annotated[Security, read.section(Security)] = Security(unprotected_signalling="accept")
    limits: Annotated[LimitsConfig, read.section(LimitsConfig)] = LimitsConfig()
    # None: every home address of the home links may register, from everywhere.
    access: Annotated[AccessList | None, access_rules.access] = None
    home_links: Annotated[tuple[HomeLinkConfig, ...], read.several(read.section(HomeLinkConfig))] = ()
    correspondent_links: Annotated[
        tuple[CorrespondentLinkConfig, ...], read.several(read.section(CorrespondentLinkConfig))
    ] = ()


def derived_name(prefix: str, bridge: str) -> str:
    """A port name made of a bridge's; where that gets too long, a checksum takes the place of its end."""
    name = prefix + bridge
    if len(name) <= read.MAX_DEVICE_NAME:
        return name
    return f"{name[: read.MAX_DEVICE_NAME - 4]}{zlib.crc32(bridge.encode()) & 0xFFFF:04x}"


class ConfigFileError(ConfigError):
    """A ConfigError with the file and, where it can be told, the line."""

    def __init__(self, file: str | Path, line: int | None, path: str, expected: str) -> None:
        super().__init__(path, expected)
        self.file = str(file)
        self.line = line

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.path, f"expected {self.expected}") if part)


def load(path: str | Path) -> Config:
    """Read and check the configuration file. ConfigError, with the line if there is one, if it is wrong."""
    lines: dict[str, int] = {}
    try:
        return parse(source.read(Path(path).read_text(encoding="utf-8"), lines))
    except OSError as error:
        raise ConfigFileError(path, None, "", f"a readable file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(path, None, "", f"UTF-8 text ({error})") from error
    except ConfigError as error:
        raise ConfigFileError(path, source.line(error.path, lines), error.path, error.expected) from error


def parse(mapping: Mapping[str, Any]) -> Config:
    """Check what a file holds (the mapping that YAML makes of it). ConfigError says where it is wrong."""
    config = read.build(Config, _inherit_lifetime(mapping), "")
    if not config.home_links and not config.correspondent_links:
        raise ConfigError("home_links", "at least one home link or correspondent link")
    if (config.openflow.listen, config.openflow.port) == (config.rest.listen, config.rest.port):
        raise ConfigError("rest.port", f"another port than openflow.port, got {config.rest.port} for both")
    for index, link in enumerate(config.home_links):
        _check_home_link(link, f"home_links[{index}]")
    for index, correspondent in enumerate(config.correspondent_links):
        if correspondent.bridge in correspondent.uplinks:
            raise ConfigError(f"correspondent_links[{index}].uplinks", "devices other than the bridge")
    claims = ("name", "bridge", "address", "datapath_id")
    _check_claims("home_links", config.home_links, *claims, "tunnel_port")
    _check_claims("correspondent_links", config.correspondent_links, *claims)
    _check_home_links_apart(config.home_links)
    _check_mobile_nodes(config)
    return config


def _inherit_lifetime(mapping: Any) -> Any:
    """A home link without `max_lifetime` has that of `limits`; wrong forms are left to the checks."""
    try:
        inherited = {"max_lifetime": mapping["limits"]["max_lifetime"]}
        return {**mapping, "home_links": [{**inherited, **link} for link in mapping["home_links"]]}
    except (KeyError, TypeError):
        return mapping


def _check_home_link(link: HomeLinkConfig, path: str) -> None:
    prefixes = [entry.prefix for entry in link.prefixes]
    if not link.virtual and link.own_prefix not in prefixes:
        raise ConfigError(f"{path}.address", "an address inside one of the link's prefixes")
    if not addresses.is_link_local(link.router) and not link.own_prefix.contains(link.router):
        raise ConfigError(f"{path}.router", f"an address in {link.own_prefix}, where `address` is, or link-local")
    if link.router == link.address:
        raise ConfigError(f"{path}.router", "another address than the home agent's own")
    if link.virtual and link.router_advertisement.enabled:
        raise ConfigError(f"{path}.router_advertisement.enabled", "false: a virtual link has no hosts to advertise to")
    if link.uplink_bridge == link.bridge:
        raise ConfigError(f"{path}.uplink_bridge", "another bridge, or no such key: uplinks are on `bridge`")
    made_here = [link.bridge, link.uplink_bridge, link.tunnel_port, *(link.patch_ports or ())]
    for index, uplink in enumerate(link.uplinks):
        if uplink in made_here:
            raise ConfigError(f"{path}.uplinks[{index}]", f"another device than {uplink}, which is made here")
    for (i, first), (j, second) in combinations(enumerate(prefixes), 2):
        if _overlap(first, second):
            raise ConfigError(f"{path}.prefixes[{j}]", f"no overlap with prefixes[{i}] ({first})")


def _check_claims(kind: str, links: tuple[Any, ...], *keys: str) -> None:
    """Each link of a kind has its own value for each of these keys."""
    taken: dict[tuple[str, Hashable], int] = {}
    for index, link in enumerate(links):
        for key in keys:
            value = getattr(link, key)
            if value is not None and (earlier := taken.setdefault((key, value), index)) != index:
                raise ConfigError(f"{kind}[{index}].{key}", f"another {key} than that of {kind}[{earlier}]")


def _check_home_links_apart(links: tuple[HomeLinkConfig, ...]) -> None:
    """A device is a port of one bridge, and a home address belongs to one home link."""
    for (i, first), (j, second) in combinations(enumerate(links), 2):
        bridges = (first.uplink_bridge or first.bridge, second.uplink_bridge or second.bridge)
        for index, uplink in enumerate(second.uplinks):
            if uplink in first.uplinks and bridges[0] != bridges[1]:
                place = f"home_links[{j}].uplinks[{index}]"
                raise ConfigError(place, f"a device that is not an uplink of home_links[{i}]")
        for index, entry in enumerate(second.prefixes):
            for other in first.prefixes:
                if _overlap(entry.prefix, other.prefix):
                    place = f"home_links[{j}].prefixes[{index}]"
                    raise ConfigError(place, f"no overlap with {other.prefix} of home_links[{i}]")


def _check_mobile_nodes(config: Config) -> None:
    """What is said of a home address would not count if no home link had it."""
    served = [entry.prefix for link in config.home_links for entry in link.prefixes]
    _check_claims("security.mobile_nodes", config.security.mobile_nodes, "home_address")
    for index, node in enumerate(config.security.mobile_nodes):
        if not any(prefix.contains(node.home_address) for prefix in served):
            raise ConfigError(f"security.mobile_nodes[{index}].home_address", "an address in a prefix of a home link")
    associations.check_apart([node.all_associations for node in config.security.mobile_nodes], "security.mobile_nodes")
    access_rules.check_served(config.access, served)


def _overlap(first: Prefix, second: Prefix) -> bool:
    return first.contains(second.network) or second.contains(first.network)
