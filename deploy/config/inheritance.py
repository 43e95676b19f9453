"""What a section of the file has from another one where it does not say itself.

This works on what YAML has made of the file, before its values are read: whatever has a wrong form is left to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploy.config.links import IPV6_HEADER
from mip6core.errors import ConfigError

# What a correspondent link on a home link's bridge has from the home link, and may not say itself.
SHARED: Final = ("address", "router", "uplinks", "uplink_bridge", "datapath_id", "next_table", "tunnel_port")


def inherit(mapping: Any) -> Any:
    """The file with inherited values filled in. ConfigError where a link says what another one decides."""
    if not isinstance(mapping, Mapping):
        return mapping
    filled = dict(mapping)
    if isinstance(homes := mapping.get("home_links"), list):
        filled["home_links"] = homes = [_with_lifetime(link, mapping.get("limits")) for link in homes]
        if isinstance(links := mapping.get("correspondent_links"), list):
            filled["correspondent_links"] = [
                _with_home_link(link, homes, f"correspondent_links[{index}]") for index, link in enumerate(links)
            ]
    return filled


def _with_lifetime(link: Any, limits: Any) -> Any:
    """A home link without `max_lifetime` has that of `limits`."""
    if isinstance(link, Mapping) and isinstance(limits, Mapping) and "max_lifetime" in limits:
        return {"max_lifetime": limits["max_lifetime"], **link}
    return link


def _with_home_link(link: Any, homes: list[Any], path: str) -> Any:
    """A correspondent link on a home link's bridge is there in the home link's place."""
    if not isinstance(link, Mapping):
        return link
    home = next((one for one in homes if isinstance(one, Mapping) and one.get("bridge") == link.get("bridge")), None)
    if home is None:
        return link
    for key in SHARED:
        if key in link:
            expected = f"no such key: {link.get('bridge')} is the bridge of home link {home.get('name')}, whose {key}"
            raise ConfigError(f"{path}.{key}", f"{expected} counts")
    inherited = {key: home[key] for key in SHARED if key in home}
    if isinstance(tunnel_mtu := home.get("tunnel_mtu"), int):
        inherited["mtu"] = tunnel_mtu + IPV6_HEADER
    return {**inherited, **link}
