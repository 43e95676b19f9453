"""The configuration file: YAML to frozen dataclasses, checked before anything runs on it.

Each field says how its value is read. Every mistake is a ConfigError with the place in the file and what is
expected there; a key that nobody knows is refused with the nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from deploy.config import access as access_rules
from deploy.config import checks, openflow, source
from deploy.config import reading as read
from deploy.config import rest as rest_api
from deploy.config.inheritance import inherit
from deploy.config.links import (
    DEFAULT_MAX_LIFETIME,
    IPV6_HEADER,
    ROUTE_OPTIMIZATION_HEADER,
    BridgeLinkConfig,
    CorrespondentLinkConfig,
    HomeLinkConfig,
    Lifetime,
)
from deploy.config.mobile_nodes import MobileNodeConfig
from deploy.config.openflow import OpenFlow
from deploy.config.rest import Rest
from mip6core.access import AccessList
from mip6core.errors import ConfigError

__all__ = [
    "IPV6_HEADER",
    "ROUTE_OPTIMIZATION_HEADER",
    "BridgeLinkConfig",
    "Config",
    "ConfigFileError",
    "CorrespondentLinkConfig",
    "HomeLinkConfig",
    "LimitsConfig",
    "OpenFlow",
    "PuntRates",
    "Rest",
    "Security",
    "Store",
    "UplinkLimits",
    "load",
    "parse",
]

CONTROLLERS_OWN: Final = ("rest", "security")  # sections that provisioning has no use for

Rate = Annotated[int, read.integer(1, 1_000_000)]


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
    return_routability: Rate = 10_000  # Mobility Headers to correspondents
    fragments: Rate = 1_000  # by the uplinks; and as many from the link
    unbound: Rate = 1_000  # Home Address options that no binding accepts: each may be worth a Binding Error


@dataclass(frozen=True)
class UplinkLimits:
    """What an uplink lets through to the switch, beside the data of known mobile nodes; signalling as in punt_rates."""

    known_sources: Annotated[int, read.integer(1_000, 10_000_000)] = 131_072  # care-of addresses that are remembered
    new_sources: Rate = 2_000  # sources of tunnel packets a second that nothing is known of


@dataclass(frozen=True)
class LimitsConfig:
    """Bounds on what mobile nodes and strangers can make the application hold or do."""

    max_bindings: Annotated[int, read.integer(1, 10_000_000)] = 100_000
    max_bindings_per_link: Annotated[int | None, read.optional(read.integer(1, 10_000_000))] = None
    max_correspondent_bindings: Annotated[int, read.integer(1, 10_000_000)] = 100_000
    max_lifetime: Lifetime = DEFAULT_MAX_LIFETIME  # of home registrations
    punt_rates: Annotated[PuntRates, read.section(PuntRates)] = PuntRates()
    uplinks: Annotated[UplinkLimits, read.section(UplinkLimits)] = UplinkLimits()


@dataclass(frozen=True)
class Config:
    """The whole file."""

    openflow: Annotated[OpenFlow, read.section(OpenFlow)] = openflow.DEFAULT
    rest: Annotated[Rest, read.section(Rest)] = rest_api.DEFAULT
    store: Annotated[Store, read.section(Store)] = Store()
    security: Annotated[Security, read.section(Security)] = Security()
    limits: Annotated[LimitsConfig, read.section(LimitsConfig)] = LimitsConfig()
    # None: every home address of the home links may register, from everywhere.
    access: Annotated[AccessList | None, access_rules.access] = None
    home_links: Annotated[tuple[HomeLinkConfig, ...], read.several(read.section(HomeLinkConfig))] = ()
    correspondent_links: Annotated[
        tuple[CorrespondentLinkConfig, ...], read.several(read.section(CorrespondentLinkConfig))
    ] = ()

    @property
    def bridge_links(self) -> tuple[BridgeLinkConfig, ...]:
        """The links that a bridge is provisioned for, one for each bridge."""
        own = (link for link in self.correspondent_links if self.home_link_of(link) is None)
        return (*self.home_links, *own)

    def home_link_of(self, link: CorrespondentLinkConfig) -> HomeLinkConfig | None:
        """The home link on whose bridge a correspondent link is."""
        return next((home for home in self.home_links if home.bridge == link.bridge), None)

    def correspondent_link_of(self, home: HomeLinkConfig) -> CorrespondentLinkConfig | None:
        """The correspondent link on a home link's bridge."""
        return next((link for link in self.correspondent_links if link.bridge == home.bridge), None)


class ConfigFileError(ConfigError):
    """A ConfigError with the file and, where it can be told, the line."""

    def __init__(self, file: str | Path, line: int | None, path: str, expected: str) -> None:
        super().__init__(path, expected)
        self.file = str(file)
        self.line = line

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.path, f"expected {self.expected}") if part)


def load(path: str | Path, controller: bool = True) -> Config:
    """Read and check the configuration file. ConfigError, with the line if there is one, if it is wrong.

    Not for the `controller`, what only that needs is left alone: certificates and keys that a machine with nothing but
    switches need not have.
    """
    lines: dict[str, int] = {}
    try:
        return parse(source.read(Path(path).read_text(encoding="utf-8"), lines), controller)
    except OSError as error:
        raise ConfigFileError(path, None, "", f"a readable file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(path, None, "", f"UTF-8 text ({error})") from error
    except ConfigError as error:
        raise ConfigFileError(path, source.line(error.path, lines), error.path, error.expected) from error


def parse(mapping: Mapping[str, Any], controller: bool = True) -> Config:
    """Check what a file holds (the mapping that YAML makes of it), for `load`. ConfigError says where it is wrong."""
    if not controller and isinstance(mapping, Mapping):
        mapping = {key: value for key, value in mapping.items() if key not in CONTROLLERS_OWN}
    config = read.build(Config, inherit(mapping), "")
    if not config.home_links and not config.correspondent_links:
        raise ConfigError("home_links", "at least one home link or correspondent link")
    if (config.openflow.listen, config.openflow.port) == (config.rest.listen, config.rest.port):
        raise ConfigError("rest.port", f"another port than openflow.port, got {config.rest.port} for both")
    rest_api.check(config.rest)
    if controller:
        tls = {"openflow.tls": config.openflow.tls, "rest.tls": config.rest.tls}
        checks.check_files(*((path, section) for path, section in tls.items() if section is not None))
    checks.check_links(config.home_links, config.correspondent_links)
    checks.check_mobile_nodes(config.security.mobile_nodes, config.access, config.home_links)
    return config
