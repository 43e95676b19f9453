"""Flows on an uplink bridge that keep strangers' tunnel packets from the tunnel's end (two-bridge layout).

On the bridge of a link everything from the patch port counts as tunnelled packets that an uplink's adapter has
checked: GRE, and fragments of what it will make GRE of. The uplink bridge must not let those of other ports through to
it: the care-of addresses in them could be forged (RFC 6275 sections 9.3.1 and 10.4.5). A fragment behind the first is
of no use without that. A standalone bridge loses these flows when ovs-vswitchd restarts, as it loses all.
"""

from __future__ import annotations

import zlib
from typing import Final

from deploy.config import BridgeLinkConfig
from mip6core import addresses

COOKIE_BASE: Final = 0x6D36FF << 40  # the application's tag and a category of its own
MASK: Final = 0xFFFFFF << 40  # of a cookie: all guards
OFCTL: Final = ("ovs-ofctl", "-O", "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15")  # whichever the bridge speaks
PRIORITY: Final = 60_000
GRE: Final = 47
IPV6_IN_IPV6: Final = 41  # also of a first fragment


def cookie(link: BridgeLinkConfig) -> int:
    """The cookie of the flows for one link."""
    return COOKIE_BASE | zlib.crc32(link.name.encode())


def flows(link: BridgeLinkConfig) -> list[str]:
    """The flows as `ovs-ofctl dump-flows` prints them, without cookie."""
    found = []
    for protocol in (GRE, IPV6_IN_IPV6):
        to_end_point = f"ipv6_dst={addresses.text(link.address)},nw_proto={protocol}"
        for uplink in link.uplinks:
            found.append(f"priority={PRIORITY + 1},ipv6,in_port={uplink},{to_end_point} actions=NORMAL")
        found.append(f"priority={PRIORITY},ipv6,{to_end_point} actions=drop")
    return found


def add_command(link: BridgeLinkConfig, flow: str) -> tuple[str, ...]:
    """The command that adds one of `flows`."""
    assert link.uplink_bridge
    match, _, actions = flow.partition(" ")
    return (*OFCTL, "--names", "add-flow", link.uplink_bridge, f"cookie={cookie(link):#x},{match},{actions}")


def delete_command(link: BridgeLinkConfig) -> tuple[str, ...]:
    """The command that deletes them all."""
    assert link.uplink_bridge
    return (*OFCTL, "del-flows", link.uplink_bridge, f"cookie={cookie(link):#x}/-1")


def dump_command(bridge: str) -> tuple[str, ...]:
    """The command that shows the guards of a bridge, for `parse_dump`."""
    return (*OFCTL, "--names", "--no-stats", "dump-flows", bridge, f"cookie={COOKIE_BASE:#x}/{MASK:#x}")


def parse_dump(dump: str) -> dict[int, set[str]]:
    """The flows by cookie."""
    found: dict[int, set[str]] = {}
    for line in dump.replace('"', "").splitlines():
        value, comma, flow = line.strip().partition(",")
        if comma and value.startswith("cookie="):
            found.setdefault(int(value.removeprefix("cookie="), 16), set()).add(flow.strip())
    return found
