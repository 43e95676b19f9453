"""The wire format adapter as provisioning sees it: one interface, one implementation for each kind of OVS datapath.

OVS cannot make the tunnel packets of Mobile IPv6 itself. What it can make depends on the datapath, and so does what has
to be put beside it on the uplink; flows and OpenFlow state are the same everywhere. `deploy.shim.adapter_for` picks the
adapter that fits a bridge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from mip6core import addresses
from mip6core.addresses import Address, Prefix

MAC_LENGTH = 6


class AdapterError(Exception):
    """The adapter cannot do what was asked for; the text says why, for a person to read."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A home agent on an uplink: tunnel end point, and correspondent. ValueError for an address that is none."""

    home_agent: Address  # outer address of tunnel packets on the wire
    bridge_mac: bytes  # 6 octets: MAC of the bridge that holds this address; OVS sends its GRE from it

    def __post_init__(self) -> None:
        _check_address("a home agent", self.home_agent)
        _check_mac(self.bridge_mac)


@dataclass(frozen=True, slots=True)
class Correspondents:
    """Hosts that a bridge answers for as correspondent nodes (RFC 6275 section 9). ValueError for what cannot be."""

    prefix: Prefix  # theirs; the longest prefix counts
    tunnel_end_point: Address  # the bridge's tunnel port; not on the wire. A home agent's address, or one of its own
    bridge_mac: bytes  # 6 octets: MAC of the bridge that holds the tunnel end point; OVS sends its GRE from it
    esp_is_signalling: bool = False  # ESP from mobile nodes is not data but protects their Binding Updates

    def __post_init__(self) -> None:
        _check_address("a tunnel end point", self.tunnel_end_point)
        _check_mac(self.bridge_mac)

    @classmethod
    def home_agent(cls, point: Endpoint) -> Correspondents:
        """A home agent's own address, which is a correspondent for its mobile nodes like any other node."""
        prefix = Prefix(point.home_agent, 8 * len(point.home_agent))
        return cls(prefix, point.home_agent, point.bridge_mac, esp_is_signalling=True)


def _check_address(what: str, address: Address) -> None:
    if len(address) != len(addresses.UNSPECIFIED) or not addresses.is_unicast_routable(address):
        raise ValueError(f"{what} needs a routable unicast IPv6 address of 16 octets")


def _check_mac(mac: bytes) -> None:
    if len(mac) != MAC_LENGTH or mac[0] & 1 or not any(mac):
        raise ValueError("a bridge needs a unicast MAC address of 6 octets")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an uplink lets through to Open vSwitch, beside known mobile nodes' data. ValueError for what is none.

    Rates are packets a second; those of signalling are the rates of the switch's meters (`limits.punt_rates`), so that
    no more than they let through gets into the switch's queue.
    """

    signalling: int = 10_000  # Mobility Headers to home agents
    return_routability: int = 10_000  # Mobility Headers to correspondents
    esp: int = 10_000  # to home agents
    new_sources: int = 2_000  # sources of tunnel packets, or of Home Address options, that nothing is known of
    known_sources: int = 131_072  # care-of addresses that are remembered, and as many networks

    def __post_init__(self) -> None:
        if min(self.signalling, self.return_routability, self.esp, self.new_sources, self.known_sources) < 1:
            raise ValueError("limits must be positive")


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """What is attached to one device. Field names are those of the JSON form."""

    device: str
    ifindex: int | None  # None: there is no such device (any more)
    attached: bool  # both directions work
    ingress: str | None  # how packets coming in are converted, for example "xdp-native"
    egress: str | None  # how packets going out are converted, for example "tcx"
    endpoints: tuple[Endpoint, ...]
    correspondents: tuple[Correspondents, ...]  # without the home agents themselves
    limits: Limits | None  # None: nothing was ever attached
    counters: dict[str, int]  # packets, by name; they survive attaching again
    problems: tuple[str, ...]  # why it is not attached, and what to do about it

    def as_dict(self) -> dict[str, object]:
        """The same as plain values, ready for JSON."""
        endpoints = [
            {"home_agent": addresses.text(point.home_agent), "bridge_mac": point.bridge_mac.hex(":")}
            for point in self.endpoints
        ]
        correspondents = [
            {
                "prefix": str(hosts.prefix),
                "tunnel_end_point": addresses.text(hosts.tunnel_end_point),
                "bridge_mac": hosts.bridge_mac.hex(":"),
                "esp_is_signalling": hosts.esp_is_signalling,
            }
            for hosts in self.correspondents
        ]
        names = ("device", "ifindex", "attached", "ingress", "egress", "counters")
        plain = {name: getattr(self, name) for name in names}
        return {
            **plain,
            "limits": None if self.limits is None else asdict(self.limits),
            "endpoints": endpoints,
            "correspondents": correspondents,
            "problems": list(self.problems),
        }


class WireFormatAdapter(Protocol):
    """Converts between what OVS's tunnel port sends and receives and what RFC 2473 and RFC 6275 want on the wire."""

    @property
    def mtu_overhead(self) -> int:
        """Bytes by which a packet is longer between OVS and the device than on the wire.

        Whoever provisions the device sets its MTU to the link's MTU plus this, or else lowers the tunnel's by it.
        """

    @property
    def capabilities(self) -> frozenset[str]:
        """Wire formats that this adapter knows: "tunnel" (RFC 2473), "route optimization" (RFC 6275 section 9.3)."""

    def attach(
        self,
        device: str,
        endpoints: Sequence[Endpoint],
        correspondents: Sequence[Correspondents] = (),
        rates: Limits = DEFAULT_LIMITS,
    ) -> AdapterStatus:
        """Convert on `device` for exactly these home agents and correspondents. A home agent is a correspondent anyway.

        AdapterError if that cannot be done. Attaching again is the way to change them and to bring in another version
        of the adapter; packets keep flowing meanwhile.
        """

    def detach(self, device: str) -> bool:
        """Take away what `attach` made, and nothing else. Whether there was anything."""

    def status(self, device: str) -> AdapterStatus:
        """What is attached to `device`; also for a device that has nothing or does not exist."""

    def devices(self) -> list[str]:
        """Devices of this network namespace that something was attached to, whether or not they still exist."""
