"""What the maps of the adapter's programs hold, from home agents and correspondents and back."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.shim.adapter import MAC_LENGTH, AdapterError, Correspondents, Endpoint
from mip6core import addresses
from mip6core.addresses import Address, Prefix

_SIOCGIFHWADDR = 0x8927  # <linux/sockios.h>

CONFIGURED = ("end_points", "tunnel_sources", "correspondents")

Entries = dict[str, dict[bytes, bytes]]  # by map


def entries(endpoints: Sequence[Endpoint], correspondents: Sequence[Correspondents]) -> Entries:
    """What the maps CONFIGURED are to hold. AdapterError for what contradicts itself."""
    return {
        "end_points": _end_points(endpoints, correspondents),
        "tunnel_sources": _tunnel_sources(endpoints, correspondents),
        "correspondents": _correspondents(endpoints, correspondents),
    }


def served(held: Entries) -> tuple[tuple[Endpoint, ...], tuple[Correspondents, ...]]:
    """What `entries` has made this from, in the order of addresses and prefixes."""
    endpoints = _endpoints_of(held["tunnel_sources"])
    return endpoints, _correspondents_of(held["correspondents"], endpoints)


def _end_points(endpoints: Sequence[Endpoint], correspondents: Sequence[Correspondents]) -> dict[bytes, bytes]:
    others = {hosts.tunnel_end_point: b"\0" for hosts in correspondents}
    return {**others, **{point.home_agent: b"\1" for point in endpoints}}


def _source_key(bridge_mac: bytes, source: Address) -> bytes:
    """struct tunnel_source of wire.h."""
    return bridge_mac + bytes(2) + source


def _tunnel_sources(endpoints: Sequence[Endpoint], correspondents: Sequence[Correspondents]) -> dict[bytes, bytes]:
    """Which outer sources OVS may use for each bridge, and the home agent's address that the wire shall show for it.

    A home agent's own address stays. For the bridge's other addresses, which say nothing about the home agent, the
    first one listed for that bridge stands, the unspecified one if it has none; the unspecified address is the key for
    all link-local ones.
    """
    sources = {_source_key(point.bridge_mac, point.home_agent): point.home_agent for point in endpoints}
    shown: dict[bytes, Address] = {}
    for point in endpoints:
        shown.setdefault(point.bridge_mac, point.home_agent)
    for hosts in correspondents:
        home_agent = shown.setdefault(hosts.bridge_mac, addresses.UNSPECIFIED)
        sources.setdefault(_source_key(hosts.bridge_mac, hosts.tunnel_end_point), home_agent)
    for mac, home_agent in shown.items():
        for source in (addresses.UNSPECIFIED, *_device_addresses(mac)):
            sources.setdefault(_source_key(mac, source), home_agent)
    return sources


def _endpoints_of(tunnel_sources: Mapping[bytes, bytes]) -> tuple[Endpoint, ...]:
    points = [
        Endpoint(home_agent, key[:MAC_LENGTH])
        for key, home_agent in tunnel_sources.items()
        if home_agent != addresses.UNSPECIFIED and key == _source_key(key[:MAC_LENGTH], home_agent)
    ]
    return tuple(sorted(points, key=lambda point: (point.home_agent, point.bridge_mac)))


def _correspondents(endpoints: Sequence[Endpoint], correspondents: Sequence[Correspondents]) -> dict[bytes, bytes]:
    """The home agents' own entries, and these. AdapterError for a prefix of two bridges."""
    prefixes: dict[bytes, bytes] = {}
    for hosts in (*map(Correspondents.home_agent, endpoints), *correspondents):
        key = struct.pack("=I16s", hosts.prefix.length, hosts.prefix.network)
        value = struct.pack("=16s6s?x", hosts.tunnel_end_point, hosts.bridge_mac, hosts.esp_is_signalling)
        if prefixes.setdefault(key, value) != value:
            raise AdapterError(f"correspondents' prefix {hosts.prefix} is there twice, and not the same")
    return prefixes


def _correspondents_of(prefixes: Mapping[bytes, bytes], endpoints: Sequence[Endpoint]) -> tuple[Correspondents, ...]:
    # A home agent's own entry goes without saying.
    found = []
    for key, value in prefixes.items():
        length, network = struct.unpack("=I16s", key)
        found.append(Correspondents(Prefix(network, length), *struct.unpack("=16s6s?x", value)))
    own = set(map(Correspondents.home_agent, endpoints))
    return tuple(sorted(set(found) - own, key=lambda hosts: (hosts.prefix.network, hosts.prefix.length)))


def _device_addresses(mac: bytes) -> set[Address]:
    """Global IPv6 addresses of the devices of this network namespace that have this MAC address."""
    found = set()
    lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        for address, _, _, _, _, device in map(str.split, lines):
            request = struct.pack("16s16x", device.encode())
            with contextlib.suppress(OSError):  # the device has just gone
                answer = fcntl.ioctl(channel, _SIOCGIFHWADDR, request)
                source = bytes.fromhex(address)
                if answer[18 : 18 + MAC_LENGTH] == mac and not addresses.is_link_local(source):
                    found.add(source)
    return found
