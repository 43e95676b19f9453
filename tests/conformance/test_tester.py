"""The tester itself: it accepts right answers and finds what is wrong in others. No home agent takes part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from scapy.layers.inet6 import (
    MIP6MH_BA,
    MIP6MH_BE,
    ICMPv6EchoReply,
    IPv6,
    IPv6ExtHdrRouting,
    MIP6OptBRAdvice,
)
from scapy.packet import Packet, Raw

from tests.conformance import wire
from tests.conformance.cases import CASES
from tests.conformance.links import Switchboard
from tests.conformance.player import Deviation
from tests.conformance.tester import Tester

HOME_AGENT = "2001:db8:100::a"
CASE = CASES["HA_2_1_1"]
SEQUENCE = 15
GRANTED = 100  # units of 4 s

Answer = Callable[[Tester, wire.Seen], Packet]


@dataclass
class Far:
    """Stands for the wire and the home agent behind it: each packet is answered by `answer`."""

    tester: Tester | None = None
    answer: Answer | None = None
    sent: list[wire.Seen] = field(default_factory=list)

    def send(self, source: str, destination: str, packet: Packet | bytes) -> None:
        assert self.tester is not None
        seen = wire.read(bytes(packet))
        self.sent.append(seen)
        if self.answer is not None:
            octets = bytes(self.answer(self.tester, seen))
            self.tester.inbox.put(wire.read(octets, time.time()))


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
def tester(far: Far) -> Tester:
    kind = SimpleNamespace(virtual=True)
    site = SimpleNamespace(
        home_agent=HOME_AGENT,
        home_agent_mac="02:00:00:00:00:0a",
        kind=kind,
        far=far,
        protections={},
        switchboard=Switchboard(),
        clock=time.time,
    )
    made = Tester(site, CASE)  # type: ignore[arg-type]
    far.tester = made
    return made


def away(tester: Tester, protocol: int, message: Packet, home: str = "", kind: int = 2) -> Packet:
    """A message to the first care-of address with a routing header; its checksum is for the home address."""
    home = home or tester.home_address
    upper = wire.upper_octets(HOME_AGENT, tester.home_address, message, protocol)
    header = IPv6(src=HOME_AGENT, dst=tester.care_of[0]) / IPv6ExtHdrRouting(type=kind, segleft=1, addresses=[home])
    header[IPv6ExtHdrRouting].nh = protocol
    return header / Raw(upper)


def echo_reply(seen: wire.Seen) -> Packet:
    identifier, sequence = (int.from_bytes(seen.upper[at : at + 2], "big") for at in (4, 6))
    return ICMPv6EchoReply(id=identifier, seq=sequence, data=seen.upper[8:])


def plain(tester: Tester, protocol: int, message: Packet) -> Packet:
    """The same straight to the care-of address."""
    upper = wire.upper_octets(HOME_AGENT, tester.care_of[0], message, protocol)
    return wire.packet(HOME_AGENT, tester.care_of[0], protocol, upper)


def binding_error(tester: Tester, status: int = 1, home: str = "") -> Packet:
    return plain(tester, wire.MOBILITY, MIP6MH_BE(status=status, ha=home or tester.home_address))


def corrupted(packet: Packet) -> Packet:
    octets = bytearray(bytes(packet))
    octets[-1] ^= 1
    return Raw(bytes(octets))


def test_probe_is_as_the_rfc_has_it(tester: Tester, far: Far) -> None:
    """Home Address option with the checksum over the home address."""
    far.answer = lambda tester, seen: binding_error(tester)
    tester.unbound(tester.care_of[0])
    (probe,) = far.sent
    assert (probe.home_address, probe.source) == (tester.home_address, tester.care_of[0])
    assert probe.checksum_right
    assert bytes.fromhex("c910") in probe.octets[40:64] and probe.octets[46:48] == b"\xc9\x10"  # at 8n+6
    assert tester.problems == []


def test_bound_accepts_an_echo_reply_by_type_2_routing_header(tester: Tester, far: Far) -> None:
    far.answer = lambda tester, seen: away(tester, wire.ICMPV6, echo_reply(seen))
    tester.bound(tester.care_of[0])
    assert tester.problems == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda tester, seen: plain(tester, wire.ICMPV6, echo_reply(seen)),
        lambda tester, seen: away(tester, wire.ICMPV6, echo_reply(seen), home=tester.neighbour),
        lambda tester, seen: away(tester, wire.ICMPV6, echo_reply(seen), kind=0),
        lambda tester, seen: corrupted(away(tester, wire.ICMPV6, echo_reply(seen))),
        lambda tester, seen: binding_error(tester),
    ],
    ids=["no routing header", "another's address", "type 0", "other data", "binding error"],
)
def test_bound_finds_what_is_wrong(tester: Tester, far: Far, answer: Answer) -> None:
    far.answer = answer
    tester.bound(tester.care_of[0])
    assert tester.problems


@pytest.mark.parametrize(
    "answer",
    [
        lambda tester, seen: binding_error(tester, status=2),
        lambda tester, seen: binding_error(tester, home=tester.neighbour),
        lambda tester, seen: corrupted(binding_error(tester)),
        lambda tester, seen: away(tester, wire.MOBILITY, MIP6MH_BE(status=1, ha=tester.home_address)),
        lambda tester, seen: plain(tester, wire.ICMPV6, echo_reply(seen)),
        lambda tester, seen: away(tester, wire.ICMPV6, echo_reply(seen)),
    ],
    ids=["status 2", "another's address", "checksum", "routing header", "plain echo reply", "echo reply"],
)
def test_unbound_finds_what_is_wrong(tester: Tester, far: Far, answer: Answer) -> None:
    far.answer = answer
    tester.unbound(tester.care_of[0])
    assert tester.problems


def acknowledgement(
    flags: str | int = 0, sequence: int = SEQUENCE, lifetime: int = GRANTED, options: tuple[Packet, ...] = ()
) -> Packet:
    return MIP6MH_BA(status=0, flags=flags, seq=sequence, mhtime=lifetime, options=list(options))


@pytest.mark.parametrize("advice", [None, GRANTED - 1], ids=["no advice", "advice"])
def test_registration_is_accepted(tester: Tester, far: Far, advice: int | None) -> None:
    options = () if advice is None else (MIP6OptBRAdvice(rinter=advice),)
    far.answer = lambda tester, seen: away(tester, wire.MOBILITY, acknowledgement(options=options))
    assert tester.reg(tester.care_of[0], SEQUENCE).lifetime == GRANTED
    assert tester.problems == []
    assert far.sent[0].is_mobility(wire.BU) and far.sent[0].checksum_right


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda tester, seen: away(tester, wire.MOBILITY, acknowledgement(flags="K")), "K is set"),
        (lambda tester, seen: away(tester, wire.MOBILITY, acknowledgement(sequence=14)), "sequence number 14"),
        (lambda tester, seen: away(tester, wire.MOBILITY, acknowledgement(lifetime=106)), "lifetime 106"),
        (
            lambda tester, seen: away(
                tester, wire.MOBILITY, acknowledgement(options=(MIP6OptBRAdvice(rinter=GRANTED),))
            ),
            "refresh advice",
        ),
        (lambda tester, seen: plain(tester, wire.MOBILITY, acknowledgement()), "Type 2 Routing Header"),
        (lambda tester, seen: corrupted(away(tester, wire.MOBILITY, acknowledgement())), "wrong checksum"),
    ],
    ids=["K", "sequence number", "lifetime", "refresh advice", "no routing header", "checksum"],
)
def test_registration_finds_what_is_wrong(tester: Tester, far: Far, answer: Answer, problem: str) -> None:
    far.answer = answer
    tester.reg(tester.care_of[0], SEQUENCE)
    assert problem in "; ".join(tester.problems)


def test_registration_that_is_refused_ends_the_case(tester: Tester, far: Far) -> None:
    far.answer = lambda tester, seen: away(tester, wire.MOBILITY, MIP6MH_BA(status=129, seq=SEQUENCE, flags=0))
    with pytest.raises(Deviation, match="status 129"):
        tester.reg(tester.care_of[0], SEQUENCE)


def test_packets_before_the_mark_do_not_count(tester: Tester) -> None:
    tester.inbox.put(wire.read(bytes(binding_error(tester)), time.time()))
    since = tester.mark()
    tester.quiet(lambda seen: seen.is_mobility(wire.BE), "that is old", since, timeout=0.05)
    assert tester.problems == []
    tester.inbox.put(wire.read(bytes(binding_error(tester)), time.time()))
    tester.quiet(lambda seen: seen.is_mobility(wire.BE), "that is new", since, timeout=0.05)
    assert tester.problems == ["Binding Error status 1 that is new"]
