"""Fragments as scapy cuts them, in any order, wrong ones, and too many (RFC 8200 section 4.5, RFC 5722, RFC 6946)."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HAO,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Raw,
    defragment6,
    fragment6,
)
from scapy.packet import Packet

from mip6core.errors import ParseError
from mip6core.fragmentation import fragments
from mip6core.reassembly import Reassembler, ReassemblyLimits

SOURCE, OWN = "2001:db8:f1::1", "2001:db8:1::2"
HEADER = IPv6(src=SOURCE, dst=OWN)


class Node:
    """A reassembler with its counters."""

    def __init__(self, **limits: int) -> None:
        self.statistics: dict[str, int] = defaultdict(int)
        self.reassembler = Reassembler(self.statistics, ReassemblyLimits(**limits))

    def gives(self, packet: Packet | bytes, origin: object = 1, now: float = 0.0) -> bytes | None:
        return self.reassembler.receive(bytes(packet), origin, now)  # type: ignore[arg-type]


def cut(packet: Packet, size: int = 200, number: int = 7) -> list[bytes]:
    """scapy's fragments of a UDP packet, each of `size` octets at most."""
    stack = HEADER / IPv6ExtHdrFragment(id=number, nh=17) / packet[UDP]
    return [bytes(fragment) for fragment in fragment6(IPv6(bytes(stack)), size)]


def udp(octets: int = 600) -> Packet:
    return IPv6(bytes(HEADER / UDP(sport=5, dport=7) / Raw(random.Random(octets).randbytes(octets))))


def piece(offset: int, octets: bytes, more: int = 1, number: int = 7, source: str = SOURCE) -> bytes:
    """A fragment of no particular packet."""
    header = IPv6ExtHdrFragment(nh=17, offset=offset // 8, m=more, id=number)
    return bytes(IPv6(src=source, dst=OWN) / header / Raw(octets))


@pytest.mark.parametrize(
    "headers",
    [
        HEADER,
        HEADER / IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:1::99")]),
        HEADER / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(type=0, segleft=0, addresses=["2001:db8::1"]),
    ],
    ids=["none", "home address option", "hop-by-hop options and routing"],
)
def test_every_order(headers: Packet) -> None:
    """With headers before the Fragment header, which all fragments have."""
    whole = IPv6(bytes(headers / UDP(sport=5, dport=7) / Raw(bytes(range(256)) * 2)))
    octets = bytes(whole)
    place = len(bytes(headers))
    protocol_at = 6 if place == 40 else {64: 40, 72: 48}[place]
    head = octets[:protocol_at] + bytes((44,)) + octets[protocol_at + 1 : place]
    fragments = []
    for start in range(0, len(octets) - place, 160):
        data = octets[place + start : place + start + 160]
        more = int(place + start + 160 < len(octets))
        body = bytes(IPv6ExtHdrFragment(nh=17, offset=start // 8, m=more, id=9)) + data
        fragment = head + body
        fragments.append(fragment[:4] + (len(fragment) - 40).to_bytes(2, "big") + fragment[6:])
    assert len(fragments) == 4
    for order in permutations(fragments):
        node = Node()
        results = [node.gives(fragment) for fragment in order]
        assert results == [None, None, None, octets]
        assert (len(node.reassembler), node.reassembler.octets) == (0, 0)
        assert node.statistics == {"reassembled": 1}


@pytest.mark.parametrize("seed", range(20))
def test_as_scapy_cuts_and_joins(seed: int) -> None:
    chance = random.Random(seed)
    octets = chance.randint(200, 4000)
    fragments = [IPv6(octets) for octets in cut(udp(octets), chance.randint(100, 1400))]
    chance.shuffle(fragments)
    node = Node()
    results = [node.gives(fragment) for fragment in fragments]
    assert results[:-1] == [None] * (len(fragments) - 1)
    assert results[-1] == bytes(udp(octets))
    if len(fragments) > 1:
        assert bytes(defragment6(fragments)) == results[-1]


@pytest.mark.parametrize("octets", [1232, 1233, 1240, 1272, 2464, 2465, 9000])
@pytest.mark.parametrize("mtu", [1280, 1285, 1500])
def test_our_own_fragments(octets: int, mtu: int) -> None:
    """As scapy puts them together."""
    whole = bytes(udp(octets - 8))
    found = fragments(whole, mtu, 0xDEADBEEF)
    assert all(len(fragment) <= mtu for fragment in found)
    if len(whole) <= mtu:
        assert found == [whole]
        return
    assert len(found) == -(-octets // (mtu - 48 & ~7))
    parsed = [IPv6(fragment) for fragment in found]
    assert {fragment[IPv6ExtHdrFragment].id for fragment in parsed} == {0xDEADBEEF}
    assert bytes(defragment6(parsed)) == whole


def test_a_packet_without_fragment_header_is_whole() -> None:
    """And so is one with padding of its frame behind it."""
    assert Node().gives(udp()) == bytes(udp())
    assert Node().gives(bytes(udp(8)) + bytes(6)) == bytes(udp(8))


def test_atomic_fragments() -> None:
    """RFC 6946: on its own, even while fragments with the same identification wait, and those are left alone."""
    node = Node()
    fragments = cut(udp(400))
    assert node.gives(fragments[0]) is None
    atomic = HEADER / IPv6ExtHdrFragment(nh=17, id=7) / UDP(sport=1, dport=2) / Raw(b"atom")
    assert node.gives(atomic) == bytes(
        HEADER / UDP(sport=1, dport=2, chksum=IPv6(bytes(atomic))[UDP].chksum) / Raw(b"atom")
    )
    for fragment in fragments[1:-1]:
        assert node.gives(fragment) is None
    assert node.gives(fragments[-1]) == bytes(udp(400))


@pytest.mark.parametrize(
    "overlapping",
    [
        piece(0, b"x" * 64),
        piece(56, b"x" * 16),
        piece(8, b"x" * 8),
        piece(56, b"x" * 8, more=0),
        piece(128, b"x" * 24, more=0),
        piece(128, b"x" * 16, more=0),
    ],
    ids=["another first", "over a border", "inside", "end inside", "end further", "end earlier"],
)
def test_overlaps(overlapping: bytes) -> None:
    """RFC 5722: everything is dropped in silence, what comes later too."""
    node = Node()
    good = [piece(0, b"a" * 64), piece(64, b"b" * 64), piece(128, b"c" * 20, more=0)]
    for fragment in (good[0], good[2]):
        assert node.gives(fragment) is None
    assert node.gives(overlapping) is None
    assert node.gives(good[1]) is None
    assert [node.gives(fragment) for fragment in good] == [None] * 3
    assert node.reassembler.octets == 0
    assert set(node.statistics) == {"dropped_fragment_overlap"}
    # The next packet with this identification, a minute later, is another one.
    assert node.reassembler.tick(60.0) == []
    assert [node.gives(fragment, now=61.0) for fragment in good][2] is not None


def test_copies_are_no_overlaps() -> None:
    """RFC 8200 section 4.5 allows to keep the others."""
    node = Node()
    fragments = cut(udp())
    for fragment in fragments[:-1]:
        assert node.gives(fragment) is node.gives(fragment) is None
    assert node.gives(fragments[-1]) == bytes(udp())
    assert node.statistics["dropped_fragment_duplicate"] == len(fragments) - 1


@pytest.mark.parametrize("last_first", [False, True])
def test_a_copy_with_another_more_flag_is_an_overlap(last_first: bool) -> None:
    node = Node()
    for more in (0, 1) if last_first else (1, 0):
        assert node.gives(piece(64, b"b" * 64, more=more)) is None
    if last_first:
        assert node.statistics == {"dropped_fragment_overlap": 1}
    assert node.gives(piece(0, b"a" * 64)) is None


def test_what_makes_two_packets_different() -> None:
    """Source, destination, identification, and the way they came."""
    first, last = piece(0, b"a" * 64), piece(64, b"b", more=0)
    others = [
        piece(64, b"b", more=0, number=8),
        piece(64, b"b", more=0, source="2001:db8:f1::2"),
        bytes(IPv6(src=SOURCE, dst="2001:db8:1::3") / IPv6ExtHdrFragment(nh=17, offset=8, id=7) / Raw(b"b")),
    ]
    node = Node()
    assert node.gives(first) is None
    assert [node.gives(other) for other in others] == [None] * 3
    assert node.gives(last, origin=2) is None
    assert len(node.reassembler) == 5
    assert node.gives(last) is not None


def first_with(options: bytes) -> bytes:
    """A first fragment that ends in its destination options."""
    return bytes(HEADER / IPv6ExtHdrFragment(nh=60, m=1) / Raw(options))


@pytest.mark.parametrize(
    ("fragment", "reason", "pointer", "code"),
    [
        (piece(0, b"a" * 63), "bad_fragment_length", 4, 0),
        (piece(65528, b"a" * 16), "bad_fragment_offset", 42, 0),
        (piece(65520, b"a" * 17, more=0), "bad_fragment_offset", 42, 0),
        (first_with(bytes((60, 0)) + bytes(6)), "incomplete_first_fragment", 0, 3),  # another header is to come
        (first_with(bytes((17, 9)) + bytes(6)), "incomplete_first_fragment", 0, 3),  # the header is longer
        (piece(8, b""), "empty_fragment", None, 0),
        (piece(8, b"", more=0), "empty_fragment", None, 0),
        (bytes(HEADER / IPv6ExtHdrFragment(nh=17, m=1))[:44], "truncated", None, 0),
        (bytes(HEADER)[:39], "truncated", None, 0),
        (bytes(IPv6(src=SOURCE, dst=OWN, nh=44, plen=4) / Raw(bytes(4))), "truncated", None, 0),
        (bytes(IPv6(src=SOURCE, dst=OWN, nh=60, plen=0)), "truncated", None, 0),
    ],
)
def test_fragments_that_cannot_be_right(fragment: bytes, reason: str, pointer: int | None, code: int) -> None:
    """RFC 8200 section 4.5 and RFC 7112 section 5: what is wrong, and where."""
    node = Node()
    with pytest.raises(ParseError) as raised:
        node.gives(fragment)
    assert (raised.value.reason, raised.value.pointer, raised.value.code) == (reason, pointer, code)
    assert len(node.reassembler) == 0


def test_the_longest_packet_and_one_that_is_too_long() -> None:
    """The last fragment alone is not: it has fewer headers before it than the first one."""
    data = [b"x" * 16384] * 3 + [b"x" * 16376]
    node = Node()
    for index, octets in enumerate(data[:3]):
        assert node.gives(piece(index * 16384, octets)) is None
    whole = node.gives(piece(49152, b"x" * 16383, more=0))
    assert whole is not None and len(whole) == 40 + 65535
    options = bytes((44, 0, 1, 4)) + bytes(4)
    first = bytes(piece(0, data[0]))
    first = first[:6] + bytes((60,)) + first[7:40] + options + first[40:]
    first = first[:4] + (len(first) - 40).to_bytes(2, "big") + first[6:]
    for index in (1, 2):
        assert node.gives(piece(index * 16384, data[index])) is None
    assert node.gives(piece(49152, b"x" * 16383, more=0)) is None
    assert node.gives(first) is None
    assert node.statistics["dropped_bad_fragment_offset"] == 1
    assert (len(node.reassembler), node.reassembler.octets) == (0, 0)


def test_sixty_seconds() -> None:
    """From the first to arrive; the first fragments that were there are handed back to be quoted."""
    node = Node()
    first, last = piece(0, b"a" * 64), piece(64, b"b", more=0)
    assert node.gives(first, now=100.0) is None
    assert node.gives(piece(64, b"b" * 8, number=8), now=110.0) is None
    assert node.gives(piece(64, b"b" * 8), now=150.0) is None
    assert node.reassembler.tick(159.9) == []
    assert node.reassembler.tick(160.0) == [first]
    assert node.reassembler.tick(170.0) == []
    assert (len(node.reassembler), node.reassembler.octets) == (0, 0)
    assert node.statistics == {"reassembly_timed_out": 2}
    assert node.gives(last, now=171.0) is None


def test_bounds() -> None:
    """The packet that waits longest gives way: of its source, or of all."""
    node = Node(max_packets=8, max_packets_per_source=3, max_octets=10_000)
    for number in range(5):
        assert node.gives(piece(0, b"a" * 64, number=number)) is None
    assert len(node.reassembler) == 3
    assert node.gives(piece(64, b"b", more=0, number=1)) is None  # forgotten; takes the place of number 2
    assert node.gives(piece(64, b"b", more=0, number=4)) is not None
    for number in range(20):
        assert node.gives(piece(0, b"a" * 64, source=f"2001:db8::{number}")) is None
        assert len(node.reassembler) <= 8
    assert node.gives(piece(64, b"b", more=0, source="2001:db8::19")) is not None
    assert node.gives(piece(64, b"b", more=0, source="2001:db8::2")) is None
    for number in range(30):
        assert node.gives(piece(0, b"a" * 1280, source=f"2001:db8:1::{number}")) is None
        assert node.reassembler.octets <= 10_000
    assert node.gives(piece(1280, b"b", more=0, source="2001:db8:1::29")) is not None


def test_one_packet_larger_than_the_bound() -> None:
    node = Node(max_octets=1000)
    assert node.gives(piece(0, b"a" * 1280)) is None
    assert (len(node.reassembler), node.reassembler.octets) == (0, 0)


def test_too_many_fragments_of_one_packet() -> None:
    node = Node(max_fragments=4)
    for index in range(6):
        assert node.gives(piece(index * 8, b"a" * 8)) is None
    assert node.gives(piece(48, b"a", more=0)) is None
    assert node.reassembler.octets == 0
    assert node.statistics == {"dropped_fragments_too_many": 1, "dropped_fragment_overlap": 2}


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40), st.booleans(), st.integers(0, 2)), max_size=40))
def test_whatever_comes(fragments: list[tuple[int, int, bool, int]]) -> None:
    """What is put together is what was sent, without holes; nothing is left after a minute."""
    node = Node(max_packets=2, max_fragments=8)
    data = bytes(range(1, 200))
    for offset, length, more, number in fragments:
        octets = data[offset * 8 : offset * 8 + length]
        try:
            whole = node.gives(piece(offset * 8, octets, more=int(more), number=number))
        except ParseError:
            continue
        if whole is not None:
            assert data.startswith(whole[40:])
            assert int.from_bytes(whole[4:6], "big") == len(whole) - 40 and whole[6] == 17
        assert len(node.reassembler) <= 2
    node.reassembler.tick(60.0)
    assert (len(node.reassembler), node.reassembler.octets) == (0, 0)
