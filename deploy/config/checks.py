"""What must hold between the values of the file: links that contradict themselves or each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from deploy.config import access as access_rules
from deploy.config import associations
from deploy.config.links import BridgeLinkConfig, CorrespondentLinkConfig, HomeLinkConfig
from deploy.config.mobile_nodes import MobileNodeConfig
from mip6core import addresses
from mip6core.access import AccessList
from mip6core.addresses import Prefix
from mip6core.errors import ConfigError

Place = tuple[str, Any]  # the path of an entry in the file, and the entry


def check_links(home_links: Sequence[HomeLinkConfig], correspondent_links: Sequence[CorrespondentLinkConfig]) -> None:
    """ConfigError for the first contradiction in or between links."""
    homes: list[Place] = [(f"home_links[{index}]", link) for index, link in enumerate(home_links)]
    places: list[Place] = [(f"correspondent_links[{index}]", link) for index, link in enumerate(correspondent_links)]
    for path, link in homes:
        _check_home_link(path, link)
    check_claims([*homes, *places], "name")
    check_claims(places, "bridge")
    bridges = {link.bridge: link for link in home_links}
    for path, link in places:
        if (home := bridges.get(link.bridge)) is not None:
            _check_on_home_link(path, link, home)
    own = [*homes, *((path, link) for path, link in places if link.bridge not in bridges)]
    for path, link in own[len(homes) :]:
        _check_bridge_link(path, link)
    check_claims(own, "bridge", "address", "datapath_id", "tunnel_port")
    for one, other in combinations(own, 2):
        _check_uplinks_apart(one, other)
    for one, other in combinations([*homes, *places], 2):
        if one[1].bridge != other[1].bridge:
            _check_prefixes_apart(one, other)


def check_files(*sections: Place) -> None:
    """ConfigError for the first value of these sections that is no file which this process can read."""
    for path, section in sections:
        for key, name in vars(section).items():
            if name is None:
                continue
            try:
                with Path(name).open("rb"):
                    pass
            except OSError as error:
                raise ConfigError(f"{path}.{key}", f"a readable file ({name}: {error.strerror})") from None


def check_claims(places: Sequence[Place], *keys: str) -> None:
    """Each entry has its own value for each of these keys."""
    taken: dict[tuple[str, Hashable], str] = {}
    for path, entry in places:
        for key in keys:
            value = getattr(entry, key)
            if value is not None and (earlier := taken.setdefault((key, value), path)) != path:
                raise ConfigError(f"{path}.{key}", f"another {key} than that of {earlier}")


def check_mobile_nodes(
    nodes: Sequence[MobileNodeConfig], access_list: AccessList | None, home_links: Sequence[HomeLinkConfig]
) -> None:
    """What is said of a home address would not count if no home link had it."""
    served = [prefix for link in home_links for prefix in link.link_prefixes]
    places = [(f"security.mobile_nodes[{index}]", node) for index, node in enumerate(nodes)]
    check_claims(places, "home_address")
    for path, node in places:
        if not any(prefix.contains(node.home_address) for prefix in served):
            raise ConfigError(f"{path}.home_address", "an address in a prefix of a home link")
    associations.check_apart([node.all_associations for node in nodes], "security.mobile_nodes")
    access_rules.check_served(access_list, served)


def _check_home_link(path: str, link: HomeLinkConfig) -> None:
    if link.virtual and link.router_advertisement.enabled:
        raise ConfigError(f"{path}.router_advertisement.enabled", "false: a virtual link has no hosts to advertise to")
    _check_bridge_link(path, link, elsewhere=link.virtual)


def _check_bridge_link(path: str, link: BridgeLinkConfig, elsewhere: bool = False) -> None:
    """A link and its bridge. `elsewhere`: the bridge's own address need not be in one of the prefixes."""
    if not elsewhere and link.own_prefix not in link.link_prefixes:
        raise ConfigError(f"{path}.address", "an address inside one of the link's prefixes")
    if not addresses.is_link_local(link.router) and not link.own_prefix.contains(link.router):
        raise ConfigError(f"{path}.router", f"an address in {link.own_prefix}, where `address` is, or link-local")
    if link.router == link.address:
        raise ConfigError(f"{path}.router", "another address than `address`, which is the bridge's own")
    if link.uplink_bridge == link.bridge:
        raise ConfigError(f"{path}.uplink_bridge", "another bridge, or no such key: uplinks are on `bridge`")
    made_here = [link.bridge, link.uplink_bridge, link.tunnel_port, *(link.patch_ports or ())]
    for index, uplink in enumerate(link.uplinks):
        if uplink in made_here:
            raise ConfigError(f"{path}.uplinks[{index}]", f"another device than {uplink}, which is made here")
    _check_prefixes(path, link)


def _check_prefixes(path: str, link: BridgeLinkConfig) -> None:
    for (i, first), (j, second) in combinations(enumerate(link.link_prefixes), 2):
        if _overlap(first, second):
            raise ConfigError(f"{path}.prefixes[{j}]", f"no overlap with prefixes[{i}] ({first})")


def _check_on_home_link(path: str, link: CorrespondentLinkConfig, home: HomeLinkConfig) -> None:
    """A correspondent link on a home link's bridge: correspondents may have addresses of the home prefixes."""
    _check_prefixes(path, link)
    for index, prefix in enumerate(link.prefixes if home.virtual else ()):
        for other in home.link_prefixes:
            if _overlap(prefix, other):
                expected = f"no overlap with {other} of home link {home.name}, which is virtual and has no hosts"
                raise ConfigError(f"{path}.prefixes[{index}]", expected)


def _check_uplinks_apart(one: Place, other: Place) -> None:
    """A device is a port of one bridge."""
    (earlier, first), (path, second) = one, other
    if (first.uplink_bridge or first.bridge) == (second.uplink_bridge or second.bridge):
        return
    for index, uplink in enumerate(second.uplinks):
        if uplink in first.uplinks:
            raise ConfigError(f"{path}.uplinks[{index}]", f"a device that is not an uplink of {earlier}")


def _check_prefixes_apart(one: Place, other: Place) -> None:
    """An address belongs to one link."""
    (earlier, first), (path, second) = one, other
    for index, prefix in enumerate(second.link_prefixes):
        for taken in first.link_prefixes:
            if _overlap(prefix, taken):
                raise ConfigError(f"{path}.prefixes[{index}]", f"no overlap with {taken} of {earlier}")


def _overlap(first: Prefix, second: Prefix) -> bool:
    return first.contains(second.network) or second.contains(first.network)
