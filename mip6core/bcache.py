"""The Binding Cache (RFC 6275 sections 9.1 and 10.1): storage, indexes, timers. It takes no decisions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mip6core.addresses import Address, link_local
from mip6core.fsm import BOUND_STATES, State
from mip6core.home_link import HomeLink, HomePrefix
from mip6core.timers import Timed, TimerQueue

if TYPE_CHECKING:
    from mip6core.dad import Probe
    from mip6core.registration import Registration


class BindingCacheEntry(Timed):
    """One mobile node's home registration. At most one exists for a home address, whatever its state.

    Only an entry in state BOUND or BOUND_DAD is a binding: the others count as "no binding" for data packets.
    """

    __slots__ = (
        "bound",
        "care_of_address",
        "expires_at",
        "flags",
        "home_address",
        "home_prefix",
        "lifetime",
        "link",
        "link_local",
        "pending",
        "prefixes",
        "probes",
        "registered_at",
        "request",
        "sequence",
        "state",
        "updated_at",
    )

    def __init__(self, request: Registration) -> None:
        super().__init__()
        self.home_address = request.home_address
        self.link = request.link
        self.prefixes: tuple[HomePrefix, ...] | None = None  # of the link when the home address was looked for in them,
        self.home_prefix: HomePrefix | None = None  # and where it was found
        self.state = State.ABSENT
        self.bound = False  # packets for the home address are tunnelled: the state is BOUND or BOUND_DAD
        self.sequence = request.sequence  # of the last valid Binding Update
        self.care_of_address = request.care_of_address  # in state DAD the one that waits
        self.flags = 0  # A, H, L, K of the Binding Update that made or last changed the binding
        self.link_local = False  # the binding's flows answer for its link-local address too
        self.lifetime = 0  # seconds granted
        self.expires_at = 0.0  # monotonic seconds; in state DELETED when the entry is forgotten
        self.registered_at = 0.0  # when the binding was made, monotonic seconds
        self.updated_at = 0.0  # when it was last registered again
        self.request = request  # the last one accepted
        self.pending: Registration | None = None  # accepted if Duplicate Address Detection passes
        self.probes: tuple[Probe, ...] = ()  # the tests that `pending` waits for

    def set_state(self, state: State) -> None:
        """Enter `state`."""
        self.state = state
        self.bound = state in BOUND_STATES

    def __repr__(self) -> str:
        return (
            f"<BindingCacheEntry {self.home_address.hex()} at {self.care_of_address.hex()} {self.state.name}"
            f" sequence={self.sequence} expires_at={self.expires_at}>"
        )


class BindingCache:
    """All entries by home address, and the bindings that defend a link-local address by that address."""

    __slots__ = ("_deleted", "_entries", "_link_local", "_per_link", "_timers", "get", "refused")

    def __init__(self, timers: TimerQueue) -> None:
        self.refused = 0  # registrations that there was no room for
        self._timers = timers
        self._entries: dict[Address, BindingCacheEntry] = {}
        self.get = self._entries.get  # the entry of a home address, whatever its state, or None
        self._deleted: dict[str, OrderedDict[Address, BindingCacheEntry]] = {}  # oldest first, by link
        self._per_link: dict[str, int] = {}
        self._link_local: dict[tuple[str, Address], list[BindingCacheEntry]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[BindingCacheEntry]:
        """Entries of every state. The cache must not change meanwhile; take a list where it may."""
        return iter(self._entries.values())

    def get_bound(self, home_address: Address) -> BindingCacheEntry | None:
        """The entry of a home address if it is a binding."""
        entry = self._entries.get(home_address)
        return entry if entry is not None and entry.bound else None

    def count(self, link: HomeLink) -> int:
        """How many entries a home link has."""
        return self._per_link.get(link.name, 0)

    def add(self, entry: BindingCacheEntry) -> None:
        """Store a new entry; its home address must not have one."""
        assert entry.home_address not in self._entries
        self._entries[entry.home_address] = entry
        self._per_link[entry.link.name] = self.count(entry.link) + 1

    def remove(self, entry: BindingCacheEntry) -> None:
        """Forget an entry and its timer."""
        self._timers.cancel(entry)
        del self._entries[entry.home_address]
        self._deleted_on(entry.link).pop(entry.home_address, None)
        self._per_link[entry.link.name] -= 1

    def set_expiry(self, entry: BindingCacheEntry, expires_at: float) -> None:
        """Let the entry's timer run out at `expires_at`."""
        entry.expires_at = expires_at
        self._timers.schedule(entry, expires_at)

    def mark_deleted(self, entry: BindingCacheEntry, until: float) -> None:
        """Keep the entry for its sequence number only (10.3.2)."""
        deleted = self._deleted_on(entry.link)
        deleted[entry.home_address] = entry
        deleted.move_to_end(entry.home_address)
        self.set_expiry(entry, until)

    def unmark_deleted(self, entry: BindingCacheEntry) -> None:
        """The entry serves again: it has no timer until it is bound."""
        if self._deleted_on(entry.link).pop(entry.home_address, None) is not None:
            self._timers.cancel(entry)

    def oldest_deleted(self, link: HomeLink | None = None) -> BindingCacheEntry | None:
        """The entry de-registered first, of one link or of all: the one that is missed least."""
        queues = self._deleted.values() if link is None else (self._deleted_on(link),)
        oldest = [next(iter(queue.values())) for queue in queues if queue]
        return min(oldest, key=lambda entry: entry.expires_at, default=None)

    def _deleted_on(self, link: HomeLink) -> OrderedDict[Address, BindingCacheEntry]:
        return self._deleted.setdefault(link.name, OrderedDict())

    def link_local_holders(self, link: HomeLink, address: Address) -> list[BindingCacheEntry]:
        """The bindings with which a link-local address is defended; the flows are part of the first one's."""
        return self._link_local.get((link.name, address), [])

    def hold_link_local(self, entry: BindingCacheEntry) -> None:
        """Defend the entry's link-local address. Its flows belong to the entry that holds it first."""
        holders = self._link_local.setdefault((entry.link.name, link_local(entry.home_address)), [])
        entry.link_local = not holders
        holders.append(entry)

    def drop_link_local(self, entry: BindingCacheEntry) -> BindingCacheEntry | None:
        """End the defence for this entry. Returns the entry that inherits the flows, if one does."""
        key = (entry.link.name, link_local(entry.home_address))
        holders = self._link_local[key]
        holders.remove(entry)
        if not holders:
            del self._link_local[key]
            return None
        if holders[0].link_local:
            return None
        holders[0].link_local = True
        return holders[0]
