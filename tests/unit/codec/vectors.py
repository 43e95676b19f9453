"""Test vectors as values: reads tests/vectors/*.json, turns messages into descriptions and back."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mip6core import addresses
from mip6core.codec import icmpv6, ipv6, mh, options
from mip6core.codec.ipv6 import Datagram

DIRECTORY = Path(__file__).resolve().parents[2] / "vectors"

_LAYERS = {"mh": mh, "icmpv6": icmpv6, "options": options}
_ADDRESSES = {"address", "home_address", "target"}  # fields shown as text; other octets are shown in hex


@dataclass(frozen=True)
class Vector:
    """A packet of somebody else's making and what it says, according to them."""

    name: str
    source: str
    packet: bytes  # from the IPv6 header on
    expected_packet: dict[str, Any]
    layer: str  # the module of the message: mh or icmpv6
    expected_message: dict[str, Any]
    builds_differently: str  # why our build need not give the same octets; empty where it must

    def parse(self, datagram: Datagram) -> Any:
        """The message in `datagram`, by our codec."""
        if self.layer == "mh":
            return mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
        return icmpv6.parse(datagram)

    def build(self) -> bytes:
        """The packet that our codec makes from the expectation."""
        packet = self.expected_packet
        header = {name: packet[name] for name in ("hop_limit", "traffic_class", "flow_label")}
        source, destination, home, type2_home = (
            None if packet.get(name) is None else addresses.parse(packet[name])
            for name in ("source", "destination", "home_address", "type2_home_address")
        )
        assert source is not None and destination is not None
        upper = _LAYERS[self.layer].build(
            construct(self.layer, self.expected_message), home or source, type2_home or destination
        )
        protocol = packet["upper_protocol"]
        return ipv6.build(
            source, destination, protocol, upper, home_address=home, type2_home_address=type2_home, **header
        )


def load(*names: str) -> list[Vector]:
    """The vectors of these files."""
    return [
        Vector(
            entry["name"],
            entry["source"],
            bytes.fromhex(entry["hex"]),
            entry["expect"]["packet"],
            entry["expect"]["layer"],
            entry["expect"]["message"],
            entry.get("builds_differently", ""),
        )
        for name in names
        for entry in json.loads((DIRECTORY / name).read_text())
    ]


def describe(value: Any, name: str = "") -> Any:
    """`value`, a message or what is in one, in the form of the vector files."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__} | {key: describe(item, key) for key, item in fields.items()}
    if isinstance(value, tuple):
        return [addresses.text(item) if name == "addresses" else describe(item) for item in value]
    if isinstance(value, bytes):
        return addresses.text(value) if name in _ADDRESSES else value.hex()
    return value


def construct(layer: str, description: dict[str, Any]) -> Any:
    """The message that `description` stands for."""
    arguments = {key: _value(key, item) for key, item in description.items() if key != "type"}
    return getattr(_LAYERS[layer], description["type"])(**arguments)


def _value(name: str, item: Any) -> Any:
    if name == "addresses":
        return tuple(addresses.parse(text) for text in item)
    if isinstance(item, list):
        return tuple(construct("options" if name == "options" else "icmpv6", entry) for entry in item)
    if isinstance(item, dict):
        return construct("icmpv6", item)
    if isinstance(item, str):
        return addresses.parse(item) if name in _ADDRESSES else bytes.fromhex(item)
    return item
