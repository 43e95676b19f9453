"""The tester of one case where the correspondents' link is the mobile nodes' home link as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.conformance import wire
from tests.conformance.cases import Case
from tests.conformance.correspondent_site import CorrespondentSite
from tests.conformance.correspondent_tester import A, CorrespondentTester, H
from tests.conformance.links import Inbox
from tests.conformance.player import ANSWER, Deviation
from tests.conformance.wire import Acknowledgement, Seen

HOME_LIFETIME: Final = 200  # units of 4 s


class OpenedTunnels:
    """Packets as a mobile node takes them out of the tunnel from its home agent."""

    def __init__(self, inbox: Inbox, home_agent: str) -> None:
        self._inbox = inbox
        self._home_agent = home_agent

    def opened(self, seen: Seen) -> Seen:
        if seen.protocol != wire.IPV6_IN_IPV6 or seen.source != self._home_agent:
            return seen
        return replace(seen.inner, at=seen.at, mac_source=seen.mac_source, mac_destination=seen.mac_destination)

    def find(self, wanted: Callable[[Seen], object], since: float, timeout: float) -> Seen | None:
        found = self._inbox.find(lambda seen: wanted(self.opened(seen)), since, timeout)
        return None if found is None else self.opened(found)

    def closed(self) -> Inbox:
        """The same packets as they are on the wire."""
        return self._inbox


class CorrespondentAtHomeTester(CorrespondentTester):
    """What comes from and goes to the home address passes the tunnel of the home agent, who shares the bridge."""

    inbox: OpenedTunnels

    def __init__(self, site: CorrespondentSite, case: Case) -> None:
        super().__init__(site, case)
        self.inbox = OpenedTunnels(site.switchboard.open(case.number), site.bridge)
        self._home_sequence = 0

    def prepare(self) -> None:
        if self.case.parameters.get("away", True):
            self.leave_home()

    def leave_home(self) -> None:
        """Register the first care-of address with the home agent."""
        self.register_at_home(HOME_LIFETIME)

    def register_at_home(self, lifetime: int) -> None:
        """A home registration from the first care-of address, or its end."""
        self._home_sequence += 1
        care_of_address = self.care_of[0]
        agent = self.towards(self.site.bridge)
        since = self.mark()
        update = agent.binding_update(
            care_of_address, self._home_sequence, None, flags=A | H, lifetime=lifetime, alternate=care_of_address
        )
        self.send(update)
        seen = self.inbox.find(
            lambda seen: seen.destination == care_of_address and seen.is_mobility(wire.BA), since, ANSWER
        )
        if seen is None or Acknowledgement.of(seen).status != 0:
            raise Deviation(f"{seen or 'no answer'} for a home registration")

    def from_home_address(self, protocol: int, upper: bytes, hop_limit: int = 64) -> None:
        inner = wire.extended(self.home_address, self.correspondent, [], protocol, upper, hop_limit=hop_limit)
        self.send(wire.extended(self.care_of[0], self.site.bridge, [], wire.IPV6_IN_IPV6, inner))
