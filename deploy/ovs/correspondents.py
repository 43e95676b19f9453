"""Who is a correspondent behind which uplink: what the wire format adapter converts optimised routes for."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.config import Config, HomeLinkConfig
from deploy.ovs.adapters import bridge_mac
from deploy.ovs.state import State
from mip6core.addresses import Address, Prefix


@dataclass(frozen=True, slots=True)
class Correspondents:
    """Nodes whose packets with a Home Address option (RFC 6275 section 9.3.1) go to a tunnel end point."""

    prefix: Prefix
    end_point: Address  # of the GRE between the adapter and Open vSwitch
    bridge_mac: bytes  # 6 octets: where `end_point` is
    home_agent: bool  # one address, which is a home agent's: what it protects by ESP is signalling


def correspondents(config: Config, state: State) -> dict[str, list[Correspondents]]:
    """The correspondents behind each uplink: hosts of the correspondent links, and each home agent for itself."""
    found: dict[str, list[Correspondents]] = {}
    for link in config.bridge_links:
        mac = bytes.fromhex(bridge_mac(link, state.bridges.get(link.bridge)).replace(":", ""))
        entries = []
        if isinstance(link, HomeLinkConfig):
            entries.append(Correspondents(Prefix(link.address, 128), link.address, mac, True))
        for other in config.correspondent_links:
            if other.bridge == link.bridge:
                entries += [Correspondents(prefix, link.address, mac, False) for prefix in other.prefixes]
        for uplink in link.uplinks:
            found.setdefault(uplink, []).extend(entries)
    return found
