"""What the testers of all roles share: the packets of a case, and judging them.

What deviates is collected and the case goes on where it can, so that a verdict names everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scapy.layers.inet6 import ICMPv6EchoRequest

from tests.conformance import wire
from tests.conformance.cases import Case
from tests.conformance.site import Site
from tests.conformance.wire import Seen

ANSWER: Final = 4.0  # seconds that an answer may take; Duplicate Address Detection is one of them
QUIET: Final = 2.5  # seconds without an answer that count as none: longer than Duplicate Address Detection
SETTLED: Final = 0.2  # seconds; Open vSwitch's cache follows its tables after a moment (a millisecond, or more if busy)
PING_DATA: Final = b"conformance test"


class Deviation(AssertionError):
    """The node under test does not do what the case expects, and the case cannot go on."""


@dataclass(frozen=True)
class Echo:
    """An echo exchange of this case."""

    identifier: int
    sequence: int
    data: bytes = PING_DATA

    def request(self, source: str, destination: str) -> bytes:
        message = ICMPv6EchoRequest(id=self.identifier, seq=self.sequence, data=self.data)
        return wire.upper_octets(source, destination, message, wire.ICMPV6)

    def is_reply(self, seen: Seen) -> bool:
        return seen.is_icmpv6(wire.ECHO_REPLY) and seen.upper[4:] == self._rest()

    def is_request(self, seen: Seen) -> bool:
        return seen.is_icmpv6(wire.ECHO_REQUEST) and seen.upper[4:] == self._rest()

    def _rest(self) -> bytes:
        return self.identifier.to_bytes(2, "big") + self.sequence.to_bytes(2, "big") + self.data


class Player:
    """Plays one case at a site."""

    def __init__(self, site: Site, case: Case) -> None:
        self.site = site
        self.case = case
        self.problems: list[str] = []
        self.inbox = site.switchboard.open(case.number)
        self._echoes = 0

    def prepare(self) -> None:
        """Do what comes before the steps of the case."""

    def close(self) -> None:
        """Leave the links."""
        self.site.switchboard.close(self.case.number)

    def check(self, condition: object, problem: str) -> None:
        """Note a deviation and go on."""
        if not condition:
            self.problems.append(problem)

    def mark(self) -> float:
        """This moment, after which `expect` and `quiet` look."""
        return self.site.clock()

    def expect(self, wanted: Callable[[Seen], object], what: str, since: float, timeout: float = ANSWER) -> Seen:
        """The first packet from `since` on that is `wanted`; Deviation if there is none."""
        found = self.inbox.find(wanted, since, timeout)
        if found is None:
            raise Deviation(f"no {what}")
        self.check(found.checksum_right, f"wrong checksum in {found}")
        return found

    def quiet(self, unwanted: Callable[[Seen], object], what: str, since: float, timeout: float = QUIET) -> None:
        """Check that nothing `unwanted` comes."""
        found = self.inbox.find(unwanted, since, timeout)
        self.check(found is None, f"{found} {what}")

    def echo(self, data: bytes = PING_DATA) -> Echo:
        self._echoes += 1
        return Echo(self.case.number, self._echoes, data)

    def binding_error(self, seen: Seen, status: int, home_address: str) -> None:
        """Check the fields of a Binding Error (6.1.9)."""
        body = seen.upper
        self.check(len(body) == 24 and body[0] == 59 and body[1] == 2, "the Binding Error's length is wrong")
        self.check(body[6] == status, f"Binding Error {body[6]}, not {status}")
        self.check(wire.text(body[8:24]) == home_address, f"Binding Error about {wire.text(body[8:24])}")
