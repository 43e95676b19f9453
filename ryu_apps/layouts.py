"""From the configuration to what the engines and the flows of a link need to know."""

from __future__ import annotations

import logging
from typing import Any

from deploy.config import (
    ROUTE_OPTIMIZATION_HEADER,
    BridgeLinkConfig,
    CorrespondentLinkConfig,
    HomeLinkConfig,
    LimitsConfig,
    Security,
)
from mip6core import addresses
from mip6core.authentication import MobilitySecurityAssociation
from mip6core.correspondent import CorrespondentLimits, CorrespondentLink
from mip6core.home_agent import HomeLink, Limits
from ryu_apps.correspondent_pipeline import CorrespondentLayout
from ryu_apps.flowspec import LOCAL
from ryu_apps.home_pipeline import HomeLayout
from ryu_apps.pipeline import BridgeLayout

LOG = logging.getLogger(__name__)


def limits(config: LimitsConfig) -> Limits:
    return Limits(max_bindings=config.max_bindings, max_bindings_per_link=config.max_bindings_per_link)


def correspondent_limits(config: LimitsConfig) -> CorrespondentLimits:
    return CorrespondentLimits(max_bindings=config.max_correspondent_bindings)


def authentication_associations(config: Security) -> list[MobilitySecurityAssociation]:
    """What mobile nodes share with the home agent for the authentication option."""
    return [
        node.authentication.association(node.home_address)
        for node in config.mobile_nodes
        if node.authentication is not None
    ]


def home_link(config: HomeLinkConfig) -> HomeLink:
    return HomeLink(
        name=config.name,
        address=config.address,
        prefixes=config.prefixes,
        virtual=config.virtual,
        max_lifetime=config.max_lifetime,
        reserved=frozenset({config.router}),
        router_advertisement=config.router_advertisement,
        mobile_prefix=config.mobile_prefix,
    )


def correspondent_link(config: CorrespondentLinkConfig) -> CorrespondentLink:
    return CorrespondentLink(
        name=config.name,
        address=config.address,
        prefixes=config.prefixes,
        max_lifetime=config.max_lifetime,
        reserved=frozenset({config.router}),
    )


def bridge_layout(
    config: BridgeLinkConfig, correspondents: CorrespondentLinkConfig | None, datapath: Any
) -> BridgeLayout | None:
    """The links on a bridge's ports, or None (and one log line) while a port is missing.

    `config` is of the link that says where the bridge is; `correspondents` are on it.
    """
    numbers = {port.name.decode(errors="replace"): port.port_no for port in datapath.ports.values()}
    wanted = (config.tunnel_port, *config.underlay_ports)
    missing = [name for name in wanted if name not in numbers]
    if missing or LOCAL not in datapath.ports:
        LOG.error("ports missing link=%s bridge=%s ports=%s", config.name, config.bridge, ",".join(missing))
        return None
    prefixes = config.link_prefixes if correspondents is None else config.link_prefixes + correspondents.prefixes
    return BridgeLayout(
        address=addresses.text(config.address),
        link_layer_address=datapath.ports[LOCAL].hw_addr,
        on_link=tuple(dict.fromkeys(map(str, prefixes))),
        tunnel_port=numbers[config.tunnel_port],
        uplink_ports=tuple(numbers[name] for name in config.underlay_ports),
        next_table=config.next_table,
        route_mtu=config.link_mtu - ROUTE_OPTIMIZATION_HEADER,
    )


def home_layout(config: HomeLinkConfig, ipsec: bool) -> HomeLayout:
    """`ipsec`: mobile nodes have associations."""
    return HomeLayout(
        prefixes=tuple(map(str, config.link_prefixes)),
        tunnel_mtu=config.tunnel_mtu,
        ipsec=ipsec,
        advertises=config.router_advertisement.enabled and not config.virtual,
        virtual=config.virtual,
    )


def correspondent_layout(config: CorrespondentLinkConfig, on: BridgeLinkConfig) -> CorrespondentLayout:
    """`on` is the link whose bridge it is."""
    home = on.link_prefixes if isinstance(on, HomeLinkConfig) else ()
    return CorrespondentLayout(tuple(map(str, config.prefixes)), tuple(map(str, home)))
