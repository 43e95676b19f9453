"""Properties of the codec: what is built is parsed to the same, and any bytes give a value or ParseError."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import IPv6, in6_chksum

from mip6core import addresses
from mip6core.addresses import Prefix
from mip6core.codec import checksum, icmpv6, ipv6, mh, options
from mip6core.constants import ICMPV6, MOBILITY_HEADER
from mip6core.errors import ParseError

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
SEEDS = [
    bytes.fromhex(vector["hex"])
    for name in ("scapy.json", "umip.json", "malformed.json")
    for vector in json.loads((VECTORS / name).read_text())
]
REASONS = {
    "bad_checksum",
    "bad_code",
    "bad_destination",
    "bad_header_length",
    "bad_header_order",
    "bad_home_address",
    "bad_hop_limit",
    "bad_option_length",
    "bad_payload_proto",
    "bad_prefix_length",
    "bad_routing_header",
    "bad_source",
    "bad_target",
    "bad_version",
    "duplicate_home_address",
    "fragmented",
    "jumbogram",
    "too_many_headers",
    "truncated",
    "truncated_option",
}

# The same examples in every run, and nothing kept between runs; raise max_examples to search
bounded = settings(max_examples=200, deadline=None, derandomize=True, database=None)

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
any_address = st.binary(min_size=16, max_size=16)
# A quarter of all addresses starts with 001 (global unicast, RFC 4291 section 2.4); make that all of these
unicast = any_address.map(lambda address: bytes((0x20 | address[0] & 0x1F,)) + address[1:])
link_local = any_address.map(lambda address: b"\xfe\x80" + bytes(6) + address[8:])
mac = st.none() | st.binary(min_size=6, max_size=6)
cookie = st.binary(min_size=8, max_size=8)

unknown_type = st.sampled_from([6, 7, *range(11, 256)])
ordinary_option = st.one_of(
    st.builds(options.BindingRefreshAdvice, u16),
    st.builds(options.AlternateCareOfAddress, any_address),
    st.builds(options.NonceIndices, u16, u16),
    st.builds(options.MobileNodeIdentifier, u8, st.binary(max_size=40)),
    st.builds(options.MobilityMessageAuthentication, u8, u32, st.binary(max_size=40)),
    st.builds(options.MessageIdentifier, u64),
    st.builds(options.UnknownOption, unknown_type, st.binary(max_size=40)),
)
last_option = st.builds(options.BindingAuthorizationData, st.binary(max_size=40))
mobility_options = st.tuples(st.lists(ordinary_option, max_size=6), st.lists(last_option, max_size=1)).map(
    lambda lists: (*lists[0], *lists[1])
)

mobility_message = st.one_of(
    st.builds(mh.BindingRefreshRequest, mobility_options),
    st.builds(mh.HomeTestInit, cookie, mobility_options),
    st.builds(mh.CareOfTestInit, cookie, mobility_options),
    st.builds(mh.HomeTest, u16, cookie, cookie, mobility_options),
    st.builds(mh.CareOfTest, u16, cookie, cookie, mobility_options),
    st.builds(mh.BindingUpdate, u16, u16, u16, mobility_options),
    st.builds(mh.BindingAcknowledgement, u8, u8, u16, u16, mobility_options),
    st.builds(mh.BindingError, u8, any_address, mobility_options),
    st.builds(
        mh.UnknownMessage,
        st.integers(8, 255),
        st.integers(0, 12).flatmap(lambda n: st.binary(min_size=8 * n + 2, max_size=8 * n + 2)),
    ),
)

prefix_information = st.builds(
    icmpv6.PrefixInformation,
    any_address,
    st.integers(0, 128),
    u32,
    u32,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
prefixes = st.lists(prefix_information, max_size=4).map(tuple)
invoking = st.binary(max_size=1232)
router_advertisement = st.builds(
    icmpv6.RouterAdvertisement,
    u16,
    prefixes,
    mac,
    u8,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    u32,
    u32,
    st.none() | u32,
    st.none() | u32,
    st.none() | st.builds(icmpv6.HomeAgentInformation, u16, u16),
)
icmpv6_message = st.one_of(
    st.builds(icmpv6.DestinationUnreachable, u8, invoking),
    st.builds(icmpv6.PacketTooBig, u32, invoking),
    st.builds(icmpv6.TimeExceeded, u8, invoking),
    st.builds(icmpv6.ParameterProblem, u8, u32, invoking),
    st.builds(icmpv6.EchoRequest, u16, u16, st.binary(max_size=64)),
    st.builds(icmpv6.EchoReply, u16, u16, st.binary(max_size=64)),
    st.builds(icmpv6.RouterSolicitation, mac),
    router_advertisement,
    st.builds(icmpv6.NeighborSolicitation, unicast, mac),
    st.builds(icmpv6.NeighborAdvertisement, unicast, st.booleans(), st.booleans(), st.booleans(), mac),
    st.builds(icmpv6.HAAddressDiscoveryRequest, u16),
    st.builds(icmpv6.HAAddressDiscoveryReply, u16, st.lists(any_address, max_size=5).map(tuple)),
    st.builds(icmpv6.MobilePrefixSolicitation, u16),
    st.builds(icmpv6.MobilePrefixAdvertisement, u16, prefixes, st.booleans(), st.booleans()),
    st.builds(icmpv6.UnknownMessage, st.integers(148, 255), u8, st.binary(max_size=64)),
)


def understand(packet: bytes) -> Any:
    """What a packet carries, as the controller would find out."""
    datagram = ipv6.parse(packet)
    if datagram.upper_protocol == MOBILITY_HEADER:
        return mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
    if datagram.upper_protocol == ICMPV6:
        return icmpv6.parse(datagram)
    return datagram


def only_parse_errors(packet: bytes) -> None:
    """Fail unless `packet` gives a value or ParseError with a reason of the known set."""
    try:
        understand(packet)
    except ParseError as error:
        assert error.reason in REASONS
        assert error.pointer is None or 0 <= error.pointer < max(len(packet), 1)


@bounded
@given(mobility_message, unicast, unicast)
def test_mobility_messages_survive(message: mh.Message, source: bytes, destination: bytes) -> None:
    octets = mh.build(message, source, destination)
    assert len(octets) % 8 == 0
    assert mh.parse(octets, source, destination) == message


@bounded
@given(mobility_message, unicast, unicast)
def test_mobility_checksums_are_those_of_scapy(message: mh.Message, source: bytes, destination: bytes) -> None:
    octets = mh.build(message, source, destination)
    header = IPv6(src=addresses.text(source), dst=addresses.text(destination), nh=135)
    assert in6_chksum(135, header, octets) == 0


@bounded
@given(icmpv6_message, link_local, link_local)
def test_icmpv6_messages_survive(message: icmpv6.Message, source: bytes, destination: bytes) -> None:
    upper = icmpv6.build(message, source, destination)
    packet = ipv6.build(source, destination, ICMPV6, upper, hop_limit=255)
    assert icmpv6.parse(ipv6.parse(packet)) == message


@bounded
@given(
    unicast,
    any_address,
    st.integers(0, 255).filter(lambda number: number not in (0, 43, 44, 60)),
    st.binary(max_size=100),
    st.none() | unicast,
    st.none() | unicast,
    u8,
    u8,
    st.integers(0, 2**20 - 1),
)
def test_datagrams_survive(
    source: bytes,
    destination: bytes,
    protocol: int,
    upper: bytes,
    home_address: bytes | None,
    type2_home_address: bytes | None,
    hop_limit: int,
    traffic_class: int,
    flow_label: int,
) -> None:
    packet = ipv6.build(
        source,
        destination,
        protocol,
        upper,
        home_address=home_address,
        type2_home_address=type2_home_address,
        hop_limit=hop_limit,
        traffic_class=traffic_class,
        flow_label=flow_label,
    )
    datagram = ipv6.parse(packet)
    assert datagram == ipv6.Datagram(
        packet,
        source,
        destination,
        protocol,
        40 + 24 * (home_address is not None) + 24 * (type2_home_address is not None),
        upper,
        home_address,
        type2_home_address,
    )
    header = datagram.traffic_class, datagram.flow_label, datagram.hop_limit
    assert header == (traffic_class, flow_label, hop_limit)


@bounded
@given(st.binary(max_size=200))
def test_any_bytes_as_a_packet(data: bytes) -> None:
    only_parse_errors(data)


@bounded
@given(st.sampled_from((0, 43, 44, 60, 58, 135)), st.binary(max_size=300), u8)
def test_any_bytes_behind_an_ipv6_header(next_header: int, data: bytes, hop_limit: int) -> None:
    packet = ipv6.build(bytes(15) + b"\x05", bytes(16), next_header, data, hop_limit=hop_limit)
    only_parse_errors(packet)


@bounded
@given(st.lists(st.sampled_from((0, 43, 44, 60)), min_size=1, max_size=12), st.binary(max_size=400))
def test_any_chain_of_headers(chain: list[int], data: bytes) -> None:
    octets = b""
    for index in range(len(chain)):
        following = chain[index + 1] if index + 1 < len(chain) else MOBILITY_HEADER
        octets += bytes((following, 0)) + data[index * 6 : index * 6 + 6].ljust(6, b"\0")
    only_parse_errors(ipv6.build(bytes(15) + b"\x05", bytes(16), chain[0], octets + data))


@bounded
@given(u8, u8, st.binary(max_size=300))
def test_any_bytes_as_a_mobility_header(mh_type: int, header_len: int, data: bytes) -> None:
    """With a good checksum, so that the messages and options are reached."""
    octets = bytes((59, header_len, mh_type % 9, 0, 0, 0)) + data
    covered = octets[: header_len * 8 + 8]
    value = checksum.upper_layer(bytes(16), bytes(16), MOBILITY_HEADER, covered)
    with contextlib.suppress(ParseError):
        mh.parse(octets[:4] + value.to_bytes(2, "big") + octets[6:], bytes(16), bytes(16))


@bounded
@given(mobility_options, st.data())
def test_damaged_mobility_options(wanted: tuple[options.MobilityOption, ...], data: st.DataObject) -> None:
    octets = bytearray(mh.build(mh.BindingUpdate(1, 0, 1, wanted), bytes(16), bytes(16)))
    octets[data.draw(st.integers(12, len(octets) - 1))] = data.draw(u8)
    octets[4:6] = bytes(2)
    value = checksum.upper_layer(bytes(16), bytes(16), MOBILITY_HEADER, bytes(octets))
    octets[4:6] = value.to_bytes(2, "big")
    with contextlib.suppress(ParseError):
        message = mh.parse(bytes(octets), bytes(16), bytes(16))
        assert isinstance(message, mh.BindingUpdate)


@bounded
@given(
    st.sampled_from((1, 2, 3, 4, 128, 129, 133, 134, 135, 136, 144, 145, 146, 147, 148)),
    st.binary(max_size=300),
)
def test_any_bytes_as_an_icmpv6_message(icmp_type: int, data: bytes) -> None:
    source = addresses.parse("fe80::1")
    upper = icmpv6.build(icmpv6.UnknownMessage(icmp_type, 0, data), source, addresses.ALL_NODES)
    only_parse_errors(ipv6.build(source, addresses.ALL_NODES, ICMPV6, upper, hop_limit=255))


@bounded
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_packets_of_other_implementations(packet: bytes, data: st.DataObject) -> None:
    damaged = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(u8)
    only_parse_errors(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@bounded
@given(any_address)
def test_address_text_survives(address: bytes) -> None:
    assert addresses.parse(addresses.text(address)) == address


@bounded
@given(any_address, st.integers(0, 128))
def test_prefix_text_survives(address: bytes, length: int) -> None:
    keep = 128 - length
    network = (int.from_bytes(address, "big") >> keep << keep).to_bytes(16, "big")
    prefix = Prefix(network, length)
    assert Prefix.parse(str(prefix)) == prefix
    assert prefix.contains(address)
