"""The wire format adapter as provisioning sees it: one interface, one implementation for each kind of OVS datapath.

OVS cannot make the tunnel packets of Mobile IPv6 itself. What it can make depends on the datapath, and so does what has
to be put beside it on the uplink; flows and OpenFlow state are the same everywhere. `deploy.shim.adapter_for` picks the
adapter that fits a bridge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mip6core import addresses
from mip6core.addresses import Address

MAC_LENGTH = 6


class AdapterError(Exception):
    """The adapter cannot do what was asked for; the text says why, for a person to read."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A tunnel end point on an uplink. ValueError for an address that is none."""

    home_agent: Address  # outer address of tunnel packets on the wire
    bridge_mac: bytes  # 6 octets: MAC of the bridge that holds this address; OVS sends its GRE from it

    def __post_init__(self) -> None:
        if len(self.home_agent) != len(addresses.UNSPECIFIED) or not addresses.is_unicast_routable(self.home_agent):
            raise ValueError("a home agent needs a routable unicast IPv6 address of 16 octets")
        if len(self.bridge_mac) != MAC_LENGTH or self.bridge_mac[0] & 1 or not any(self.bridge_mac):
            raise ValueError("a bridge needs a unicast MAC address of 6 octets")


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """What is attached to one device. Field names are those of the JSON form."""

    device: str
    ifindex: int | None  # None: there is no such device (any more)
    attached: bool  # both directions work
    ingress: str | None  # how packets coming in are converted, for example "xdp-native"
    egress: str | None  # how packets going out are converted, for example "tcx"
    endpoints: tuple[Endpoint, ...]
    counters: dict[str, int]  # packets, by name; they survive attaching again
    problems: tuple[str, ...]  # why it is not attached, and what to do about it

    def as_dict(self) -> dict[str, object]:
        """The same as plain values, ready for JSON."""
        endpoints = [
            {"home_agent": addresses.text(point.home_agent), "bridge_mac": point.bridge_mac.hex(":")}
            for point in self.endpoints
        ]
        names = ("device", "ifindex", "attached", "ingress", "egress", "counters")
        plain = {name: getattr(self, name) for name in names}
        return {**plain, "endpoints": endpoints, "problems": list(self.problems)}


class WireFormatAdapter(Protocol):
    """Converts between what OVS's tunnel port sends and receives and RFC 2473 on the wire."""

    @property
    def mtu_overhead(self) -> int:
        """Bytes by which a packet is longer between OVS and the device than on the wire.

        Whoever provisions the device sets its MTU to the link's MTU plus this, or else lowers the tunnel's by it.
        """

    @property
    def capabilities(self) -> frozenset[str]:
        """Wire formats that this adapter knows: "tunnel" (RFC 2473)."""

    def attach(self, device: str, endpoints: Sequence[Endpoint]) -> AdapterStatus:
        """Convert on `device` for exactly these end points. AdapterError if that cannot be done.

        Attaching again is the way to change end points and to bring in another version of the adapter; packets keep
        flowing meanwhile.
        """

    def detach(self, device: str) -> bool:
        """Take away what `attach` made, and nothing else. Whether there was anything."""

    def status(self, device: str) -> AdapterStatus:
        """What is attached to `device`; also for a device that has nothing or does not exist."""

    def devices(self) -> list[str]:
        """Devices of this network namespace that something was attached to, whether or not they still exist."""
