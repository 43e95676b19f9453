"""The codec against packets of other implementations, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mip6core import addresses
from mip6core.codec import icmpv6, ipv6, mh, options
from mip6core.constants import ICMPV6, MOBILITY_HEADER
from mip6core.errors import ParseError
from tests.unit.codec.vectors import DIRECTORY, Vector, describe, load

VECTORS = load("scapy.json", "umip.json")
MALFORMED = json.loads((DIRECTORY / "malformed.json").read_text())


def case(vector: Vector) -> str:
    """The name of a test case."""
    return f"{vector.source.split()[0]}: {vector.name}"


@pytest.mark.parametrize("vector", VECTORS, ids=case)
def test_headers_are_read(vector: Vector) -> None:
    datagram = ipv6.parse(vector.packet)
    expected = {"home_address": None, "type2_home_address": None} | vector.expected_packet
    found = {name: getattr(datagram, name) for name in expected}
    for name in ("source", "destination", "home_address", "type2_home_address"):
        found[name] = found[name] and addresses.text(found[name])
    assert found == expected
    assert datagram.upper == vector.packet[expected["upper_offset"] :]


@pytest.mark.parametrize("vector", VECTORS, ids=case)
def test_message_is_read(vector: Vector) -> None:
    assert describe(vector.parse(ipv6.parse(vector.packet))) == vector.expected_message


@pytest.mark.parametrize("vector", [v for v in VECTORS if not v.builds_differently], ids=case)
def test_same_octets_are_built(vector: Vector) -> None:
    assert vector.build().hex() == vector.packet.hex()


@pytest.mark.parametrize("entry", MALFORMED, ids=[entry["name"] for entry in MALFORMED])
def test_malformed_packet_is_refused(entry: dict[str, Any]) -> None:
    packet = bytes.fromhex(entry["hex"])
    expected = entry["expect"]["error"]
    with pytest.raises(ParseError) as caught:
        if expected["layer"] == "ipv6":
            ipv6.parse(packet)
        elif expected["layer"] == "mh":
            datagram = beneath(packet, MOBILITY_HEADER)
            mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
        else:
            icmpv6.parse(beneath(packet, ICMPV6))
    error = caught.value
    assert (error.reason, error.pointer, error.code) == (
        expected["reason"],
        expected["pointer"],
        expected["code"],
    )


def beneath(packet: bytes, protocol: int) -> ipv6.Datagram:
    """The datagram, which must be good up to the message of `protocol`."""
    try:
        datagram = ipv6.parse(packet)
    except ParseError as error:
        pytest.fail(f"the headers are good, but: {error}")
    assert datagram.upper_protocol == protocol
    return datagram


def test_vectors_cover_every_message_and_option_both_ways() -> None:
    built = [vector for vector in VECTORS if not vector.builds_differently]
    messages = {(vector.layer, vector.expected_message["type"]) for vector in built}
    mobility_options = {option["type"] for vector in built for option in vector.expected_message.get("options", ())}
    mobility_messages = {message.__name__ for message in mh.Message.__args__}
    icmpv6_messages = {message.__name__ for message in icmpv6.Message.__args__}
    assert {name for layer, name in messages if layer == "mh"} == mobility_messages
    assert {name for layer, name in messages if layer == "icmpv6"} >= icmpv6_messages - {"UnknownMessage"}
    all_options = {option.__name__ for option in options.MobilityOption.__args__}
    assert mobility_options == all_options - {"PadN"}
