"""Duplicate Address Detection on behalf of a mobile node (RFC 6275 section 10.3.1, RFC 4862 section 5.4)."""

from __future__ import annotations

from mip6core.actions import Actions, UnwatchAddress, WatchAddress
from mip6core.addresses import Address
from mip6core.bcache import BindingCacheEntry
from mip6core.constants import RETRANS_TIMER
from mip6core.home_link import HomeLink
from mip6core.neighbor_discovery import dad_solicitation
from mip6core.timers import Timed, TimerQueue


class Probe(Timed):
    """One address under test. It is watched until every address of the registration has passed."""

    __slots__ = ("address", "link", "owners", "passed")

    def __init__(self, link: HomeLink, address: Address) -> None:
        super().__init__()
        self.link = link
        self.address = address
        self.owners: list[BindingCacheEntry] = []  # several home addresses may share a link-local address
        self.passed = False


class DuplicateAddressDetection:
    """The addresses under test, by link and address."""

    __slots__ = ("_probes", "_timers", "refused")

    def __init__(self, timers: TimerQueue) -> None:
        self.refused = 0  # tests that there was no room for
        self._timers = timers
        self._probes: dict[tuple[str, Address], Probe] = {}

    def __len__(self) -> int:
        return len(self._probes)

    def get(self, link: HomeLink, address: Address) -> Probe | None:
        """The test of an address, if one is under way."""
        return self._probes.get((link.name, address))

    def addresses(self, link: HomeLink) -> list[Address]:
        """The addresses under test on a link."""
        return [address for name, address in self._probes if name == link.name]

    def start(self, entry: BindingCacheEntry, address: Address, now: float, actions: Actions) -> None:
        """Test `address` for `entry`, or let it wait for the same test as another entry does."""
        key = (entry.link.name, address)
        probe = self._probes.get(key)
        if probe is None:
            probe = self._probes[key] = Probe(entry.link, address)
            actions.append(WatchAddress(entry.link, address))
            # DupAddrDetectTransmits is 1: one solicitation, and silence for RetransTimer (RFC 4862 section 5.4).
            actions.append(dad_solicitation(entry.link, address))
            self._timers.schedule(probe, now + RETRANS_TIMER)
        probe.owners.append(entry)
        entry.probes += (probe,)

    def stop(self, entry: BindingCacheEntry, probe: Probe, actions: Actions) -> None:
        """`entry` no longer waits for this test, whatever its result."""
        entry.probes = tuple(other for other in entry.probes if other is not probe)
        probe.owners.remove(entry)
        if not probe.owners:
            self._timers.cancel(probe)
            del self._probes[(probe.link.name, probe.address)]
            actions.append(UnwatchAddress(probe.link, probe.address))

    def stop_all(self, entry: BindingCacheEntry, actions: Actions) -> None:
        """`entry` waits for nothing any more."""
        for probe in entry.probes:
            self.stop(entry, probe, actions)
