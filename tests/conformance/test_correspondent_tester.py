"""The tester of correspondents itself, on a stand-in: it passes what is right and finds what is wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Final

import pytest
from scapy.packet import Packet

from tests.conformance import wire
from tests.conformance.campaign import run_case
from tests.conformance.cases import CASES
from tests.conformance.correspondent_site import EDGE
from tests.conformance.links import Inbox
from tests.conformance.stand_in import StandIn
from tests.conformance.wire import Seen

# The stand-in has no kernel's TCP and UDP, no wires, skips no headers' options, and asks for no refreshment.
BEYOND_IT: Final = {
    *(
        "udp",
        "hao-payloads",
        "hao-misplaced",
        "hao-length",
        "hao-headers",
        "hao-hop-limit",
        "hao-forms",
        "rr-headers",
        "tcp-switch",
        "host-speaks-first",
        "port-unreachable",
    ),
    *("fragments", "too-big-for-link", "too-big-on-path", "gre-from-outside", "redirected-host"),
    *("visitor-without-adapter", "visitor-at-uplink", "refresh-request"),
}
NAMES: Final = [case.id for case in CASES.values() if "edge" in case.links and case.family not in BEYOND_IT]

# A fault of the stand-in, and a case that it must not get away with.
FAULTS: Final = {
    "any care-of address": "CN-6-2-2",
    "learns from options": "CN-6-2-1",
    "takes a routing header": "CN-6-5",
    "never expires": "CN-5-2-2",
    "no routing header": "CN-1-3",
    "no home address": "CN-1-1",
    "no checksum": "CN-2-1-6",
    "any payload": "CN-2-2-5",
    "pointer": "CN-2-3-3",
    "options in tests": "CN-2-1-2",
    "old nonces": "CN-4-2-1",
    "cookie": "CN-1-1",
    "always acknowledges": "CN-2-5-1",
    "any sequence": "CN-5-1-2-2",
    "no cap": "CN-5-2-3",
    "no deletion": "CN-3-3-1-3",
    "no authorization": "CN-2-3-11",
    "authorization anywhere": "CN-2-3-11",
    "sequence 0": "CN-1-2",
    "unbound authenticator": "CN-3-3-1-3",
    "routing header at home": "CN-3-3-2-1",
    "tests by the binding": "MORE_CN_07",
    "same tokens": "MORE_CN_11",
    "answers anybody": "MORE_CN_10",
    "forgets": "MORE_CN_41",
    "impatient": "MORE_CN_72",
}


class Quick(Inbox):
    """The stand-in answers at once or never."""

    def find(self, wanted: object, since: float, timeout: float) -> Seen | None:
        return super().find(wanted, since, 0.0)  # type: ignore[arg-type]


class StandInSite:
    """The site without machines and wires."""

    def __init__(self, fault: str = "") -> None:
        self.hosts = EDGE.hosts
        self.kind = EDGE
        self.host_mac = "02:00:00:00:00:10"
        self.macs: dict[str, str] = {}
        self.inbox = Quick()
        self.switchboard = SimpleNamespace(open=lambda number: self.inbox, close=lambda number: None)
        self.far = SimpleNamespace(send=self._send)
        self._stand_in = StandIn(self.hosts, self._deliver, fault)

    def clock(self) -> float:
        self.wait(0.0001)  # no two moments are the same
        return self._stand_in.now

    def wait(self, seconds: float) -> None:
        self._stand_in.now += seconds

    def _send(self, source: str, destination: str, packet: Packet | bytes) -> None:
        self._stand_in.receive(bytes(packet))

    def _deliver(self, octets: bytes) -> None:
        self.inbox.put(wire.read(octets, self.clock()))


@pytest.mark.parametrize("name", NAMES)
def test_correspondent_that_is_right_passes(name: str) -> None:
    outcome = run_case(StandInSite(), CASES[name])  # type: ignore[arg-type]
    assert outcome.passed, outcome.reason


@pytest.mark.parametrize(("fault", "name"), FAULTS.items())
def test_fault_is_found(fault: str, name: str) -> None:
    outcome = run_case(StandInSite(fault), CASES[name])  # type: ignore[arg-type]
    assert not outcome.passed and "the tester failed" not in outcome.reason, outcome.reason
