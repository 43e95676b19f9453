"""What differs between two configurations, and how a change can be applied: warm, or by a restart of mip6-manager.

    for change in difference(running, config.load(path)):
        ...

This is a pure function; whoever applies changes walks the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Literal

from deploy.config import Config, CorrespondentLinkConfig
from deploy.config.effective import effective
from deploy.config.inheritance import SHARED
from mip6core import addresses

# Lists whose entries are known by one of their keys, whatever their order.
ENTRIES: Final = {
    "home_links": "name",
    "correspondent_links": "name",
    "security.mobile_nodes": "home_address",
    "rest.tokens": "name",
}
# Sections whose keys are told apart. All others are one value: a rule more or less is another access list.
SECTIONS: Final = ("openflow", "rest", "store", "security", "limits", "limits.punt_rates", "limits.uplinks")

# What can change while mip6-manager runs, and no binding or flow of another one is lost; a list with entries stands for
# entries that come and go. Whatever is not here or in RESTART is a mistake that a test finds.
WARM: Final = frozenset(
    {
        "security.unprotected_signalling",
        "security.mobile_nodes",
        *(f"security.mobile_nodes.{key}" for key in ("authentication", "unprotected_signalling")),
        *(f"security.mobile_nodes.{key}" for key in ("associations", "key_file")),
        *(f"limits.{key}" for key in ("max_bindings", "max_bindings_per_link", "max_correspondent_bindings")),
        *(f"rest.{key}" for key in ("tokens", "anonymous")),
        *(f"rest.tokens.{key}" for key in ("scope", "sha256")),
        "limits.max_lifetime",  # of home links that do not say: their own max_lifetime changes, too
        *(f"limits.punt_rates.{field.name}" for field in fields(Config.limits.punt_rates)),
        *(f"limits.uplinks.{field.name}" for field in fields(Config.limits.uplinks)),  # which only setup looks at
        "access",
        "home_links",
        *(f"home_links.{key}" for key in ("prefixes", "max_lifetime", "router_advertisement", "mobile_prefix")),
        "correspondent_links",
        *(f"correspondent_links.{key}" for key in ("prefixes", "max_lifetime")),
    }
)
# What is fixed while mip6-manager runs: where it listens, and how a link's bridge is made. Bindings are found again in
# the switches afterwards.
_BRIDGE: Final = ("bridge", "address", "router", "uplinks", "uplink_bridge", "datapath_id", "next_table", "tunnel_port")
RESTART: Final = frozenset(
    {
        "openflow.listen",
        "openflow.port",
        "openflow.tls",
        *(f"rest.{key}" for key in ("listen", "port", "tls")),
        *(f"home_links.{key}" for key in (*_BRIDGE, "virtual", "tunnel_mtu")),
        *(f"correspondent_links.{key}" for key in (*_BRIDGE, "mtu")),
    }
)
# What `mip6ctl ovs setup` has to do its part for.
SETUP: Final = frozenset(
    {
        "openflow.listen",
        "openflow.port",
        "openflow.tls",
        *(f"limits.punt_rates.{key}" for key in ("signalling", "return_routability", "esp")),
        *(f"limits.uplinks.{field.name}" for field in fields(Config.limits.uplinks)),
        "home_links",
        *(f"home_links.{key}" for key in (*_BRIDGE, "virtual", "tunnel_mtu", "prefixes") if key != "next_table"),
        "correspondent_links",
        *(f"correspondent_links.{key}" for key in (*_BRIDGE, "mtu", "prefixes") if key != "next_table"),
    }
)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. Secrets hide themselves in `before` and `after`."""

    kind: Literal["added", "removed", "changed"]
    section: str  # with dots, as "limits.punt_rates" or "home_links"; "": of the whole file
    entry: str | None  # which one of the section's list, by its name or home address
    key: str | None  # None: the whole entry
    before: Any  # value (or entry) as `Config` has it; None: added
    after: Any  # None: removed

    @property
    def path(self) -> str:
        """Such as home_links[homenet].prefixes."""
        place = self.section if self.entry is None else f"{self.section}[{self.entry}]"
        return ".".join(filter(None, (place, self.key)))

    @property
    def rule(self) -> str:
        """What decides how it is applied: the path without the entry."""
        return ".".join(filter(None, (self.section, self.key)))

    @property
    def warm(self) -> bool:
        """Whether it can be applied while mip6-manager runs."""
        return self.rule in WARM

    @property
    def setup(self) -> bool:
        """Whether `mip6ctl ovs setup` is needed, too."""
        return self.rule in SETUP


@dataclass(frozen=True, slots=True)
class _Setting:
    section: str
    entry: str | None
    key: str | None


def difference(before: Config, after: Config) -> list[Change]:
    """What changes from one configuration to the other; none if they mean the same."""
    return _compare(dict(_settings(before, before)), dict(_settings(after, after)))


def difference_of_shown(before: Mapping[str, Any], after: Config) -> list[Change]:
    """The same where the earlier one is what `effective` has told of it: secrets are not compared."""
    shown = effective(after)
    return _compare(dict(_settings(before)), dict(_settings(shown)))


def for_people(changes: Iterable[Change], before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Changes ready for JSON. `before` and `after` as `effective` tells them give the values: secrets are hidden."""
    earlier, later = dict(_settings(before)), dict(_settings(after))
    found = []
    for change in changes:
        setting = _Setting(change.section, change.entry, change.key)
        values = {"before": earlier.get(setting), "after": later.get(setting)}
        applied = {"warm": change.warm, "ovs_setup": change.setup}
        found.append({"setting": change.path, "change": change.kind, **values, **applied})
    return found


def _compare(before: Mapping[_Setting, Any], after: Mapping[_Setting, Any]) -> list[Change]:
    changes = []
    for setting in [*before, *(setting for setting in after if setting not in before)]:
        whole = _Setting(setting.section, setting.entry, None)
        if setting.key is not None and (whole in before) != (whole in after) and setting.entry is not None:
            continue  # the entry has come or gone, with all its keys
        place = (setting.section, setting.entry, setting.key)
        if setting not in after:
            changes.append(Change("removed", *place, before[setting], None))
        elif setting not in before:
            changes.append(Change("added", *place, None, after[setting]))
        elif setting.key is not None and before[setting] != after[setting]:
            changes.append(Change("changed", *place, before[setting], after[setting]))
    return changes


def _settings(node: Any, config: Config | None = None, section: str = "") -> Iterator[tuple[_Setting, Any]]:
    """What a file sets, and to what. The node is a section; its entries are settings, too."""
    for key, value in _items(node):
        path = f"{section}.{key}" if section else key
        if path in SECTIONS:
            yield from _settings(value, config, path)
        elif path in ENTRIES:
            for entry in value:
                keys = dict(_items(entry))
                name = keys.pop(ENTRIES[path])
                name = addresses.text(name) if isinstance(name, bytes) else name
                yield _Setting(path, name, None), entry
                for inner, setting in keys.items():
                    if not _inherited(entry, inner, config):
                        yield _Setting(path, name, inner), setting
        else:
            yield _Setting(section, None, key), value


def _items(node: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(node):
        return ((key.name, getattr(node, key.name)) for key in fields(node))
    return iter(node.items())


def _inherited(entry: Any, key: str, config: Config | None) -> bool:
    """Whether a correspondent link has this from its home link, where it is told."""
    return (
        config is not None
        and isinstance(entry, CorrespondentLinkConfig)
        and key in SHARED
        and config.home_link_of(entry) is not None
    )
